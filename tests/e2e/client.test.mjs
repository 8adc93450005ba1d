// What the client gets back: the selected subprotocol, and the upstream's refusals of the gateway's key.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import {
  assertDenial, authorized, chatRequest, clientKey, providerKey, restRequest, route, slot, tokens, upgradeRequest,
  useRig,
} from './harness/index.mjs';

const token = tokens.web;
const encodedSlot = `cf-aig-authorization-base64url.${Buffer.from(token).toString('base64url')}`;

const { forwarded, gateway, recorder } = useRig({
  changes: {
    policies: { default: { provider: 'openai' }, health: { auth: 'off' } },
  },
  routes: [
    route({ name: 'health', prefix: '/health' }),
    {
      name: 'default',
      match: { prefix: '/forbidden' },
      direct_response: { status: 403, body: { inline_string: 'from Envoy itself' } },
    },
    route({ prefix: '/nowhere', cluster: 'dead' }),
    route({}),
  ],
  clusters: [
    {
      name: 'dead',
      type: 'STATIC',
      load_assignment: {
        cluster_name: 'dead',
        endpoints: [
          { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: 1 } } } }] },
        ],
      },
    },
  ],
});

describe('the selected subprotocol', () => {
  const cases = [
    // what the client offers, what the upstream selects, what the client gets
    ["the upstream's choice", ['realtime', slot], 'select realtime', ['realtime']],
    ["the upstream's second choice", [`a, ${slot}, b`], 'select b', ['b']],
    ['none selected: the first that is no credential', [slot, 'a, b'], '', ['a']],
    ['none selected, on several lines', [`${slot},`, ' , a'], '', ['a']],
    ["none selected, credentials only: the gateway's", [`openai-insecure-api-key.${clientKey}, ${slot}`], '', [slot]],
    [
      "none selected, the gateway's in base64url",
      [`openai-insecure-api-key.${clientKey}`, encodedSlot],
      '',
      [encodedSlot],
    ],
    [
      'none selected, provider slot only: the first',
      [`openai-insecure-api-key.${token}`],
      '',
      [`openai-insecure-api-key.${token}`],
    ],
    ['one that was never offered is replaced', ['realtime', slot], 'select other', ['realtime']],
    ['one that differs in case is replaced', ['realtime', slot], 'select REALTIME', ['realtime']],
    ['a part of an offered one is replaced', ['realtime', slot], 'select real', ['realtime']],
    ['two selected at once are replaced', ['realtime, a', slot], 'select realtime, a', ['realtime']],
    ['none offered, none selected', [], '', []],
    ['none offered, one selected', [], 'select realtime', []],
    ['an empty offer', [' , ,'], 'select realtime', []],
  ];
  for (const [name, protocols, reply, want] of cases) {
    test(name, async () => {
      const { answer } = await forwarded(
        upgradeRequest({ protocols, headers: [...authorized, ...(reply ? [['x-reply', reply]] : [])] }),
      );
      assert.deepEqual(answer.headerAll('sec-websocket-protocol'), want);
      assert.equal(answer.headerAll('sec-websocket-accept').length, 1);
    });
  }
  test("without a word of the provider's key", async () => {
    const { answer } = await forwarded(upgradeRequest({ protocols: [slot] }));
    assert.ok(!JSON.stringify(answer.headers).includes(providerKey));
  });
});

describe("the upstream refuses the gateway's key", () => {
  const requests = {
    'an upgrade': (reply) => upgradeRequest({ protocols: ['realtime', slot], headers: [['x-reply', reply]] }),
    GET: (reply) => restRequest({ target: '/v1/models', headers: [...authorized, ['x-reply', reply]] }),
    POST: (reply) => chatRequest({ headers: [...authorized, ['x-reply', reply]] }),
  };
  for (const [name, build] of Object.entries(requests)) {
    for (const status of [401, 403]) {
      test(`${name}, ${status}`, async () => {
        const answer = await gateway.send(build(`refuse ${status}`));
        assertDenial(answer, 'provider_key_rejected');
        assert.equal(recorder.requestsOf(answer.case).length, 1);
        const all = JSON.stringify(answer.headers) + answer.body;
        assert.ok(!all.includes(providerKey), 'the key is quoted');
        assert.doesNotMatch(all, /upstream_text|x-upstream-note|upstream=1|Incorrect API key/);
        const entry = await gateway.envoy.accessLogOf(answer.case);
        assert.equal(entry.status, 502);
        assert.equal(entry.details, 'realtime_byok.provider_key_rejected');
      });
    }
  }
  for (const status of [401, 403]) {
    test(`an upgrade, ${status}, after bytes of the client`, async () => {
      const answer = await gateway.send(requests['an upgrade'](`refuse-late ${status}`), {
        after: Buffer.from('frames before the 101'),
      });
      assertDenial(answer, 'provider_key_rejected');
      assert.ok(!answer.body.toString().includes(providerKey));
    });
  }
  test('over HTTP/2', async () => {
    const answer = await gateway.sendHttp2({
      target: '/v1/models',
      headers: [...authorized, ['x-reply', 'refuse 401']],
    });
    assertDenial(answer, 'provider_key_rejected');
  });
});

describe('every other answer passes', () => {
  for (const status of [200, 201, 400, 402, 404, 407, 429, 500, 503]) {
    test(`the upstream's ${status}`, async () => {
      const answer = await gateway.send(chatRequest({ headers: [...authorized, ['x-reply', `json ${status}`]] }));
      assert.equal(answer.status, status);
      assert.equal(answer.body.toString(), '{"recorded":true}');
    });
  }
  test("the upstream's refusal to upgrade, with its body", async () => {
    const answer = await gateway.send(upgradeRequest({ headers: [...authorized, ['x-reply', 'refuse 400']] }));
    assert.equal(answer.status, 400);
    assert.match(answer.body.toString(), /upstream_text/);
  });
  test("Envoy's own 403", async () => {
    const answer = await gateway.send(restRequest({ target: '/forbidden', headers: authorized }));
    assert.equal(answer.status, 403);
    assert.equal(answer.body.toString(), 'from Envoy itself');
    assert.equal((await gateway.envoy.accessLogOf(answer.case)).details, 'direct_response');
  });
  test("Envoy's own 503", async () => {
    const answer = await gateway.send(restRequest({ target: '/nowhere', headers: authorized }));
    assert.equal(answer.status, 503);
    assert.doesNotMatch((await gateway.envoy.accessLogOf(answer.case)).details, /realtime_byok/);
  });
  test("the upstream's 401 where auth is off", async () => {
    const answer = await gateway.send(
      restRequest({
        target: '/health',
        headers: [
          ['x-reply', 'refuse 401'],
          ['authorization', 'Bearer theirs'],
        ],
      }),
    );
    assert.equal(answer.status, 401);
    assert.match(answer.body.toString(), /Bearer theirs/);
  });
  test('an event stream, as it comes', async () => {
    const { answer } = await forwarded(chatRequest({ headers: [...authorized, ['x-reply', 'sse']], stream: true }));
    assert.equal(answer.header('content-type'), 'text/event-stream');
    assert.equal(
      answer.body.toString(),
      'data: {"event":1}\n\ndata: {"event":2}\n\ndata: {"event":3}\n\ndata: [DONE]\n\n',
    );
  });
});

describe('an error says what to do and nothing secret', () => {
  const errors = {
    missing_gateway_token: upgradeRequest({ protocols: ['realtime'] }),
    invalid_gateway_token: upgradeRequest({ headers: [['cf-aig-authorization', tokens.unknown]] }),
    conflicting_credentials: upgradeRequest({ protocols: [slot, `cf-aig-authorization.${tokens.unknown}`] }),
    malformed_credentials: upgradeRequest({ protocols: [slot, `cf-aig-authorization-base64url.${tokens.unknown}.!`] }),
  };
  for (const [code, request] of Object.entries(errors)) {
    test(code, async () => {
      const answer = await gateway.send(request);
      assertDenial(answer, code);
      const all = JSON.stringify(answer.headers) + answer.body;
      for (const secret of [...Object.values(tokens), clientKey, providerKey]) assert.ok(!all.includes(secret));
      assert.match(answer.json().error.message, /^[A-Z].*\.$/s, 'a sentence');
    });
  }
  test('a HEAD request gets the headers alone', async () => {
    const answer = await gateway.send(restRequest({ method: 'HEAD', target: '/v1/models' }));
    assert.equal(answer.status, 401);
    assert.equal(answer.header('www-authenticate'), 'Bearer realm="realtime-byok"');
  });
});
