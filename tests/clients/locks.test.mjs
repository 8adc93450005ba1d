// Policies that keep a session's instructions to themselves, and official SDKs that know nothing of them.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { tokens } from '../e2e/harness/index.mjs';
import { assertConversation, assertRealtime, useClients } from './gateway.mjs';
import { runProgram } from './program.mjs';

const clients = useClients(() => ({
  policies: {
    dropped: { provider: 'openai', lock: { fields: ['instructions', 'tools'], on_change: 'drop' } },
  },
}));

/** What the model was told by the session itself. */
const instructionsOf = ([{ body }]) => body.messages.filter(({ role }) => role === 'system').map(({ content }) => content);

const agents = (policy) =>
  clients.watch(() =>
    runProgram('agents_realtime.mjs', { OPENAI_API_KEY: tokens.web, REALTIME_URL: clients.realtimeUrl(policy) }),
  );

describe('@openai/agents-realtime, which always sends a session.update of its own', () => {
  test('where nothing is locked, its instructions hold', async () => {
    const { result, arrived } = await agents();
    assertConversation(result);
    assert.deepEqual(instructionsOf(arrived), ['Be brief.']);
  });
  test('where its instructions are dropped, it goes on without', async () => {
    const { result, arrived } = await agents('dropped');
    assertConversation(result);
    assertRealtime(arrived, undefined);
    assert.deepEqual(instructionsOf(arrived), []);
    assert.ok(!result.events.includes('error'));
  });
});
