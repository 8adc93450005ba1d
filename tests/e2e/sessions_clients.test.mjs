// What clients that nobody here wrote make of an ending: they report the error event and the Close code, and stay away.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { describe } from 'node:test';
import WebSocket from 'ws';
import { runProgram } from '../clients/program.mjs';
import { route, tokens } from './harness/index.mjs';
import { prices, responseDone, sessionCreated, useSessions } from './harness/sessions.mjs';

/** The ending that each policy leads to, when its client asks for one response. */
const endings = {
  tokens: [{ session: { max_tokens: 1500 } }, 4429, 'budget_exceeded', 'session.max_tokens'],
  cost: [{ session: { max_cost_usd: 0.01 } }, 4429, 'budget_exceeded', 'session.max_cost_usd'],
  duration: [{ session: { max_duration: '1s' } }, 4408, 'max_duration_exceeded', 'session.max_duration'],
};

const { gateway, upstream } = useSessions({
  converse,
  tls: true,
  changes: {
    prices,
    policies: Object.fromEntries(
      Object.entries(endings).map(([name, [policy]]) => [name, { provider: 'openai', ...policy }]),
    ),
  },
  routes: Object.keys(endings).map((name) => route({ name, prefix: `/${name}/`, rewrite: '/' })),
});

/** An upstream that answers each `response.create`, and goes on talking. */
function converse(peer) {
  let answered = 0;
  peer.sendEvent(sessionCreated());
  peer.socket.on('data', () => {
    const asked = peer.events().filter(({ type }) => type === 'response.create').length;
    for (; answered < asked; answered += 1) peer.sendEvent(responseDone(`resp_${answered}`));
  });
  const talking = setInterval(() => peer.sendEvent({ type: 'rate_limits.updated', rate_limits: [] }), 100);
  peer.socket.on('close', () => clearInterval(talking)).on('end', () => peer.socket.end());
}

/** Runs a client, which must come once for each of its `connections`. */
async function comesOnce(use, connections = 1) {
  const before = upstream.connections().length;
  const result = await use();
  assert.equal(upstream.connections().length - before, connections, 'it does not come back');
  return result;
}

function assertTold(told, closeCode, code, param) {
  assert.deepEqual(told.close, { code: closeCode, reason: code });
  assert.equal(told.errors.length, 1);
  const [{ message, ...error }] = told.errors;
  assert.match(message, /^[A-Z].*\.$/);
  assert.deepEqual(error, { type: 'session_limit_exceeded', code, param, event_id: null });
  assert.equal(told.events[0], 'session.created');
  assert.equal(told.events.at(-1), 'error');
  assert.equal(told.reconnecting, 0);
}

describe('ws', () => {
  for (const [policy, [, closeCode, code, param]] of Object.entries(endings)) {
    test(policy, async () => {
      const told = await comesOnce(async () => {
        const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/${policy}/v1/realtime?model=gpt-realtime`, [
          'realtime',
          `cf-aig-authorization.${tokens.web}`,
        ]);
        const events = [];
        socket.on('message', (data) => events.push(JSON.parse(data)));
        socket.on('open', () => socket.send('{"type":"response.create"}'));
        const [closed, reason] = await once(socket, 'close');
        const errors = events.filter(({ type }) => type === 'error').map(({ error }) => error);
        const close = { code: closed, reason: String(reason) };
        return { events: events.map(({ type }) => type), errors, reconnecting: 0, close };
      });
      assertTold(told, closeCode, code, param);
    });
  }
});

describe('the official SDKs', () => {
  const env = (policy) => ({
    OPENAI_API_KEY: tokens.web,
    OPENAI_BASE_URL: `https://localhost:${gateway.securePort}/${policy}/v1`,
  });
  const nodeOptions = 'WebSocket' in globalThis ? [] : ['--experimental-websocket'];
  for (const [policy, [, closeCode, code, param]] of Object.entries(endings)) {
    for (const [name, RECONNECT] of [['ws', 'no'], ['ws', 'yes'], ['websocket', 'no'], ['websocket', 'yes']]) {
      test(`Node, ${name}, ${policy}${RECONNECT === 'yes' ? ', told to reconnect' : ''}`, async () => {
        const told = await comesOnce(() =>
          runProgram('openai_ended.mjs', { ...env(policy), CLASS: name, RECONNECT }, { nodeOptions }),
        );
        assertTold(told, closeCode, code, param);
        assert.deepEqual(told.order, ['error', 'close']);
      });
    }
    test(`Python, asynchronous and synchronous, told to reconnect, ${policy}`, async () => {
      const { asynchronous, synchronous } = await comesOnce(() => runProgram('openai_ended.py', env(policy)), 2);
      for (const told of [asynchronous, synchronous]) assertTold(told, closeCode, code, param);
    });
  }
});
