// Input that nobody sends by accident. Each gets an answer, none reaches the upstream, and the filter lives on.
import assert from 'node:assert/strict';
import net from 'node:net';
import test, { describe } from 'node:test';
import {
  assertSound, authorized, chatRequest, clientKey, exchange, nextCase, providerKey, restRequest, route, sha256, slot, tokens,
  upgradeRequest, useRig,
} from './harness/index.mjs';

const token = tokens.web;

const { forwarded, denied, gateway, recorder } = useRig({
  changes: {
    callers: {
      'web-app': { tokens: [{ sha256: sha256(token) }] },
      'longer-name': { tokens: [{ sha256: sha256(`${token}-and-more`) }] },
      lapsed: { tokens: [{ sha256: sha256('gt-lapsed'), not_after: '2020-01-01T00:00:00Z' }] },
    },
    policies: { default: { provider: 'openai' }, ruled: { provider: 'openai', models: ['gpt-realtime*'] } },
  },
  routes: [route({ name: 'ruled', prefix: '/ruled' }), route({})],
  // Room for 60 KB header values: Envoy's own limit would answer before the filter.
  // And more upgrades than WebSocket, which Envoy would refuse likewise.
  hcm: {
    max_request_headers_kb: 256,
    common_http_protocol_options: { max_headers_count: 2_000 },
    upgrade_configs: ['websocket', 'spdy/3.1', 'CONNECT'].map((upgrade_type) => ({ upgrade_type })),
  },
});

const long = 'x'.repeat(60_000);
const everyOctet = Buffer.from(Array.from({ length: 128 }, (_, index) => index + 128)).toString('latin1');

describe('octets and sizes', () => {
  const passing = {
    'a non-UTF-8 header beside': [['x-bytes', everyOctet]],
    'a 60 KB header beside': [['x-long', long]],
    'a 60 KB non-UTF-8 header beside': [['x-long', '\xff'.repeat(60_000)]],
    'a 60 KB provider key beside': [['x-api-key', long]],
    'a non-UTF-8 provider key beside': [['authorization', `Bearer ${everyOctet}`]],
    'a 60 KB cookie beside': [['cookie', long]],
    'a thousand lines beside': Array.from({ length: 1_000 }, (_, index) => ['x-many', String(index)]),
    'a thousand provider keys beside': Array.from({ length: 1_000 }, (_, index) => ['api-key', `k${index}`]),
    'a non-UTF-8 openai-beta': [['openai-beta', `realtime=v1, ${everyOctet}`]],
    'non-UTF-8 in every header that the filter reads': [
      'origin',
      'content-type',
      'openai-organization',
      'openai-project',
      'cookie',
      'x-realtime-byok-provider',
    ].map((name) => [name, everyOctet]),
  };
  for (const [name, headers] of Object.entries(passing)) {
    test(`${name} passes`, async () => {
      for (const build of [upgradeRequest, restRequest]) {
        const { seen } = await forwarded(build({ headers: [...headers, ...authorized] }));
        assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
        for (const kept of ['x-bytes', 'x-long', 'x-many']) {
          assert.deepEqual(
            seen.headerAll(kept),
            headers.filter(([one]) => one === kept).map(([, value]) => value),
          );
        }
      }
    });
  }
  const refused = {
    'a non-UTF-8 token': [[['cf-aig-authorization', everyOctet]], 'invalid_gateway_token'],
    'a non-UTF-8 token in Authorization': [[['authorization', `Bearer ${everyOctet}`]], 'invalid_gateway_token'],
    'a 60 KB token': [[['cf-aig-authorization', long]], 'invalid_gateway_token'],
    'a 60 KB token that begins well': [[['cf-aig-authorization', token + long]], 'invalid_gateway_token'],
    'a thousand different tokens': [
      Array.from({ length: 1_000 }, (_, index) => ['cf-aig-authorization', `t${index}`]),
      'conflicting_credentials',
    ],
    'a thousand good and one other': [
      [...Array.from({ length: 1_000 }, () => ['cf-aig-authorization', token]), ['cf-aig-authorization', 'x']],
      'conflicting_credentials',
    ],
    'a tab in a token': [[['authorization', `Bearer ${token}\tx`]], 'malformed_credentials'],
    'a comma at the end and another token': [[['cf-aig-authorization', `${token}, x`]], 'conflicting_credentials'],
    'a scheme alone in capitals': [[['authorization', 'BEARER']], 'malformed_credentials'],
  };
  for (const [name, [headers, code]] of Object.entries(refused)) {
    test(`${name}: ${code}`, async () => {
      await denied(upgradeRequest({ headers }), code);
      await denied(chatRequest({ headers }), code);
    });
  }
  test('commas around a token are empty list members', async () => {
    await forwarded(upgradeRequest({ headers: [['cf-aig-authorization', `,, ${token} ,`]] }));
  });
});

describe('subprotocols', () => {
  const many = (count, prefix = 'p') => Array.from({ length: count }, (_, index) => `${prefix}${index}`);
  test('500 of them are read, in order', async () => {
    const { seen } = await forwarded(
      upgradeRequest({ protocols: [[...many(250), slot, ...many(250, 'q')].join(', ')] }),
    );
    assert.deepEqual(seen.subprotocols().split(', '), [...many(250), ...many(250, 'q')]);
  });
  test('500 on 500 lines are read, in order', async () => {
    const { seen } = await forwarded(upgradeRequest({ protocols: [...many(499), slot] }));
    assert.deepEqual(seen.subprotocols().split(/, ?|\|/), many(499));
  });
  const cases = {
    '500 different credentials': [[many(500, 'cf-aig-authorization.t').join(',')], 'conflicting_credentials'],
    'a list of 60 KB': [[`${slot}, ${long}`], 'malformed_credentials'],
    'a 60 KB token': [[`cf-aig-authorization.${long}`], 'malformed_credentials'],
    '20,000 commas': [[`${slot}${','.repeat(20_000)}`], 'malformed_credentials'],
    'non-UTF-8': [[`${slot}, ${everyOctet}`], 'malformed_credentials'],
    'non-UTF-8 in a token': [[`${slot}\xff`], 'malformed_credentials'],
    'a tab inside': [[`real\ttime, ${slot}`], 'malformed_credentials'],
    'repeated across lines': [[slot, 'a', 'b', 'a'], 'malformed_credentials'],
    semicolons: [[`${slot};q=1`], 'malformed_credentials'],
    'empty list items only': [[', ,\t,'], 'missing_gateway_token'],
    'a token that a valid one begins': [[`${slot}-and`], 'invalid_gateway_token'],
    'an unpadded base64url of a stranger': [
      [`cf-aig-authorization-base64url.${Buffer.from('nobody').toString('base64url')}`],
      'invalid_gateway_token',
    ],
  };
  for (const [name, [protocols, code]] of Object.entries(cases)) {
    test(`${name}: ${code}`, () => denied(upgradeRequest({ protocols }), code));
  }
});

describe('tokens that are close', () => {
  test('a valid token that begins another is itself', () => forwarded(upgradeRequest({ headers: authorized })));
  test('the longer one too', () =>
    forwarded(upgradeRequest({ headers: [['cf-aig-authorization', `${token}-and-more`]] })));
  test('between the two there is none', () =>
    denied(upgradeRequest({ headers: [['cf-aig-authorization', `${token}-and`]] }), 'invalid_gateway_token'));
  test('an expired one', () =>
    denied(upgradeRequest({ headers: [['cf-aig-authorization', 'gt-lapsed']] }), 'expired_gateway_token'));
});

describe('the query', () => {
  const credentials = [
    `api_key=${clientKey}`,
    `api%5fkey=${clientKey}`,
    `%61%70%69%5F%6B%65%79=${clientKey}`,
    `API-KEY=${clientKey}`,
    `key=${clientKey}&key=${clientKey}`,
    `acc%65ss_token=${clientKey}`,
    `Key=${clientKey}`,
  ];
  for (const credential of credentials) {
    test(`${credential.replaceAll(clientKey, '…')} goes nowhere`, async () => {
      const { seen } = await forwarded(
        upgradeRequest({ target: `/v1/realtime?${credential}&model=gpt-realtime&${credential}`, headers: authorized }),
      );
      assert.equal(seen.target, '/v1/realtime?model=gpt-realtime');
    });
    test(`${credential.replaceAll(clientKey, '…')} is no token`, () =>
      denied(
        upgradeRequest({ target: `/v1/realtime?${credential.replaceAll(clientKey, token)}` }),
        'missing_gateway_token',
      ));
  }
  const malformed = [
    'model=gpt-realtime&model=gpt-realtime',
    'model=gpt-realtime&MODEL=x',
    'model=%',
    'model=%f',
    'model=%g0',
    'model=gpt-realtime%ff',
    'model=%c3%28',
    'model=gpt-realtime%',
    'model=%ed%a0%80',
  ];
  for (const query of malformed) {
    test(`?${query}: malformed_request`, () =>
      denied(upgradeRequest({ target: `/ruled?${query}`, headers: authorized }), 'malformed_request'));
  }
  for (const query of ['model=%00gpt-realtime', 'model=%0d%0ax:1', `model=${'m'.repeat(50_000)}`, 'model=*']) {
    test(`?${query.slice(0, 30)}: refused`, async () => {
      const answer = await gateway.send(upgradeRequest({ target: `/ruled?${query}`, headers: authorized }));
      assert.ok([400, 403].includes(answer.status), `answered ${answer.status}`);
      assert.match(answer.json().error.code, /^(model_not_allowed|malformed_request)$/);
      assert.deepEqual(recorder.requestsOf(answer.case), []);
    });
  }
  test('two thousand parameters', async () => {
    const query = Array.from({ length: 2_000 }, (_, index) => `p${index}=${index}`).join('&');
    const { seen } = await forwarded(upgradeRequest({ target: `/v1/realtime?${query}&key=1`, headers: authorized }));
    assert.equal(seen.target, `/v1/realtime?${query}`);
  });
});

describe('upgrades that are none', () => {
  const upgradeTo = (protocol, method = 'GET') => ({
    method,
    target: '/v1/realtime?model=gpt-realtime',
    headers: [['host', 'gateway.test'], ['connection', 'Upgrade'], ['upgrade', protocol], ...authorized],
  });
  for (const protocol of ['spdy/3.1', 'SPDY/3.1']) {
    test(`upgrade: ${protocol}, which Envoy allows`, () => denied(upgradeTo(protocol), 'malformed_request'));
  }
  for (const protocol of ['TLS/1.0', 'websocketx', 'web socket', 'foo, websocket']) {
    test(`upgrade: ${protocol}, which Envoy refuses itself`, async () => {
      const answer = await gateway.send(upgradeTo(protocol));
      assert.equal(answer.status, 403);
      assert.deepEqual(recorder.requestsOf(answer.case), []);
    });
  }
  test('CONNECT, which Envoy allows', () =>
    denied(
      { method: 'CONNECT', target: 'api.openai.com:443', headers: [['host', 'api.openai.com:443'], ...authorized] },
      'malformed_request',
    ));
  test("upgrade: h2c is dropped by Envoy's codec, so the request is REST", async () => {
    const { seen } = await forwarded(upgradeTo('h2c'), { status: 200 });
    assert.deepEqual(seen.headerAll('upgrade'), []);
  });
  test('upgrade: WEBSOCKET is one', () =>
    forwarded({
      ...upgradeTo('WEBSOCKET'),
      headers: [...upgradeTo('WEBSOCKET').headers, ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ==']],
    }));
  for (const method of ['POST', 'PUT', 'OPTIONS']) {
    test(`a WebSocket by ${method}`, () => denied(upgradeTo('websocket', method), 'malformed_request'));
  }
  test('a WebSocket by HEAD, whose answer has no body', async () => {
    const answer = await gateway.send(upgradeTo('websocket', 'HEAD'));
    assert.equal(answer.status, 400);
    assert.equal((await gateway.envoy.accessLogOf(answer.case)).details, 'realtime_byok.malformed_request');
    assert.deepEqual(recorder.requestsOf(answer.case), []);
  });
});

describe('methods that echo', () => {
  const echo = (method, headers = authorized) => ({
    method,
    target: '/v1/models?limit=1',
    headers: [['host', 'gateway.test'], ...headers],
  });
  for (const headers of [[], authorized]) {
    test(`TRACE with ${headers.length} tokens`, async () => {
      const answer = await denied(echo('TRACE', headers), 'method_not_allowed');
      assert.deepEqual(answer.headerAll('allow'), ['GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS']);
    });
  }
  for (const method of ['TRACK', 'trace']) {
    test(`${method}, which Envoy's codec refuses`, async () => {
      const answer = await gateway.send(echo(method));
      assert.equal(answer.status, 400);
      assert.deepEqual(recorder.requestsOf(answer.case), []);
    });
  }
});

describe('paths that upstreams read in different ways', () => {
  const post = (target) => restRequest({ method: 'POST', target, headers: authorized, json: { model: 'gpt-5' } });
  for (const target of [
    '/v1/chat/completions/;x',
    '/v1/chat/completions/%3Bx',
    '/v1/chat/completions/%20',
    '/v1/chat/completions/%252e',
    '/v1/realtime/%252e%252e/chat/completions',
    '/v1/realtime/..%3b/chat/completions',
    '/v1/realtime/..%09/chat/completions',
    '/v1/realtime/%2e%2e/chat/completions',
    '/v1/realtime%5ccalls',
    '/v1/caf%C3%A9',
  ]) {
    test(`${target}: malformed_request`, () => denied(post(target), 'malformed_request'));
    test(`${target}, as a WebSocket: malformed_request`, () =>
      denied(upgradeRequest({ target, headers: authorized }), 'malformed_request'));
  }
  for (const target of [
    '/v1/account/gateway/openai/',
    '/v1/account/gateway/%6fpenai',
    '/v1/realtime/calls/',
    '/v1/realtime/translations/calls/',
    '/openai/v1/RealtimeRTC',
    '/v1/live//sessions',
    '/v1/live/sessions/live_1/fork',
    '/v1/realtime/calls/rtc_1',
    '/v1/chatkit/sessions',
    '/v1alpha/auth_tokens',
  ]) {
    test(`${target}: route_not_allowed`, () => denied(post(target), 'route_not_allowed'));
  }
  test('an encoded slash stays encoded, and is refused', () =>
    denied(post('/v1/realtime%2fcalls'), 'malformed_request'));
  test('what is unreserved may be encoded, and goes up as it came', async () => {
    const { seen } = await forwarded(post('/v1/chat//%63ompletions/'), { status: 200 });
    assert.equal(seen.target, '/v1/chat//%63ompletions/');
  });
});

describe('what Envoy itself refuses', () => {
  const raw = (lines) => Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  const head = (id) => ['GET /v1/realtime?model=gpt-realtime HTTP/1.1', 'host: gateway.test', `x-case: ${id}`];
  const attempts = {
    'NUL in a token': (id) => raw([...head(id), `cf-aig-authorization: ${token}\0`]),
    'NUL in a subprotocol': (id) => raw([...head(id), `sec-websocket-protocol: ${slot}\0x`]),
    'NUL in a header name': (id) => raw([...head(id), `x\0y: 1`, `cf-aig-authorization: ${token}`]),
    'a bare CR in a token': (id) => raw([...head(id), `cf-aig-authorization: ${token}\rx-evil: 1`]),
    'a bare LF in a token': (id) => raw([...head(id), `cf-aig-authorization: nobody\nx-evil: 1`]),
    'a folded line': (id) => raw([...head(id), 'cf-aig-authorization: Bearer', ` nobody`]),
    'two lengths': (id) =>
      raw([...head(id), 'content-length: 1', 'content-length: 2', `cf-aig-authorization: ${token}`]),
  };
  for (const [name, build] of Object.entries(attempts)) {
    test(`${name} is never forwarded`, async () => {
      const id = nextCase();
      const answer = await exchange(gateway.port, build(id));
      assert.ok([400, 401].includes(answer.status), `answered ${answer.status}`);
      assert.deepEqual(recorder.requestsOf(id), []);
    });
  }
  test('CR LF inside an encoded token injects nothing', () =>
    denied(
      upgradeRequest({
        protocols: [`cf-aig-authorization-base64url.${Buffer.from(`${token}\r\nx-evil: 1`).toString('base64url')}`],
      }),
      'malformed_credentials',
    ));
  test('half a request and a closed connection', async () => {
    const socket = net.connect(gateway.port, '127.0.0.1');
    await new Promise((resolve) => socket.write(`GET / HTTP/1.1\r\ncf-aig-authorization: ${token}`, resolve));
    socket.destroy();
  });
});

describe('bodies', () => {
  const post = (body, headers = [['content-type', 'application/json']]) =>
    restRequest({ method: 'POST', target: '/ruled/v1', headers: [...authorized, ...headers], body });
  const cases = {
    'not JSON': 'not json',
    'half a JSON': '{"model":"gpt-re',
    NUL: '\0'.repeat(64),
    'every octet': everyOctet,
    'two models': '{"model":"gpt-realtime","model":"gpt-realtime"}',
    'trailing text': '{"model":"gpt-realtime"}}',
    'a number beyond all': '{"model":"gpt-realtime","n":-}',
  };
  for (const [name, body] of Object.entries(cases)) {
    test(`${name}: malformed_request`, () => denied(post(Buffer.from(body, 'latin1')), 'malformed_request'));
  }
  test('over the buffer limit: 413, from Envoy', async () => {
    const answer = await gateway.send(post(Buffer.alloc(4_000_000, ' ')));
    assert.equal(answer.status, 413);
    assert.deepEqual(recorder.requestsOf(answer.case), []);
  });
  test('a chunk size that is none', async () => {
    const answer = await gateway.send(
      post('zz\r\n{}\r\n0\r\n\r\n', [
        ['content-type', 'application/json'],
        ['transfer-encoding', 'chunked'],
      ]),
    );
    assert.equal(answer.status, 400);
    assert.deepEqual(recorder.requestsOf(answer.case), []);
  });
});

describe('afterwards', () => {
  test('the filter still serves, and has never failed', async () => {
    await forwarded(upgradeRequest({ protocols: ['realtime', slot] }));
    await assertSound(gateway.envoy);
  });
  test('every recorded request was one that the gateway admitted', () => {
    for (const seen of recorder.requests()) {
      assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
      assert.ok(!seen.text().includes(token) && !seen.text().includes(clientKey));
    }
  });
});
