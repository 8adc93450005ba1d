// Pages in a real browser: its own WebSocket, the official SDK, the Agents SDK.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { useFor } from '../e2e/harness/hooks.mjs';
import { clientKey, tokens } from '../e2e/harness/index.mjs';
import { startChromium, withoutChromium } from './chromium.mjs';
import { assertConversation, assertRealtime, browserToken, useClients } from './gateway.mjs';

const chromium = withoutChromium ? {} : useFor(startChromium);
const clients = withoutChromium ? {} : useClients(() => ({ browser: { origins: [chromium.origin] } }));

/** Opens a page, has it converse, and returns what it got and what reached the upstream. */
async function visit(name, options, opening) {
  const page = await chromium.open(name, opening);
  try {
    return await clients.watch(() => page.converse(options));
  } finally {
    await page.close();
  }
}

describe('the browser\'s own WebSocket', { skip: withoutChromium }, () => {
  const offer = ['realtime', `cf-aig-authorization.${tokens.web}`];

  test('over wss', async () => {
    const { result, arrived } = await visit('native', { url: `${clients.realtimeUrl()}?model=gpt-realtime`, offer });
    assertConversation(result);
    assert.deepEqual([result.protocol, result.code], ['realtime', 1000]);
    assertRealtime(arrived, 'realtime');
  });
  test('over ws', async () => {
    const url = `ws://127.0.0.1:${clients.gateway.port}/v1/realtime?model=gpt-realtime`;
    const { result, arrived } = await visit('native', { url, offer });
    assertConversation(result);
    assertRealtime(arrived, 'realtime');
  });
  test('the token alone: it is what the browser gets back, and the upstream sees no list', async () => {
    const alone = offer.slice(1);
    const { result, arrived } = await visit('native', { url: `${clients.realtimeUrl()}?model=gpt-realtime`, offer: alone });
    assertConversation(result);
    assert.equal(result.protocol, alone[0]);
    assertRealtime(arrived, undefined);
  });
  test('no token: it never opens', async () => {
    const url = `${clients.realtimeUrl()}?model=gpt-realtime`;
    const { result, arrived } = await visit('native', { url, offer: ['realtime'] });
    assert.deepEqual([result.events, result.code, arrived], [[], 1006, []]);
  });
  test('a token that is good on another origin: it never opens', async () => {
    const options = {
      url: `${clients.realtimeUrl()}?model=gpt-realtime`,
      offer: ['realtime', `cf-aig-authorization.${browserToken}`],
    };
    const { result, arrived } = await visit('native', options, { host: 'localhost' });
    assert.deepEqual([result.events, result.code, arrived], [[], 1006, []]);
    const { result: allowed } = await visit('native', options);
    assertConversation(allowed);
  });
});

describe('openai', { skip: withoutChromium }, () => {
  test('a token that begins with ek_', async () => {
    const client = { apiKey: browserToken, baseURL: clients.baseUrl(), organization: 'org-theirs', project: 'proj_theirs' };
    const { result, arrived } = await visit('openai', { client });
    assertConversation(result);
    assert.equal(result.protocol, 'realtime');
    assertRealtime(arrived, 'realtime');
  });
  test('another token, with dangerouslyAllowBrowser', async () => {
    const client = { apiKey: tokens.web, baseURL: clients.baseUrl() };
    const { result, arrived } = await visit('openai', { client, dangerouslyAllowBrowser: true });
    assertConversation(result);
    assertRealtime(arrived, 'realtime');
  });
  test('another token without it is refused by the SDK itself', async () => {
    const client = { apiKey: tokens.web, baseURL: clients.baseUrl() };
    await assert.rejects(visit('openai', { client }), /running in a browser-like environment/);
  });
  test('a provider\'s key of the client\'s own is unknown here', async () => {
    const client = { apiKey: clientKey, baseURL: clients.baseUrl() };
    const { arrived } = await clients.watch(() => assert.rejects(visit('openai', { client, dangerouslyAllowBrowser: true })));
    assert.deepEqual(arrived, []);
  });
});

describe('@openai/agents-realtime', { skip: withoutChromium }, () => {
  const url = () => `${clients.realtimeUrl()}?model=gpt-realtime`;
  // `openai-agents-sdk.<version>` is no credential: it stays.
  const version = /^realtime, ?openai-agents-sdk\.\d+\.\d+\.\d+$/;

  for (const [name, options] of [
    ['a token that begins with ek_', { apiKey: browserToken }],
    ['another token, with useInsecureApiKey', { apiKey: tokens.web, useInsecureApiKey: true }],
  ]) {
    test(name, async () => {
      const { result, arrived } = await visit('agents', { url: url(), ...options });
      assertConversation(result);
      assert.equal(result.protocol, 'realtime');
      assert.match(arrived[0].headers['sec-websocket-protocol'], version);
      assertRealtime(arrived, arrived[0].headers['sec-websocket-protocol']);
    });
  }
});
