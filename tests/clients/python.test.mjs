// Servers in Python: the official SDK.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { tokens } from '../e2e/harness/index.mjs';
import { answerText, assertConversation, assertRealtime, useClients } from './gateway.mjs';
import { runProgram } from './program.mjs';

const clients = useClients();
const sdkEnv = () => ({ OPENAI_API_KEY: tokens.web, OPENAI_BASE_URL: clients.baseUrl() });

describe('openai', () => {
  test('realtime, asynchronous and synchronous', async () => {
    const { result, arrived } = await clients.watch(() => runProgram('openai_realtime.py', sdkEnv()));
    for (const one of [result.asynchronous, result.synchronous]) assertConversation(one);
    assert.equal(arrived.length, 2);
    for (const one of arrived) assertRealtime([one], undefined);
  });
  test('chat completions, plain and streaming', async () => {
    const { result, arrived } = await clients.watch(() => runProgram('openai_chat.py', sdkEnv()));
    assert.deepEqual([result.plain, result.streamed], [answerText, answerText]);
    assert.ok(result.chunks > 1);
    assert.deepEqual(arrived.map(({ path }) => path), ['/v1/chat/completions', '/v1/chat/completions']);
  });
});
