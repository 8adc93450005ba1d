// The whole way of a client secret with the official SDKs: a backend mints, a client connects, in Node, in Python, in a
// browser, over WebSockets and over WebRTC.
import assert from 'node:assert/strict';
import test, { after, describe } from 'node:test';
import { useFor } from '../e2e/harness/hooks.mjs';
import { providerKey, route, tokens, until, useGateway } from '../e2e/harness/index.mjs';
import { mint, mintConfiguration, mintEnv, sealingKey, secretIn } from '../e2e/harness/minting.mjs';
import { useOpenai } from '../e2e/harness/openai.mjs';
import { startPeer } from '../e2e/harness/openai/peer.mjs';
import { open, openCallId } from '../e2e/harness/sealing.mjs';
import { startChromium, withoutChromium } from './chromium.mjs';
import { assertConversation } from './gateway.mjs';
import { runProgram } from './program.mjs';

// The peers of this test have no network but loopback, and no microphone.
const webrtcFlags = [
  '--allow-loopback-in-peer-connection',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
];

const openai = useOpenai();
const chromium = withoutChromium ? {} : useFor(() => startChromium({ moreFlags: webrtcFlags }));
const gateway = useGateway(() => ({
  upstreams: { upstream: openai.port },
  env: mintEnv,
  tls: true,
  configuration: mintConfiguration(),
  ...pagesMayCall(chromium.origin),
}));

/** Envoy's own CORS filter, before this one: a preflight brings no token. */
function pagesMayCall(origin) {
  const cors = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy',
    allow_origin_string_match: [{ exact: origin ?? 'null' }],
    allow_methods: 'POST',
    allow_headers: 'authorization, content-type, x-openai-agents-sdk',
    expose_headers: 'location',
  };
  return {
    filtersBefore: [
      {
        name: 'envoy.filters.http.cors',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors' },
      },
    ],
    routes: [route({ extra: { typed_per_filter_config: { 'envoy.filters.http.cors': cors } } })],
  };
}

const baseUrl = () => `https://localhost:${gateway.securePort}/v1`;
const sdkEnv = (apiKey) => ({ OPENAI_API_KEY: apiKey, OPENAI_BASE_URL: baseUrl() });
const said = { user: 'u_123', max_duration: '5m', max_cost_usd: 1 };

/** What has reached the upstream while `use` ran: `{ result, arrived }`. */
async function watch(use) {
  const before = openai.requests().length;
  const result = await use();
  return { result, arrived: openai.requests().slice(before) };
}

/** A request reached the upstream once, with the upstream's own secret, and nothing of the sealed one. */
function assertOpened(arrived, sealed) {
  assert.equal(arrived.length, 1);
  assert.deepEqual(arrived[0].headerAll('authorization'), [`Bearer ${open(sealed, sealingKey).upstream}`]);
  assert.ok(!arrived[0].text().includes(sealed) && !arrived[0].text().includes(providerKey));
}

describe('a backend mints', () => {
  const GATEWAY = JSON.stringify(said);

  test('with the official SDK for Node, on every path that it has', async () => {
    const { result, arrived } = await watch(() => runProgram('openai_mint.mjs', { ...sdkEnv(tokens.web), GATEWAY }));
    const { complaints: _, ...answers } = result;
    assert.equal(arrived.length, 4);
    for (const [index, answer] of Object.values(answers).entries()) {
      const claims = open(secretIn(answer).value, sealingKey);
      assert.equal(claims.upstream, secretIn(arrived[index].minted).value);
      assert.deepEqual([claims.user, claims.max_duration_ms, claims.max_cost_micro_usd], ['u_123', 300_000, 1_000_000]);
      assert.ok(!arrived[index].text().includes('u_123') && !arrived[index].text().includes(tokens.web));
    }
  });
  test('with the official SDK for Python', async () => {
    const { result, arrived } = await watch(() => runProgram('openai_mint.py', { ...sdkEnv(tokens.web), GATEWAY }));
    assert.equal(result.session_type, 'RealtimeSessionCreateResponse');
    assert.equal(result.model, 'gpt-realtime');
    const claims = open(result.value, sealingKey);
    assert.equal(claims.expires_at, result.expires_at);
    assert.equal(claims.user, 'u_123');
    assert.equal(claims.upstream, arrived[0].minted.value);
  });
  test('and what is wrong with its request is an error of the SDK', async () => {
    const wrong = JSON.stringify({ max_tokens: 0 });
    const failing = runProgram('openai_mint.mjs', { ...sdkEnv(tokens.web), GATEWAY: wrong });
    await assert.rejects(failing, /BadRequestError[^]*invalid_gateway_object/);
  });
});

describe('a client connects with the secret for its API key', () => {
  test('the SDK for Node', async () => {
    const { value } = await mint(gateway);
    for (const CLASS of ['ws', 'websocket']) {
      const nodeOptions = CLASS === 'ws' || 'WebSocket' in globalThis ? [] : ['--experimental-websocket'];
      const { result, arrived } = await watch(() =>
        runProgram('openai_realtime.mjs', { ...sdkEnv(value), CLASS }, { nodeOptions }),
      );
      assertConversation(result);
      assertOpened(arrived, value);
    }
  });
  test('the SDK for Python', async () => {
    const { value } = await mint(gateway);
    const { result, arrived } = await watch(() => runProgram('openai_realtime.py', sdkEnv(value)));
    for (const [index, one] of [result.asynchronous, result.synchronous].entries()) {
      assertConversation(one);
      assertOpened(arrived.slice(index, index + 1), value);
    }
  });
  test('and is an AuthenticationError to other parts of the SDK, if it is changed', async () => {
    const { value } = await mint(gateway);
    const { result } = await watch(() => runProgram('openai_refused.mjs', sdkEnv(`${value}A`)));
    assert.deepEqual([result.name, result.code], ['AuthenticationError', 'invalid_gateway_token']);
    const { result: whole } = await watch(() => runProgram('openai_refused.mjs', sdkEnv(value)));
    assert.deepEqual([whole.name, whole.code], ['PermissionDeniedError', 'route_not_allowed']);
  });
});

describe('a page connects', { skip: withoutChromium }, () => {
  const realtimeUrl = () => `wss://localhost:${gateway.securePort}/v1/realtime?model=gpt-realtime`;
  const minted = () => mint(gateway, 'current', { json: { gateway: { ...said, origin: chromium.origin } } });

  async function visit(name, options, opening) {
    const page = await chromium.open(name, opening);
    try {
      return await watch(() => page.converse(options));
    } finally {
      await page.close();
    }
  }

  test('with the official SDK', async () => {
    const { value } = await minted();
    const { result, arrived } = await visit('openai', { client: { apiKey: value, baseURL: baseUrl() } });
    assertConversation(result);
    assert.equal(result.protocol, 'realtime');
    assertOpened(arrived, value);
  });
  test('with the Agents SDK', async () => {
    const { value } = await minted();
    const { result, arrived } = await visit('agents', { url: realtimeUrl(), apiKey: value });
    assertConversation(result);
    assertOpened(arrived, value);
  });
  test('with the Agents SDK over WebRTC', async () => {
    const { value } = await minted();
    const { result, arrived } = await visit('webrtc', { url: `${baseUrl()}/realtime/calls`, apiKey: value });
    assertConversation(result);
    assertOpened(arrived, value);
    assert.equal(arrived[0].header('content-type'), 'application/sdp');
    const called = openCallId(result.callId, sealingKey);
    assert.ok(openai.calls().some(({ id }) => id === called.id));
  });
  test('not from another origin than its own', async () => {
    const { value } = await minted();
    const options = { url: realtimeUrl(), offer: ['realtime', `openai-insecure-api-key.${value}`] };
    const { result, arrived } = await visit('native', options, { host: 'localhost' });
    assert.deepEqual([result.events, result.code, arrived], [[], 1006, []]);
  });
  test('not with the secret that the upstream minted, nor past the gateway with the sealed one', async () => {
    const { value } = await minted();
    const raw = openai.secrets.values().at(-1);
    for (const [url, secret, reaches] of [
      [realtimeUrl(), raw, 0],
      [`ws://127.0.0.1:${openai.port}/v1/realtime?model=gpt-realtime`, value, 1],
    ]) {
      const offer = ['realtime', `openai-insecure-api-key.${secret}`];
      const { result, arrived } = await visit('native', { url, offer });
      assert.deepEqual([result.events, result.code, arrived.length], [[], 1006, reaches]);
    }
  });
});

describe('a server calls', () => {
  const peers = [];
  after(() => peers.forEach((peer) => peer.close()));

  for (const program of ['openai_call.mjs', 'openai_call.py']) {
    test(program, async () => {
      const { value } = await mint(gateway);
      const peer = await startPeer();
      peers.push(peer);
      const { result, arrived } = await watch(() => runProgram(program, { ...sdkEnv(value), OFFER: peer.offer }));
      assert.equal(result.status, 201);
      assertOpened(arrived, value);
      peer.accept(result.sdp);
      await peer.opened();
      assert.equal((await peer.next('session.created')).session.model, 'gpt-realtime');

      const sealed = result.location.split('/').at(-1);
      const { id } = openCallId(sealed, sealingKey);
      await runProgram('openai_call.mjs', { ...sdkEnv(tokens.web), CALL: sealed });
      await until('the call to be ended', () => openai.calls().find((call) => call.id === id).state === 'ended');
      await peer.closed();
    });
  }
});
