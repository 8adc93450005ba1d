// envoy.yaml at work, in the arrangement of docker-compose.yaml: TLS on both sides, and a recorder as provider.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chatRequest, restRequest, startRecorder, until, upgradeRequest } from '../e2e/harness/index.mjs';
import { environment } from './files.mjs';
import { startProvider, startShipped } from './stand.mjs';

const bearer = (token) => ['authorization', `Bearer ${token}`];
const page = bearer(environment.WEB_APP_TOKEN);
const server = bearer(environment.BACKEND_TOKEN);

let recorder;
let provider;
let gateway;

before(async () => {
  recorder = await startRecorder();
  provider = await startProvider(recorder.port);
  gateway = await startShipped('envoy.yaml', provider);
});
after(async () => {
  await gateway?.stop();
  await provider?.stop();
  await recorder?.stop();
});

async function received(answer) {
  const [request] = recorder.requestsOf(answer.case);
  assert.ok(request, 'nothing reached the provider');
  return request;
}

describe('paths', () => {
  const realtime = [
    '/v1/realtime?model=gpt-realtime',
    '/v1/account-1/gateway-1/openai?model=gpt-realtime',
    '/v1/account-1/gateway-1/openai/?model=gpt-realtime',
    '/v1/account-1/gateway-1/openai/realtime?model=gpt-realtime',
    '/v1/account-1/gateway-1/openai/realtime/?model=gpt-realtime',
  ];
  for (const target of realtime) {
    test(`${target} is OpenAI's realtime`, async () => {
      const answer = await gateway.send(upgradeRequest({ target, headers: [page] }));
      assert.equal(answer.status, 101);
      answer.socket.destroy();
      const request = await received(answer);
      assert.equal(request.target, '/v1/realtime?model=gpt-realtime');
      assert.equal(request.header('host'), 'api.openai.com');
      assert.equal(request.header('authorization'), `Bearer ${environment.OPENAI_API_KEY}`);
    });
  }

  const rest = [
    ['/v1/chat/completions', '/v1/chat/completions'],
    ['/v1/account-1/gateway-1/openai/chat/completions', '/v1/chat/completions'],
    ['/v1/account-1/gateway-1/openai/responses?stream=1', '/v1/responses?stream=1'],
    ['/v1/audio/speech', '/v1/audio/speech'],
  ];
  for (const [target, expected] of rest) {
    test(`${target} is OpenAI's ${expected}`, async () => {
      const answer = await gateway.send(chatRequest({ target, headers: [server] }));
      assert.equal(answer.status, 200);
      const request = await received(answer);
      assert.equal(request.target, expected);
      assert.equal(request.header('host'), 'api.openai.com');
      assert.equal(request.header('authorization'), `Bearer ${environment.OPENAI_API_KEY}`);
    });
  }

  for (const target of ['/', '/v2/chat/completions', '/v1']) {
    test(`${target} is nowhere`, async () => {
      const answer = await gateway.send(restRequest({ target, headers: [server] }));
      assert.equal(answer.status, 404);
      assert.equal(recorder.requestsOf(answer.case).length, 0);
    });
  }

  test('an escaped slash is refused', async () => {
    const answer = await gateway.send(restRequest({ target: '/v1/a%2Fb', headers: [server] }));
    assert.equal(answer.status, 400);
  });
});

describe('providers', () => {
  for (const path of ['/v1/realtime', '/v1/account-1/gateway-1/openai']) {
    test(`the model's prefix leads from ${path} to Azure`, async () => {
      const target = `${path}?model=azure-eu/gpt-realtime`;
      const answer = await gateway.send(upgradeRequest({ target, headers: [page] }));
      assert.equal(answer.status, 101);
      answer.socket.destroy();
      const request = await received(answer);
      assert.equal(request.target, '/openai/v1/realtime?model=gpt-realtime');
      assert.equal(request.header('host'), 'example.openai.azure.com');
      assert.equal(request.header('api-key'), environment.AZURE_OPENAI_API_KEY);
      assert.equal(request.header('authorization'), undefined);
    });
  }

  for (const path of ['client_secrets', 'translations/client_secrets', 'sessions', 'transcription_sessions']) {
    test(`the model's prefix leads a request for a secret, by ${path}, to Azure`, async () => {
      const target = `/v1/realtime/${path}`;
      const model = 'azure-eu/gpt-realtime';
      const json = path.endsWith('client_secrets') ? { session: { model } } : { model };
      const request = await received(await gateway.send(restRequest({ target, headers: [server], json })));
      assert.equal(request.target, `/openai/v1/realtime/${path}`);
      assert.equal(request.header('api-key'), environment.AZURE_OPENAI_API_KEY);
    });
  }

  test("a client's own x-realtime-byok-provider chooses nothing", async () => {
    const headers = [page, ['x-realtime-byok-provider', 'azure-eu']];
    const answer = await gateway.send(upgradeRequest({ headers }));
    assert.equal(answer.status, 101);
    answer.socket.destroy();
    const request = await received(answer);
    assert.equal(request.header('host'), 'api.openai.com');
    assert.equal(request.header('x-realtime-byok-provider'), undefined);
  });

  test('the provider learns nothing of the client or of Envoy', async () => {
    const headers = [server, ['x-forwarded-for', '203.0.113.7']];
    const request = await received(await gateway.send(chatRequest({ headers })));
    const names = request.headers.map(([name]) => name.toLowerCase());
    // The Envoy that plays the provider's TLS side adds x-forwarded-proto.
    assert.deepEqual(names.filter((name) => /^x-(forwarded|envoy|realtime)/.test(name)), ['x-forwarded-proto']);
    assert.doesNotMatch(request.text(), /203\.0\.113\.7|127\.0\.0\.1/);
  });

  test('a provider with another certificate gets nothing', async () => {
    const stranger = await startProvider(recorder.port, { names: ['api.example.com'] });
    const misled = await startShipped('envoy.yaml', stranger);
    try {
      const answer = await misled.send(chatRequest({ headers: [server] }));
      assert.equal(answer.status, 503);
      assert.equal(recorder.requestsOf(answer.case).length, 0);
    } finally {
      await misled.stop();
      await stranger.stop();
    }
  });
});

describe('policies', () => {
  test('health needs no token, and never leaves Envoy', async () => {
    const answer = await gateway.send(restRequest({ target: '/healthz' }));
    assert.equal(answer.status, 200);
    assert.equal(answer.body.toString(), 'ok\n');
  });

  test('without a token there is nothing', async () => {
    for (const request of [upgradeRequest(), chatRequest()]) {
      const answer = await gateway.send(request);
      assert.equal(answer.status, 401);
      assert.equal(answer.json().error.code, 'missing_gateway_token');
      assert.equal(recorder.requestsOf(answer.case).length, 0);
    }
  });

  test('the page may open voice sessions, with realtime models, and nothing else', async () => {
    const chat = await gateway.send(chatRequest({ headers: [page] }));
    assert.equal(chat.status, 403);
    assert.equal(chat.json().error.code, 'route_not_allowed');
    const other = await gateway.send(upgradeRequest({ target: '/v1/realtime?model=gpt-5', headers: [page] }));
    assert.equal(other.status, 403);
    assert.equal(other.json().error.code, 'model_not_allowed');
  });
});

describe('the access log', () => {
  const entryOf = (path) =>
    until(`an entry of ${path}`, () => gateway.accessLog().find((entry) => entry.path === path));

  test('says what happened, by its details', async () => {
    await gateway.send(restRequest({ target: '/v1/logged/refused', headers: [] }));
    const entry = await entryOf('/v1/logged/refused');
    assert.equal(entry.status, 401);
    assert.equal(entry.details, 'realtime_byok.missing_gateway_token');
    assert.equal(entry.route, 'rest');
  });

  test('holds no credential, of whatever slot', async () => {
    const secret = 'a-secret-of-the-client';
    const headers = [
      server,
      ['cf-aig-authorization', environment.BACKEND_TOKEN],
      ['api-key', secret],
      ['x-api-key', secret],
      ['cookie', `session=${secret}`],
    ];
    const target = `/v1/account-1/gateway-1/openai/logged/passed?key=${secret}&api_key=${secret}`;
    const passed = await gateway.send(restRequest({ target, headers }));
    assert.equal(passed.status, 200);
    await gateway.send(restRequest({ target: `/v1/logged/bare?access_token=${secret}` }));
    await gateway.send(
      upgradeRequest({ target: `/v1/logged/ws?key=${secret}`, protocols: [`openai-insecure-api-key.${secret}`] }),
    );
    await entryOf('/v1/logged/passed');
    await entryOf('/v1/logged/bare');
    await entryOf('/v1/logged/ws');
    const log = gateway.envoy.log();
    for (const one of [secret, ...Object.values(environment)]) assert.ok(!log.includes(one), `the log has ${one}`);
  });
});

test('WebSockets over HTTP/2 are offered', async () => {
  const session = http2.connect(`https://127.0.0.1:${gateway.port}`, { rejectUnauthorized: false });
  const [settings] = await once(session, 'remoteSettings');
  session.destroy();
  assert.equal(settings.enableConnectProtocol, true);
});

test('a body that the filter cannot hold is refused, not cut', async () => {
  const answer = await gateway.send(
    restRequest({
      target: '/v1/realtime/client_secrets',
      headers: [server],
      json: { session: { type: 'realtime', model: 'gpt-realtime', instructions: 'x'.repeat(2 * 1024 * 1024) } },
    }),
  );
  assert.equal(answer.status, 413);
  assert.equal(recorder.requestsOf(answer.case).length, 0);
});

test('headers with an underscore are refused', async () => {
  const answer = await gateway.send(chatRequest({ headers: [server, ['api_key', 'x']] }));
  assert.equal(answer.status, 400);
});

describe('time', () => {
  const openSession = async (places) => {
    const shortened = await startShipped('envoy.yaml', provider, { places });
    const session = await shortened.send(upgradeRequest({ headers: [page] }));
    assert.equal(session.status, 101);
    let closed = false;
    session.socket.on('close', () => (closed = true));
    session.socket.resume();
    return { closed: () => closed, stop: () => (session.socket.destroy(), shortened.stop()) };
  };

  test('a silent session outlives the idle timeout of REST', async () => {
    const session = await openSession({ 'stream_idle_timeout: 600s': 'stream_idle_timeout: 0.5s' });
    try {
      await sleep(1_500);
      assert.equal(session.closed(), false);
    } finally {
      await session.stop();
    }
  });

  test('max_stream_duration ends a session', async () => {
    const session = await openSession({ 'max_stream_duration: 3900s': 'max_stream_duration: 1s' });
    try {
      await until('the end of the session', session.closed);
    } finally {
      await session.stop();
    }
  });
});
