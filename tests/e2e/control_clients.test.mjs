// What clients that nobody here wrote make of a stop: they report the error event and the Close code, and stay away.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import WebSocket from 'ws';
import { runProgram } from '../clients/program.mjs';
import { tokens } from './harness/index.mjs';
import { control, operator } from './harness/control.mjs';
import { sessionCreated, useSessions } from './harness/sessions.mjs';

const { gateway, upstream } = useSessions({ converse, concurrency: 2, tls: true, changes: { control } });
const { stopAll, sessions, listed } = operator(gateway);

/** An upstream that goes on talking. */
function converse(peer) {
  peer.sendEvent(sessionCreated());
  const talking = setInterval(() => peer.sendEvent({ type: 'rate_limits.updated', rate_limits: [] }), 100);
  peer.socket.on('close', () => clearInterval(talking)).on('end', () => peer.socket.end());
}

/** Runs a client and stops each of its sessions once it has been talked to; it must come once for each. */
async function stopped(use, connections = 1) {
  const before = upstream.connections().length;
  let isOver = false;
  const running = use().finally(() => (isOver = true));
  while (!isOver) {
    const open = await sessions('?caller=web-app&status=open');
    if (open.some(({ status, frames }) => status === 'open' && frames.upstream > 2)) await stopAll('?caller=web-app');
  }
  const told = await running;
  assert.equal(upstream.connections().length - before, connections, 'it does not come back');
  await listed(0, '?status=open');
  const records = (await sessions('?caller=web-app')).slice(0, connections);
  for (const { close } of records) assert.deepEqual(close, { by: 'gateway', code: 4410, reason: 'session_stopped' });
  return told;
}

function assertTold(told) {
  assert.deepEqual(told.close, { code: 4410, reason: 'session_stopped' });
  const [{ message, ...error }, ...more] = told.errors;
  assert.deepEqual(more, []);
  assert.match(message, /^[A-Z].*\.$/);
  assert.deepEqual(error, { type: 'session_limit_exceeded', code: 'session_stopped', param: null, event_id: null });
  assert.equal(told.events[0], 'session.created');
  assert.equal(told.events.at(-1), 'error');
  assert.equal(told.reconnecting, 0);
}

test('ws', async () => {
  const told = await stopped(async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/v1/realtime?model=gpt-realtime`, [
      'realtime',
      `cf-aig-authorization.${tokens.web}`,
    ]);
    const events = [];
    socket.on('message', (data) => events.push(JSON.parse(data)));
    const [code, reason] = await once(socket, 'close');
    const errors = events.filter(({ type }) => type === 'error').map(({ error }) => error);
    return { events: events.map(({ type }) => type), errors, reconnecting: 0, close: { code, reason: String(reason) } };
  });
  assertTold(told);
});

const env = () => ({
  OPENAI_API_KEY: tokens.web,
  OPENAI_BASE_URL: `https://localhost:${gateway.securePort}/v1`,
});
const nodeOptions = 'WebSocket' in globalThis ? [] : ['--experimental-websocket'];

for (const [CLASS, RECONNECT] of [['ws', 'no'], ['ws', 'yes'], ['websocket', 'no'], ['websocket', 'yes']]) {
  test(`the official SDK for Node, ${CLASS}${RECONNECT === 'yes' ? ', told to reconnect' : ''}`, async () => {
    assertTold(await stopped(() => runProgram('openai_ended.mjs', { ...env(), CLASS, RECONNECT }, { nodeOptions })));
  });
}

test('the official SDK for Python, asynchronous and synchronous, told to reconnect', async () => {
  const { asynchronous, synchronous } = await stopped(() => runProgram('openai_ended.py', env()), 2);
  for (const told of [asynchronous, synchronous]) assertTold(told);
});
