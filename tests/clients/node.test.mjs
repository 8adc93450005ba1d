// Servers in Node: the `ws` package, the official SDK, the Agents SDK.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { clientKey, tokens } from '../e2e/harness/index.mjs';
import { answerText, assertConversation, assertRealtime, useClients } from './gateway.mjs';
import { runProgram } from './program.mjs';

const clients = useClients();
const token = tokens.web;
const slot = `cf-aig-authorization.${token}`;

const sdkEnv = () => ({ OPENAI_API_KEY: token, OPENAI_BASE_URL: clients.baseUrl() });

describe('ws', () => {
  const run = (env) =>
    clients.watch(() => runProgram('ws.mjs', { ...env, REALTIME_URL: clients.realtimeUrl() }));

  test('the token as a subprotocol, without a key', async () => {
    const { result, arrived } = await run({ OFFER: JSON.stringify(['realtime', slot, 'openai-beta.realtime-v1']) });
    assertConversation(result);
    assert.deepEqual([result.protocol, result.code], ['realtime', 1000]);
    assertRealtime(arrived, 'realtime');
  });
  test('the token beside a key of the client\'s own', async () => {
    const OFFER = JSON.stringify(['realtime', `openai-insecure-api-key.${clientKey}`, slot]);
    const { result, arrived } = await run({ OFFER });
    assertConversation(result);
    assertRealtime(arrived, 'realtime');
  });
  test('the token as a header', async () => {
    const { result, arrived } = await run({ HEADERS: JSON.stringify({ Authorization: `Bearer ${token}` }) });
    assertConversation(result);
    assert.equal(result.protocol, '');
    assertRealtime(arrived, undefined);
  });
  test('no token', async () => {
    const { result, arrived } = await run({ OFFER: '["realtime"]' });
    assert.match(result.complaints, /Unexpected server response: 401/);
    assert.deepEqual([result.events, arrived], [[], []]);
  });
});

describe('openai', () => {
  test('realtime, its class on `ws`', async () => {
    const { result, arrived } = await clients.watch(() =>
      runProgram('openai_realtime.mjs', { ...sdkEnv(), CLASS: 'ws' }),
    );
    assertConversation(result);
    assertRealtime(arrived, undefined);
  });
  test('realtime, its class on the runtime\'s own WebSocket', async () => {
    const nodeOptions = 'WebSocket' in globalThis ? [] : ['--experimental-websocket'];
    const { result, arrived } = await clients.watch(() =>
      runProgram('openai_realtime.mjs', { ...sdkEnv(), CLASS: 'websocket', OPENAI_ORG_ID: 'org-theirs' }, { nodeOptions }),
    );
    assertConversation(result);
    assert.equal(result.protocol, 'realtime');
    assertRealtime(arrived, 'realtime');
  });
  test('chat completions, plain and streaming', async () => {
    const { result, arrived } = await clients.watch(() =>
      runProgram('openai_chat.mjs', { ...sdkEnv(), OPENAI_ORG_ID: 'org-theirs', OPENAI_PROJECT_ID: 'proj-theirs' }),
    );
    assert.deepEqual([result.plain, result.streamed], [answerText, answerText]);
    assert.ok(result.chunks > 1);
    assert.deepEqual(arrived.map(({ path }) => path), ['/v1/chat/completions', '/v1/chat/completions']);
    for (const { headers } of arrived) {
      assert.deepEqual([headers['openai-organization'], headers['openai-project']], [undefined, undefined]);
    }
  });
  test('an unknown token is the SDK\'s own AuthenticationError', async () => {
    const { result, arrived } = await clients.watch(() =>
      runProgram('openai_refused.mjs', { ...sdkEnv(), OPENAI_API_KEY: tokens.unknown }),
    );
    const { complaints: _, ...error } = result;
    assert.deepEqual(error, {
      name: 'AuthenticationError', status: 401, code: 'invalid_gateway_token', type: 'authentication_error',
    });
    assert.deepEqual(arrived, []);
  });
});

describe('@openai/agents-realtime', () => {
  test('a session over a WebSocket', async () => {
    const { result, arrived } = await clients.watch(() =>
      runProgram('agents_realtime.mjs', { OPENAI_API_KEY: token, REALTIME_URL: clients.realtimeUrl() }),
    );
    assertConversation(result);
    assertRealtime(arrived, undefined);
  });
});
