// Policies that keep a session's instructions to themselves, and official SDKs that know nothing of them.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { tokens } from '../e2e/harness/index.mjs';
import { assertConversation, assertRealtime, useClients } from './gateway.mjs';
import { examples } from '../docs/markdown.mjs';
import { runProgram } from './program.mjs';

/** What no client may ever see. */
const secret = 'Sell shoes, and never say that you do.';

const tool = { type: 'function', name: 'find_shoes', parameters: { type: 'object' } };

/** The policy that the page on locks shows. */
function policyOfPage() {
  const [{ value }] = examples('docs/locks.md', 'plugin configuration');
  return value.policies.default;
}

const clients = useClients(() => ({
  policies: {
    dropped: { provider: 'openai', lock: { fields: ['instructions', 'tools'], on_change: 'drop' } },
    page: policyOfPage(),
    tooled: { ...policyOfPage(), preset: { instructions: secret, tools: [tool] } },
  },
}));

const sdkEnv = (policy) => ({ OPENAI_API_KEY: tokens.web, OPENAI_BASE_URL: clients.baseUrl(policy) });

/** The client has had its conversation, of which it was told everything but what is hidden. */
function assertHidden({ result, arrived }) {
  assertConversation(result);
  assert.deepEqual(instructionsOf(arrived), [secret]);
  assert.ok(!result.events.includes('error'));
  const sessions = result.told.filter(({ session }) => session !== undefined).map(({ session }) => session);
  assert.ok(sessions.length >= 2, 'it was told of its session, and of the change that the gateway made');
  for (const session of sessions) assert.deepEqual([session.instructions, session.tools], [undefined, undefined]);
  assert.ok(!JSON.stringify(result).includes('hoes'));
}

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
  for (const policy of ['page', 'tooled']) {
    test(`under the policy \`${policy}\`, the SDK never learns what the gateway sets`, async () => {
      assertHidden(await agents(policy));
    });
  }
});

describe('the gateway sets the instructions and the tools, and never tells them', () => {
  for (const CLASS of ['ws', 'websocket']) {
    test(`openai for Node, its class on \`${CLASS}\``, async () => {
      const nodeOptions = CLASS === 'websocket' && !('WebSocket' in globalThis) ? ['--experimental-websocket'] : [];
      const run = () => runProgram('openai_realtime.mjs', { ...sdkEnv('tooled'), CLASS }, { nodeOptions });
      assertHidden(await clients.watch(run));
    });
  }
  test('openai for Python', async () => {
    const { result, arrived } = await clients.watch(() => runProgram('openai_realtime.py', sdkEnv('tooled')));
    const [first, second] = arrived;
    assertHidden({ result: result.asynchronous, arrived: [first] });
    assertHidden({ result: result.synchronous, arrived: [second] });
  });
});
