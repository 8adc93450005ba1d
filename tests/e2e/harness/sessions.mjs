// Sessions with both ends in the test's hands: a client and an upstream that say exactly what they are told to, and the
// gateway in between.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import { useFor, useGateway } from './hooks.mjs';
import { record } from './recorder.mjs';
import { upgradeRequest } from './requests.mjs';
import { basicConfiguration, basicEnv, tokens } from './secrets.mjs';
import { responseUsage } from './usage.mjs';
import { until } from './wait.mjs';
import { closeOf, opcodes, peer, textMessages } from './websocket.mjs';

const websocketGuid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Prices of the tests, in dollars per million tokens. */
export const prices = {
  'gpt-realtime*': {
    input_text: 4, input_cached_text: 0.4, input_audio: 32, input_cached_audio: 0.4,
    input_image: 5, input_cached_image: 0.5, output_text: 16, output_audio: 64,
  },
  'gpt-4o-transcribe': { input_text: 2.5, input_audio: 6, output_text: 10 },
};

/** What `session.created` says first, as OpenAI says it. */
export function sessionCreated(session = {}) {
  return {
    type: 'session.created',
    event_id: 'event_created',
    session: { type: 'realtime', object: 'realtime.session', id: 'sess_1', model: 'gpt-realtime', ...session },
  };
}

/** A `response.done` of 1,000 tokens in and 500 out, which cost 46,920 micro-dollars. */
export function responseDone(id = 'resp_1', response = {}) {
  return {
    type: 'response.done',
    event_id: `event_${id}`,
    response: {
      object: 'realtime.response',
      id,
      status: 'completed',
      status_details: null,
      output: [{ id: `item_${id}`, object: 'realtime.item', type: 'message', role: 'assistant', content: [] }],
      usage: responseUsage,
      ...response,
    },
  };
}

/**
 * An upstream for this file that accepts every WebSocket and leaves it to the test, or to `converse(peer)`. A request
 * says in `x-delay` how many milliseconds its 101 is to wait. Other requests are `answer(incoming, response)`'s, or 404.
 */
export function useSocketUpstream(options) {
  return useFor(() => startSocketUpstream(options));
}

/**
 * A gateway with prices in front of a `useSocketUpstream`; `changes` as `basicConfiguration` takes them. `upstreams` is
 * called for further clusters, once the parts that were asked for earlier run.
 */
export function useSessions({ converse, answer, changes = {}, env = basicEnv, upstreams = () => ({}), ...options } = {}) {
  const upstream = useSocketUpstream({ converse, answer });
  const gateway = useGateway(() => ({
    upstreams: { upstream: upstream.port, ...upstreams() },
    env,
    configuration: basicConfiguration({ prices, ...changes }),
    ...options,
  }));
  return {
    gateway,
    upstream,
    /** Opens a session: `{ client, upstream, seen, answer, record() }`; `after` are bytes before the 101. */
    open: (request, sending) => openSession({ gateway, upstream }, request, sending),
  };
}

/** Opens a session through a gateway to a `useSocketUpstream`: `{ client, upstream, seen, answer, record() }`. */
export async function openSession({ gateway, upstream }, { headers = [], token = tokens.web, ...request } = {}, sending) {
  const authorized = [...headers, ['authorization', `Bearer ${token}`]];
  const answer = await gateway.send(upgradeRequest({ ...request, headers: authorized }), sending);
  assert.equal(answer.status, 101, `answered ${answer.status}: ${answer.body}`);
  const { seen, peer: upstreamPeer } = upstream.connectionOf(answer.case);
  return {
    answer,
    seen,
    client: peer(answer.socket, answer.rest, { isClient: true }),
    upstream: upstreamPeer,
    /** What the access log says of the session, once it is over. */
    record: async () => (await gateway.envoy.accessLogOf(answer.case)).session,
  };
}

/**
 * The client has got, at the end and in this order, the error event and the Close frame, and nothing after it; `limit` as
 * `assertErrorEvent` takes it.
 */
export async function assertEnded(client, closeCode, code, limit) {
  const close = await client.frameCame(opcodes.close);
  assert.deepEqual(closeOf(close), { code: closeCode, reason: code });
  const frames = client.frames();
  assert.equal(frames.at(-1), frames.find(({ opcode }) => opcode === opcodes.close), 'nothing comes after the Close');
  const told = frames.at(-2);
  assert.deepEqual([told.opcode, told.isFinal], [opcodes.text, true]);
  assertErrorEvent(told.payload.toString('utf8'), code, limit);
}

/** The client has got, at the end, the Close frame of a violation, and no event before it. */
export async function assertBroken(client, closeCode = 1002) {
  const close = await client.frameCame(opcodes.close);
  const { code, reason } = closeOf(close);
  assert.equal(code, closeCode);
  assert.match(reason, /^protocol_error: \S/);
  const frames = client.frames();
  assert.equal(frames.at(-1), frames.find(({ opcode }) => opcode === opcodes.close), 'nothing comes after the Close');
  assert.ok(!textMessages(frames).some((text) => text.includes('session_limit_exceeded')), 'no event is told');
}

/** Whose limits there are, and of what. */
const limitNames = /^(session|secret|caller)\.[a-z_]+$/;

/** The event has the contract's shape, key by key and in one compact object; it names `limit`, or one if none is given. */
export function assertErrorEvent(text, code, limit) {
  const event = JSON.parse(text);
  assert.equal(text, JSON.stringify(event));
  assert.deepEqual(Object.keys(event), ['type', 'event_id', 'error']);
  assert.equal(event.type, 'error');
  assert.match(event.event_id, /^event_\w+$/);
  assert.deepEqual(Object.keys(event.error), ['type', 'code', 'message', 'param', 'event_id']);
  assert.equal(event.error.type, 'session_limit_exceeded');
  assert.equal(event.error.code, code);
  assert.match(event.error.message, /^[A-Z`].*\.$/s, 'a sentence');
  assert.equal(event.error.event_id, null);
  if (limit !== undefined) assert.equal(event.error.param, limit);
  else if (['budget_exceeded', 'max_duration_exceeded'].includes(code)) assert.match(event.error.param, limitNames);
  else assert.equal(event.error.param, null);
}

async function startSocketUpstream({ converse = () => {}, answer = (_, response) => response.writeHead(404).end() } = {}) {
  const connections = [];
  const sockets = new Set();
  const server = http.createServer(answer);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  });
  server.on('upgrade', (incoming, socket, head) => {
    const seen = record(incoming);
    setTimeout(() => {
      accept(seen, socket);
      const connection = { seen, peer: peer(socket, head, { isClient: false }) };
      connections.push(connection);
      converse(connection.peer);
    }, Number(seen.header('x-delay') ?? 0));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    /** All connections so far: `[{ seen, peer }…]`. */
    connections: () => [...connections],
    /** The connection whose handshake carried this `x-case`. */
    connectionOf: (id) => connections.find(({ seen }) => seen.header('x-case') === id),
    /** Waits for the next connection after the first `count`. */
    connectionAfter: (count) => until('a connection', () => connections[count]),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function accept(seen, socket) {
  const digest = createHash('sha1').update(seen.header('sec-websocket-key') + websocketGuid).digest('base64');
  const lines = ['upgrade: websocket', 'connection: Upgrade', `sec-websocket-accept: ${digest}`];
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
}
