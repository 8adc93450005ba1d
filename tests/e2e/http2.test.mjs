// HTTP/2: WebSockets by extended CONNECT (RFC 8441) to an HTTP/1.1 upstream, and REST.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { assertDenial, clientKey, providerKey, route, slot, tokens, until, useRig } from './harness/index.mjs';

const token = tokens.web;
const target = '/v1/realtime?model=gpt-realtime';

const { gateway, recorder } = useRig({
  changes: {
    policies: { default: { provider: 'openai', meter: false }, ruled: { provider: 'openai', models: ['gpt-realtime*'] } },
  },
  routes: [route({ name: 'ruled', prefix: '/ruled' }), route({})],
});

const websocket = (headers, options = {}) =>
  gateway.sendHttp2({
    connect: 'websocket',
    target,
    headers: [['sec-websocket-version', '13'], ...headers],
    ...options,
  });

describe('a method that echoes', () => {
  for (const method of ['TRACE', 'TRACK', 'trace']) {
    test(method, async () => {
      const answer = await gateway.sendHttp2({ method, target: '/v1/models', headers: [['cf-aig-authorization', token]] });
      assertDenial(answer, 'method_not_allowed');
      assert.deepEqual(answer.headerAll('allow'), ['GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS']);
      assert.deepEqual(recorder.requestsOf(answer.case), []);
    });
  }
});

describe('extended CONNECT', () => {
  test("becomes an HTTP/1.1 upgrade with a key of the gateway's making", async () => {
    const keys = new Set();
    for (let round = 0; round < 5; round += 1) {
      const answer = await websocket([['sec-websocket-protocol', `realtime, ${slot}, openai-beta.realtime-v1`]]);
      assert.equal(answer.status, 200);
      const [seen] = recorder.requestsOf(answer.case);
      assert.equal(seen.method, 'GET');
      assert.equal(seen.target, target);
      assert.equal(seen.header('upgrade'), 'websocket');
      assert.equal(seen.subprotocols(), 'realtime');
      assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
      assert.equal(seen.headerAll('sec-websocket-key').length, 1);
      const key = seen.header('sec-websocket-key');
      assert.equal(Buffer.from(key, 'base64').length, 16, 'RFC 6455: 16 random bytes');
      assert.equal(Buffer.from(key, 'base64').toString('base64'), key);
      keys.add(key);
      answer.close();
    }
    assert.equal(keys.size, 5, 'each is a new one');
  });
  test('leaves a key that is there', async () => {
    const key = 'AAAAAAAAAAAAAAAAAAAAAA==';
    const answer = await websocket([
      ['cf-aig-authorization', token],
      ['sec-websocket-key', key],
    ]);
    assert.equal(answer.status, 200);
    assert.deepEqual(recorder.requestsOf(answer.case)[0].headerAll('sec-websocket-key'), [key]);
    answer.close();
  });
  test('carries bytes both ways', async () => {
    const answer = await websocket([['cf-aig-authorization', token]]);
    const received = [];
    answer.stream.on('data', (chunk) => received.push(chunk));
    answer.stream.write('over http/2');
    await until('the echo', () => Buffer.concat(received).toString() === 'over http/2');
    answer.close();
  });
  test('the answer selects as over HTTP/1.1, without a sec-websocket-accept', async () => {
    for (const [offer, reply, want] of [
      [`${slot}, realtime`, '', ['realtime']],
      [`realtime, b, ${slot}`, 'select b', ['b']],
      [slot, '', [slot]],
      [`openai-insecure-api-key.${clientKey}, ${slot}`, 'select other', [slot]],
    ]) {
      const answer = await websocket([['sec-websocket-protocol', offer], ...(reply ? [['x-reply', reply]] : [])]);
      assert.deepEqual(answer.headerAll('sec-websocket-protocol'), want);
      assert.deepEqual(answer.headerAll('sec-websocket-accept'), []);
      answer.close();
    }
  });
  const denials = {
    missing_gateway_token: [['sec-websocket-protocol', 'realtime']],
    invalid_gateway_token: [['cf-aig-authorization', tokens.unknown]],
    conflicting_credentials: [
      ['cf-aig-authorization', token],
      ['sec-websocket-protocol', `cf-aig-authorization.${tokens.other}`],
    ],
    malformed_credentials: [['sec-websocket-protocol', 'realtime, realtime']],
  };
  for (const [code, headers] of Object.entries(denials)) {
    test(`denied: ${code}`, async () => {
      const answer = await websocket(headers);
      assertDenial(answer, code);
      assert.deepEqual(recorder.requestsOf(answer.case), []);
      assert.equal((await gateway.envoy.accessLogOf(answer.case)).details, `realtime_byok.${code}`);
    });
  }
  test('the model rule holds', async () => {
    assertDenial(
      await websocket([['cf-aig-authorization', token]], { target: '/ruled?model=gpt-5' }),
      'model_not_allowed',
    );
    assertDenial(await websocket([['cf-aig-authorization', token]], { target: '/ruled' }), 'model_required');
  });
  for (const status of [401, 403]) {
    test(`the upstream's ${status} to our key is a 502 without its text`, async () => {
      const answer = await websocket([
        ['cf-aig-authorization', token],
        ['x-reply', `refuse ${status}`],
      ]);
      assertDenial(answer, 'provider_key_rejected');
      assert.ok(!(JSON.stringify(answer.headers) + answer.body).includes(providerKey));
    });
  }
});

test('REST over HTTP/2', async () => {
  const answer = await gateway.sendHttp2({
    method: 'POST',
    target: '/v1/chat/completions?api_key=1',
    headers: [
      ['authorization', `Bearer ${token}`],
      ['cookie', 'a=1'],
      ['cookie', 'b=2'],
      ['content-type', 'application/json'],
    ],
    body: '{"model":"gpt-5"}',
  });
  assert.equal(answer.status, 200);
  const [seen] = recorder.requestsOf(answer.case);
  assert.equal(seen.target, '/v1/chat/completions');
  assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
  assert.deepEqual(seen.headerAll('cookie'), []);
  assert.equal(seen.body.toString(), '{"model":"gpt-5"}');
});

test('a plain CONNECT is refused', async () => {
  const answer = await gateway
    .sendHttp2({ connect: 'bytestream', target, headers: [['cf-aig-authorization', token]] })
    .catch((error) => error);
  assert.notEqual(answer.status, 200);
});
