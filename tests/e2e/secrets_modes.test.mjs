// Minting without the upstream, and minting that is off.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { assertDenial, route } from './harness/index.mjs';
import {
  answerTypes, mintModels, mintPaths, mintRequest, near, now, sealingKey, secretIn, useMinting,
} from './harness/minting.mjs';
import { useOpenai } from './harness/openai.mjs';
import { typeErrors } from './harness/openai/types.mjs';
import { open } from './harness/sealing.mjs';

const names = Object.keys(mintPaths);
const openai = useOpenai();
const routes = [route({ prefix: '/openai/', rewrite: '/' }), route({})];

describe('local minting', () => {
  const { gateway: local } = useMinting({
    upstream: openai,
    secrets: { mode: 'local', max_ttl: '5m' },
    changes: { policies: { default: { provider: 'openai', aliases: { voice: 'gpt-realtime-2' } } } },
    routes,
  });
  const mintedHere = async (name, options) => {
    const answer = await local.send(mintRequest(name, options));
    assert.equal(answer.status, 200, `answered ${answer.status}: ${answer.body}`);
    assert.deepEqual(openai.requestsOf(answer.case), [], 'the upstream is not asked');
    const secret = secretIn(answer.json());
    return { answer, secret, claims: open(secret.value, sealingKey) };
  };

  for (const name of names) {
    test(name, async () => {
      const { answer, secret, claims } = await mintedHere(name, {
        json: { gateway: { user: 'u_1', max_duration: '90s' } },
      });
      assert.deepEqual(answer.headerAll('content-type'), ['application/json']);
      near(secret.expires_at, now() + 300);
      assert.deepEqual(claims, {
        caller: 'web-app',
        provider: 'openai',
        policy: 'default',
        issued_at: claims.issued_at,
        expires_at: secret.expires_at,
        model: mintModels[name],
        user: 'u_1',
        max_duration_ms: 90_000,
      });
      assert.ok(!answer.body.includes('u_1'), 'what was said to the gateway is not in the session');
    });
  }
  test('answers in the shapes of the official SDK', async () => {
    const checks = [];
    for (const name of names) checks.push({ ...answerTypes[name], value: (await mintedHere(name)).answer.json() });
    assert.equal(await typeErrors(checks), '');
  });
  test('a secret is good as long as asked for', async () => {
    const json = { expires_after: { anchor: 'created_at', seconds: 45 } };
    const { secret } = await mintedHere('current', { json });
    near(secret.expires_at, now() + 45);
  });
  test('names resolve, and any JSON type will do', async () => {
    const body = JSON.stringify({ session: { type: 'realtime', model: 'voice', instructions: 'Be brief.' } });
    const headers = [['content-type', 'application/vnd.example+json']];
    const { answer, claims } = await mintedHere('current', { body, headers });
    assert.equal(claims.model, 'gpt-realtime-2');
    assert.equal(answer.json().session.model, 'gpt-realtime-2');
    assert.equal(answer.json().session.instructions, 'Be brief.');
  });
  test('the same requests are refused', async () => {
    const refused = async (code, options) => assertDenial(await local.send(mintRequest('current', options)), code);
    await refused('invalid_gateway_object', { json: { gateway: { max_tokens: 0 } } });
    await refused('unsupported_content_type', { body: '{}' });
    await refused('malformed_request', { body: '[]', headers: [['content-type', 'application/json']] });
    await refused('route_not_allowed', { token: (await mintedHere('current')).secret.value });
  });
});

describe('minting that is off', () => {
  const { denied } = useMinting({ upstream: openai, secrets: { mode: 'off' }, routes });
  test('is refused on every path', async () => {
    for (const name of names) {
      for (const prefix of ['', '/openai']) {
        await denied(mintRequest(name, { prefix }), 'route_not_allowed');
      }
    }
  });
});
