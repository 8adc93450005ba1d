// What the upstream answers to minting: its refusals, and answers that are of no use.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { assertDenial, providerKey } from './harness/index.mjs';
import {
  assertNowhere, mintedThrough, mintPaths, mintRequest, sealingKey, secretIn, useMinting,
} from './harness/minting.mjs';
import { useOpenai } from './harness/openai.mjs';

const { recorder: openai, gateway } = useMinting({ upstream: useOpenai() });

describe("the upstream's refusals", () => {
  test('pass with their status and body', async () => {
    const answer = await gateway.send(
      mintRequest('current', { json: { session: { type: 'realtime', colour: 'red' } } }),
    );
    assert.equal(answer.status, 400);
    assert.equal(answer.json().error.param, 'session.colour');
    for (const status of [404, 429, 500, 503]) {
      const refused = await gateway.send(mintRequest('current', { headers: [['x-reply', `refuse ${status}`]] }));
      assert.equal(refused.status, status);
      assert.equal(refused.json().error.code, 'upstream_text');
    }
  });
  for (const status of [401, 403]) {
    test(`${status} of our key is ours`, async () => {
      const answer = await gateway.send(mintRequest('current', { headers: [['x-reply', `refuse ${status}`]] }));
      assertDenial(answer, 'provider_key_rejected');
      const all = JSON.stringify(answer.headers) + answer.body;
      assert.ok(!all.includes('upstream_text') && !all.includes(providerKey));
    });
  }
});

describe("the upstream's answer", () => {
  for (const reply of [
    'text',
    'array',
    'no-secret',
    'no-expiry',
    'twice',
    'long',
    'long-chunked',
    'bomb',
    'br',
    'not-gzip',
    'empty',
  ]) {
    for (const name of ['current', 'sessions']) {
      test(`${reply} is of no use: ${name}`, async () => {
        const answer = await gateway.send(mintRequest(name, { headers: [['x-reply', reply]] }));
        assertDenial(answer, 'invalid_upstream_response');
        const [seen] = openai.requestsOf(answer.case);
        const all = JSON.stringify(answer.headers) + answer.body;
        assert.ok(!all.includes(secretIn(seen.minted).value), 'nothing of it is passed on');
        assert.ok(!all.includes('sess_'));
        const entry = await gateway.envoy.accessLogOf(answer.case);
        assert.equal(entry.details, 'realtime_byok.invalid_upstream_response');
      });
    }
  }
  for (const reply of ['gzip', 'chunked', 'late 300']) {
    test(`${reply} is sealed as any other`, async () => {
      for (const name of Object.keys(mintPaths)) {
        const { answer, claims, seen } = await mintedThrough({ recorder: openai, gateway }, name, {
          headers: [
            ['x-reply', reply],
            ['accept-encoding', 'gzip, deflate, br'],
          ],
        });
        assert.equal(claims.upstream, secretIn(seen.minted).value);
        assert.deepEqual(answer.headerAll('content-encoding'), []);
        assert.equal(answer.header('content-length') ?? String(answer.body.length), String(answer.body.length));
      }
    });
  }
  test('that ends in the middle is not passed on', async () => {
    const answer = await gateway
      .send(mintRequest('current', { headers: [['x-reply', 'cut']] }))
      .catch((error) => error);
    const [seen] = openai.requests().slice(-1);
    const all = answer instanceof Error ? answer.message : JSON.stringify(answer.headers) + answer.body;
    assert.ok(!all.includes(secretIn(seen.minted).value));
    if (!(answer instanceof Error)) assert.ok(answer.status >= 500);
  });
});

test('nothing of these answers is in a log, a statistic or a page', () =>
  assertNowhere(gateway, [...openai.secrets.values(), providerKey, sealingKey]));
