// envoy.yaml against a strict OpenAI: what is minted at a realtime path opens sessions and calls there, nothing else.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { chatRequest, restRequest, until, upgradeRequest } from '../e2e/harness/index.mjs';
import { mintBodies, mintModels, mintPaths, mintRequest, secretIn } from '../e2e/harness/minting.mjs';
import { startOpenai } from '../e2e/harness/openai.mjs';
import { startPeer } from '../e2e/harness/openai/peer.mjs';
import { open, openCallId } from '../e2e/harness/sealing.mjs';
import { environment } from './files.mjs';
import { startProvider, startShipped } from './stand.mjs';

const providerKey = `Bearer ${environment.OPENAI_API_KEY}`;
const bearer = (credential) => ['authorization', `Bearer ${credential}`];
const opened = (secret) => open(secret, environment.REALTIME_SEALING_KEY);

/** OpenAI's paths, and those of a Cloudflare AI Gateway. */
const prefixes = ['/v1', '/v1/account-1/gateway-1/openai'];
const under = (prefix, path) => path.replace(/^\/v1/, prefix);

let openai;
let provider;
let gateway;

before(async () => {
  openai = await startOpenai({ keys: [environment.OPENAI_API_KEY] });
  provider = await startProvider(openai.port);
  gateway = await startShipped('envoy.yaml', provider);
});
after(async () => {
  await gateway?.stop();
  await provider?.stop();
  await openai?.stop();
});

/** What reached the provider of an answered request. */
function received(answer) {
  const [request] = openai.requestsOf(answer.case);
  assert.ok(request, 'nothing reached the provider');
  return request;
}

async function mint({ name = 'current', prefix = '/v1', json } = {}) {
  const request = mintRequest(name, { token: environment.BACKEND_TOKEN, json });
  const answer = await gateway.send({ ...request, target: under(prefix, request.target) });
  assert.equal(answer.status, 200, `answered ${answer.status}: ${answer.body}`);
  return { ...secretIn(answer.json()), seen: received(answer) };
}

for (const prefix of prefixes) {
  describe(`below ${prefix}`, () => {
    for (const [name, path] of Object.entries(mintPaths)) {
      test(`${path} mints a secret that opens a session`, async () => {
        const { value, seen } = await mint({ name, prefix });
        assert.equal(seen.target, path);
        assert.equal(seen.header('host'), 'api.openai.com');
        assert.deepEqual(seen.headerAll('authorization'), [providerKey]);
        const { caller, policy, model, upstream } = opened(value);
        assert.deepEqual({ caller, policy, model }, { caller: 'backend', policy: 'voice', model: mintModels[name] });

        const socket = name === 'translations' ? '/v1/realtime/translations' : '/v1/realtime';
        const target = `${under(prefix, socket)}?model=${mintModels[name]}`;
        const session = await gateway.send(upgradeRequest({ target, headers: [bearer(value)] }));
        assert.equal(session.status, 101);
        session.socket.destroy();
        assert.equal(received(session).target, `${socket}?model=${mintModels[name]}`);
        assert.deepEqual(received(session).headerAll('authorization'), [`Bearer ${upstream}`]);
      });
    }

    test('/v1/realtime/calls takes the secret, and its call is hung up when its time is over', async () => {
      const { value } = await mint({ prefix, json: { gateway: { max_duration: '1s' } } });
      const peer = await startPeer();
      try {
        const answer = await gateway.send(
          restRequest({
            target: under(prefix, '/v1/realtime/calls'),
            headers: [bearer(value), ['content-type', 'application/sdp'], ['origin', 'https://app.example.com']],
            body: peer.offer,
          }),
        );
        assert.equal(answer.status, 201);
        assert.equal(answer.header('access-control-expose-headers'), 'location');
        assert.deepEqual(received(answer).headerAll('authorization'), [`Bearer ${opened(value).upstream}`]);
        const { id } = openCallId(answer.header('location').split('/').at(-1), environment.REALTIME_SEALING_KEY);
        peer.accept(answer.body.toString('utf8'));
        await peer.opened();
        const find = () => openai.requests().find(({ target }) => target === `/v1/realtime/calls/${id}/hangup`);
        const hangup = await until('the hang-up', find);
        assert.equal(hangup.header('host'), 'api.openai.com');
        assert.deepEqual(hangup.headerAll('authorization'), [providerKey]);
        await peer.closed();
      } finally {
        peer.close();
      }
    });
  });
}

test('a session can be opened where a Cloudflare AI Gateway has it', async () => {
  const { value } = await mint();
  const session = await gateway.send(
    upgradeRequest({ target: '/v1/account-1/gateway-1/openai?model=gpt-realtime', headers: [bearer(value)] }),
  );
  assert.equal(session.status, 101);
  session.socket.destroy();
});

test('a secret lasts for ten minutes at most', async () => {
  const { expires_at: expires } = await mint({ json: { expires_after: { anchor: 'created_at', seconds: 7200 } } });
  const seconds = expires - Date.now() / 1000;
  assert.ok(seconds > 590 && seconds <= 601, `${seconds} s`);
});

test('a secret neither mints nor opens the rest of the API', async () => {
  const { value } = await mint();
  for (const request of [
    chatRequest({ headers: [bearer(value)] }),
    mintRequest('current', { token: value }),
    restRequest({ target: '/v1/realtime/calls/rtc_1/hangup', body: '', headers: [bearer(value)] }),
  ]) {
    const answer = await gateway.send(request);
    assert.equal(answer.status, 403);
    assert.equal(answer.json().error.code, 'route_not_allowed');
    assert.deepEqual(openai.requestsOf(answer.case), []);
  }
});

test('no spelling of a path mints a secret that would work outside', async () => {
  for (const [end, status, code] of [
    ['realtime/client_secrets/', 403, 'route_not_allowed'],
    ['Realtime/Client_Secrets', 403, 'route_not_allowed'],
    ['realtime/client_secrets%3Fa', 400, 'malformed_request'],
  ]) {
    const headers = [bearer(environment.BACKEND_TOKEN)];
    const answer = await gateway.send(restRequest({ target: `/v1/${end}`, headers, json: mintBodies.current }));
    assert.equal(answer.status, status, end);
    assert.equal(answer.json().error.code, code);
    assert.deepEqual(openai.requestsOf(answer.case), []);
  }
});

describe('pages', () => {
  const preflight = (target, origin) =>
    gateway.send(
      restRequest({
        method: 'OPTIONS',
        target,
        headers: [
          ['origin', origin],
          ['access-control-request-method', 'POST'],
          ['access-control-request-headers', 'authorization,content-type'],
        ],
      }),
    );

  for (const target of [mintPaths.current, '/v1/realtime/calls', '/v1/chat/completions']) {
    test(`may ask for ${target} without a token`, async () => {
      const answer = await preflight(target, 'https://app.example.com');
      assert.equal(answer.status, 200);
      assert.equal(answer.header('access-control-allow-origin'), 'https://app.example.com');
      assert.match(answer.header('access-control-allow-methods'), /\bPOST\b/);
      assert.match(answer.header('access-control-allow-headers'), /\bauthorization\b/);
      assert.deepEqual(openai.requestsOf(answer.case), []);
    });
  }

  test('of other origins may not', async () => {
    const answer = await preflight(mintPaths.current, 'https://elsewhere.example.com');
    assert.equal(answer.header('access-control-allow-origin'), undefined);
    assert.deepEqual(openai.requestsOf(answer.case), []);
  });

  test('can read why they are refused', async () => {
    const { headers, ...request } = mintRequest('current', { token: 'unknown-token' });
    const answer = await gateway.send({ ...request, headers: [...headers, ['origin', 'https://app.example.com']] });
    assert.equal(answer.status, 401);
    assert.equal(answer.header('access-control-allow-origin'), 'https://app.example.com');
  });
});

test('no credential is in the log', () => {
  const secrets = openai.secrets.values();
  assert.ok(secrets.length > 0);
  const log = gateway.envoy.log();
  for (const one of [...secrets, ...Object.values(environment), 'ek_']) {
    assert.ok(!log.includes(one), 'the log has a credential');
  }
});
