// What the access log alone tells: who was refused what, which limit was reached, and who ended a session that no Close
// frame ended.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { basicConfiguration, basicEnv, chatRequest, restRequest, route, tokens, upgradeRequest, useGateway } from './harness/index.mjs';
import { openSession, prices, useSocketUpstream } from './harness/sessions.mjs';

const upstream = useSocketUpstream();
const policies = {
  default: { provider: 'openai', models: ['gpt-realtime*'] },
  brief: { provider: 'openai', session: { max_duration: '1s' } },
};
const cutting = { idle: { idle_timeout: '1s' }, aged: { max_stream_duration: { max_stream_duration: '1s' } } };
const options = () => ({
  upstreams: { upstream: upstream.port },
  env: basicEnv,
  configuration: basicConfiguration({
    prices,
    policies,
    client_secrets: { mode: 'local', sealing_keys: [{ value: Buffer.alloc(32, 7).toString('base64') }] },
  }),
  routes: [
    ...Object.entries(cutting).map(([name, timeout]) => {
      const own = route({ prefix: `/${name}/`, rewrite: '/' });
      return { ...own, route: { ...own.route, ...timeout } };
    }),
    route({ prefix: '/brief/', policy: 'brief', rewrite: '/' }),
    route({ prefix: '/lost/', policy: 'nowhere' }),
    route({}),
  ],
  dynamic: true,
  drainSeconds: 1,
});
const gateway = useGateway(options);
const drained = useGateway(options);

const bearer = (token) => ['authorization', `Bearer ${token}`];

/** What the access log has of a request, of what the filter tells; what is null there is left out. */
async function logged({ envoy }, { case: id }) {
  const { session } = await envoy.accessLogOf(id);
  return Object.fromEntries(Object.entries(session).filter(([, value]) => value !== null));
}

/** A client secret for `gateway`'s sessions. */
async function minted(object) {
  const json = { session: { type: 'realtime', model: 'gpt-realtime' }, gateway: object };
  const target = '/v1/realtime/client_secrets';
  const answer = await gateway.send(restRequest({ method: 'POST', target, json, headers: [bearer(tokens.web)] }));
  assert.equal(answer.status, 200, String(answer.body));
  return answer.json().value;
}

describe('a refusal', () => {
  const web = { caller: 'web-app', policy: 'default', close: 'gateway' };
  const cases = {
    'of nobody': [() => chatRequest(), { policy: 'default', code: 'missing_gateway_token', close: 'gateway' }],
    'of a stranger': [
      () => chatRequest({ headers: [bearer('sk-of-nobody')] }),
      { policy: 'default', code: 'invalid_gateway_token', close: 'gateway' },
    ],
    'on a route without a policy': [
      () => upgradeRequest({ target: '/lost/v1/realtime', headers: [bearer(tokens.web)] }),
      { code: 'no_policy', close: 'gateway' },
    ],
    'of a model in the query': [
      () => upgradeRequest({ target: '/v1/realtime?model=gpt-5', headers: [bearer(tokens.web)] }),
      { ...web, model: 'gpt-5', code: 'model_not_allowed' },
    ],
    'of a model in the body': [
      () => chatRequest({ headers: [bearer(tokens.web)], json: { model: 'gpt-5', messages: [] } }),
      { ...web, model: 'gpt-5', code: 'model_not_allowed' },
    ],
    "of a client secret's user": [
      async () => {
        const secret = await minted({ user: 'u_123', origin: 'https://app.example.com' });
        return upgradeRequest({ headers: [bearer(secret), ['origin', 'https://evil.example']] });
      },
      { ...web, user: 'u_123', code: 'origin_not_allowed' },
    ],
  };
  for (const [name, [request, expected]] of Object.entries(cases)) {
    test(`${name} is logged with what is known`, async () => {
      const answer = await gateway.send(await request());
      assert.ok(answer.status >= 400, `answered ${answer.status}`);
      assert.deepEqual(await logged(gateway, answer), expected);
    });
  }
});

test('an ending is logged with the limit that was reached', async () => {
  const session = await openSession({ gateway, upstream }, { target: '/brief/v1/realtime?model=gpt-realtime' });
  await session.client.ended();
  const { code, limit, close, reason } = await session.record();
  const want = { code: '4408', limit: 'session.max_duration', close: 'gateway', reason: 'max_duration_exceeded' };
  assert.deepEqual({ code, limit, close, reason }, want);
});

describe('without a Close frame', { concurrency: 8 }, () => {
  const endings = {
    'a client that goes': ['/', (session) => session.client.destroy(), 'client', null],
    'an upstream that goes': ['/', (session) => session.upstream.destroy(), 'upstream', null],
    "a route's idle_timeout": ['/idle/', () => {}, 'gateway', 'stream_idle_timeout'],
    "a route's max_stream_duration": ['/aged/', () => {}, 'gateway', 'max_duration_timeout'],
  };
  for (const [name, [prefix, end, close, reason]] of Object.entries(endings)) {
    test(`${name} is told`, async () => {
      const session = await openSession({ gateway, upstream }, { target: `${prefix}v1/realtime?model=gpt-realtime` });
      await sleep(50);
      end(session);
      const record = await session.record();
      assert.deepEqual([record.code, record.close, record.reason], ['1006', close, reason]);
    });
  }
  for (const [name, end] of [
    ['that resets its stream', ({ stream }) => stream.close(8)],
    ['whose connection goes', ({ close }) => close()],
  ]) {
    test(`a client of HTTP/2 ${name} is told`, async () => {
      const headers = [bearer(tokens.web), ['sec-websocket-version', '13'], ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ==']];
      const target = '/v1/realtime?model=gpt-realtime';
      const answer = await gateway.sendHttp2({ connect: 'websocket', target, headers });
      assert.equal(answer.status, 200);
      await sleep(50);
      end(answer);
      const { code, close, reason } = await logged(gateway, answer);
      assert.deepEqual([code, close, reason], ['1006', 'client', undefined]);
      answer.close();
    });
  }
  test('a listener that is replaced is told from a client that goes', async () => {
    const session = await openSession({ gateway: drained, upstream }, { target: '/v1/realtime?model=gpt-realtime' });
    assert.equal(await drained.replaceListeners({ hcm: { stream_idle_timeout: '100s' } }), 'accepted');
    await session.client.ended();
    const { code, close, reason } = await session.record();
    assert.deepEqual([code, close, reason], ['1006', 'gateway', 'downstream_local_disconnect']);
  });
});
