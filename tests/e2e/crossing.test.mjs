// What must not cross: a client's token on its way up, wherever it stands; a provider's key on its way down.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { describe } from 'node:test';
import {
  authorized, chatRequest, clientKey, providerKey, restRequest, route, tokens, upgradeRequest, useRecorder, useRig,
} from './harness/index.mjs';
import { closePayload, frame, opcodes } from './harness/websocket.mjs';

const token = tokens.web;
const base64 = (text) => Buffer.from(text).toString('base64');
const percent = (text) => text.replace(/./g, (letter) => `%${letter.charCodeAt(0).toString(16)}`);

const queryKey = 'sk/query+key=8Rt5';
const poolKeys = { POOL_A: 'azure-pool-key-a-3Xk9', POOL_B: 'azure-pool-key-b-7Wq2' };
const upstream = useRecorder();
const rig = useRig({
  upstream,
  changes: {
    providers: {
      openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' } },
      gemini: { kind: 'gemini', key: { env: 'OPENAI_API_KEY' } },
      asking: { kind: 'custom', query: 'subscription-key', key: { value: queryKey } },
      pool: {
        kind: 'azure_openai',
        keys: Object.keys(poolKeys).map((env) => ({ name: env, key: { env } })),
      },
    },
    policies: {
      default: { provider: 'openai' },
      gemini: { provider: 'gemini' },
      asking: { provider: 'asking' },
      pool: { provider: 'pool' },
    },
  },
  env: { OPENAI_API_KEY: providerKey, OTHER_TOKEN: tokens.other, ...poolKeys },
  routes: [
    route({ prefix: '/asking', policy: 'asking', rewrite: '/' }),
    route({ prefix: '/pool', policy: 'pool', rewrite: '/' }),
    route({ prefix: '/google/', policy: 'gemini', rewrite: '/' }),
    route({ prefix: '//ws', policy: 'gemini' }),
    // A filter behind this one cannot hide it: Envoy itself quotes the path, with the key in it.
    { match: { prefix: '/moved' }, metadata: { filter_metadata: { realtime_byok: { policy: 'asking' } } },
      redirect: { host_redirect: 'elsewhere.test' } },
    route({}),
  ],
});
const { forwarded, denied, gateway, recorder } = rig;

/** Sends over HTTP/2 what must reach the upstream once: what it saw. */
async function overHttp2({ connect, target, headers, ...request }) {
  const answer = await gateway.sendHttp2({
    target,
    headers: [...(connect ? [['sec-websocket-version', '13']] : []), ...headers],
    ...(connect ? { connect } : {}),
    ...request,
  });
  answer.close?.();
  const seen = recorder.requestsOf(answer.case);
  assert.equal(seen.length, 1, `answered ${answer.status}: ${answer.body}`);
  return { answer, seen: seen[0] };
}

/** The same request in all four ways: a WebSocket and REST, over HTTP/1.1 and HTTP/2. */
async function everyWay(headers, query = '') {
  const websocket = { target: `/v1/realtime?model=gpt-realtime${query}`, headers };
  const rest = { target: `/v1/models?limit=1${query}`, headers };
  return Promise.all([
    forwarded(upgradeRequest(websocket)),
    forwarded(restRequest(rest)),
    overHttp2({ connect: 'websocket', ...websocket }),
    overHttp2(rest),
  ]);
}

describe('up: a line in which a token stands', () => {
  const cases = [
    ['referer', `https://app.example.com/?token=${token}`],
    ['referer', `https://app.example.com/?next=%2F%3Ft%3D${percent(token).replaceAll('%', '%25')}`],
    ['referer', percent(token)],
    ['proxy-authorization', `Bearer ${token}`],
    ['proxy-authorization', 'Basic dXNlcjpwYXNz'],
    ['x-nobody-knows', `a=${token}; b=2`],
    ['x-nobody-knows', `Basic ${base64(`user:${token}`)}`],
    ['x-original-url', `/v1/realtime?key=${clientKey}`],
    ['api_key', clientKey],
    ['user-agent', `client/1 (${token})`],
  ];
  for (const [name, value] of cases) {
    test(`${name}: ${value}`, async () => {
      const headers = [[name, value], ...authorized, ['x-api-key', clientKey], ['x-kept', '1']];
      for (const { seen } of await everyWay(headers)) {
        assert.deepEqual(seen.headerAll(name), []);
        assert.equal(seen.header('x-kept'), '1');
        for (const secret of [token, clientKey, base64(`user:${token}`)]) assert.ok(!seen.text().includes(secret));
        assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
      }
    });
  }
  test('leaves the other lines of its name', async () => {
    for (const { seen } of await everyWay([...authorized, ['x-list', 'one'], ['x-list', token], ['x-list', 'two']])) {
      assert.equal(seen.headerAll('x-list').join(', '), 'one, two');
    }
  });
});

describe('up: a parameter in which a token stands', () => {
  for (const query of [`&x=${token}`, `&token=a${percent(token)}b`, `&${token}`, `&next=%2F%3Fk%3D${token}`]) {
    test(query, async () => {
      for (const { seen } of await everyWay(authorized, `${query}&y=1`)) {
        assert.match(seen.target, /^\/v1\/(realtime\?model=gpt-realtime|models\?limit=1)&y=1$/);
      }
    });
  }
  test('in the path it is refused', async () => {
    const target = `/v1/${token}/models`;
    await denied(restRequest({ target, headers: authorized }), 'malformed_credentials');
  });
});

describe('up: connection', () => {
  for (const line of ['Upgrade, authorization, openai-project', 'keep-alive, Upgrade', 'upgrade,api-key,close']) {
    test(line, async () => {
      const request = upgradeRequest({ headers: authorized });
      const headers = request.headers.map(([name, value]) => [name, name === 'connection' ? line : value]);
      const { seen } = await forwarded({ ...request, headers });
      assert.deepEqual(seen.headerAll('connection'), ['upgrade']);
      assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
    });
  }
  test('of an extended CONNECT', async () => {
    const { seen } = await overHttp2({ connect: 'websocket', target: '/v1/realtime', headers: authorized });
    assert.deepEqual(seen.headerAll('connection').map((line) => line.toLowerCase()), ['upgrade']);
  });
  test('of REST nominates nothing', async () => {
    const { seen } = await forwarded(chatRequest({ headers: [...authorized, ['connection', 'close, authorization']] }));
    assert.ok(!seen.headerAll('connection').join().includes('authorization'));
    assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
  });
});

describe("up: Google's key in the query is a slot", () => {
  const live = '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent';
  for (const target of [`/google${live}`, `/${live}`]) {
    test(target, async () => {
      const h1 = await forwarded(upgradeRequest({ target: `${target}?key=${token}` }));
      const h2 = await overHttp2({ connect: 'websocket', target: `${target}?key=${token}`, headers: [] });
      for (const { seen } of [h1, h2]) {
        assert.equal(seen.target, target.replace('/google/', '/'));
        assert.deepEqual(seen.headerAll('x-goog-api-key'), [providerKey]);
        assert.ok(!seen.text().includes(token));
      }
    });
  }
  test('conflicts count, and other routes have no such slot', async () => {
    const target = `/google${live}?key=${token}`;
    await denied(upgradeRequest({ target, headers: [['x-goog-api-key', clientKey]] }), 'conflicting_credentials');
    await denied(upgradeRequest({ target: `/v1/realtime?key=${token}` }), 'missing_gateway_token');
    await denied(restRequest({ target: `/v1beta/models?key=${token}` }), 'missing_gateway_token');
  });
});

describe('down: no line holds a key, a cookie or the account', () => {
  const secrets = [providerKey, queryKey, encodeURIComponent(queryKey), ...Object.values(poolKeys)];

  function assertNothing(answer) {
    const lines = answer.headers.map(([name, value]) => `${name}: ${value}`).join('\n');
    for (const secret of secrets) assert.ok(!lines.toLowerCase().includes(secret.toLowerCase()), lines);
    for (const name of ['set-cookie', 'openai-organization', 'openai-project']) {
      assert.deepEqual(answer.headerAll(name), [], name);
    }
    assert.deepEqual(answer.headerAll('x-kept'), ['1']);
    return lines;
  }

  for (const path of ['', '/asking', '/pool']) {
    for (const status of [101, 200, 307, 400, 429, 500]) {
      test(`${path || 'header'} ${status}`, async () => {
        const headers = [...authorized, ['x-reply', `quote ${status}`]];
        const upgrade = await forwarded(upgradeRequest({ target: `${path}/v1/realtime`, headers }), { status });
        const h2 = await overHttp2({ connect: 'websocket', target: `${path}/v1/realtime`, headers });
        const answers = [upgrade.answer, h2.answer];
        if (status !== 101) {
          answers.push((await forwarded(restRequest({ target: `${path}/v1/models`, headers }), { status })).answer);
          answers.push((await overHttp2({ target: `${path}/v1/models`, headers })).answer);
        }
        for (const answer of answers) {
          const lines = assertNothing(answer);
          if (path === '/asking') assert.match(lines, /location: https:\/\/elsewhere\.test\/.*subscription-key=redacted/);
          else assert.match(lines, /x-echo: (Bearer )?redacted/);
          assert.match(answer.headerAll('link').join(', '), /; rel=next, <https:\/\/elsewhere.test\/>; rel=prev$/);
        }
      });
    }
  }
  test('also where Envoy itself redirects', async () => {
    const answer = await gateway.send(restRequest({ target: '/moved/v1/models', headers: authorized }));
    assert.equal(answer.status, 301);
    assert.equal(answer.header('location'), 'http://elsewhere.test/moved/v1/models?subscription-key=redacted');
  });
  test('401 and 403 give way whole', async () => {
    for (const status of [401, 403]) {
      const headers = [...authorized, ['x-reply', `quote ${status}`]];
      const { answer } = await forwarded(restRequest({ target: '/v1/models', headers }), { status: 502 });
      assert.deepEqual(answer.headerAll('x-kept'), []);
      assert.ok(!answer.headers.join('\n').includes(providerKey));
    }
  });
});

test('no field of the access log holds a control character, whatever a close reason does', async () => {
  const answer = await gateway.send(upgradeRequest({ headers: [...authorized, ['x-reply', 'frames']] }));
  assert.equal(answer.status, 101);
  const echoed = once(answer.socket, 'data');
  answer.socket.resume();
  answer.socket.write(frame(opcodes.close, closePayload(1000, 'bye\r\n1.1.1.1 "GET / HTTP/1.1" 200 \u2028\u0085'), { mask: true }));
  await echoed;
  answer.socket.destroy();
  const { session } = await gateway.envoy.accessLogOf(answer.case);
  assert.equal(session.caller, 'web-app');
  for (const [field, value] of Object.entries(session)) assert.doesNotMatch(String(value), /[\p{Cc}\u2028\u2029]/u, field);
});

describe('bodies and models', () => {
  test('JSON in another charset is malformed', async () => {
    const headers = [...authorized, ['content-type', 'application/json; charset="utf-16"']];
    await denied(restRequest({ target: '/v1/chat/completions', headers, body: '{"model":"gpt-5"}' }), 'malformed_request');
  });
  for (const model of ['m%0AHTTP/1.1 200 caller=forged'.replaceAll(' ', '%20'), 'a%26model=b', 'a%253Bb', 'a;b']) {
    test(`?model=${model} is malformed`, async () => {
      const request = upgradeRequest({ target: `/v1/realtime?model=${model}`, headers: authorized });
      await denied(request, 'malformed_request');
    });
  }
});
