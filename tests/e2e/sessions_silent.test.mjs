// An upstream that says nothing by itself, as between two turns: a client that is ended is told all the same, because
// the upstream is asked to close, and answers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket, { WebSocketServer } from 'ws';
import { runProgram } from '../clients/program.mjs';
import { basicConfiguration, basicEnv, delayMs, route, tokens, useGateway } from './harness/index.mjs';
import { useFor } from './harness/hooks.mjs';
import { assertEnded, assertErrorEvent, prices, sessionCreated, useSocketUpstream } from './harness/sessions.mjs';
import { upgradeRequest } from './harness/requests.mjs';
import { closeOf, frame, opcodes, peer, textMessages } from './harness/websocket.mjs';

const { text, ping, close } = opcodes;

const policies = {
  locked: { lock: ['instructions'], models: ['gpt-realtime*'] },
  short: { session: { max_duration: '1s' } },
};

const silent = useFor(startSilent);
const mute = useSocketUpstream();
const gateway = useGateway(() => ({
  upstreams: { upstream: silent.port, mute: mute.port },
  env: basicEnv,
  tls: true,
  configuration: basicConfiguration({
    prices,
    policies: Object.fromEntries(
      Object.entries(policies).map(([name, policy]) => [name, { provider: 'openai', ...policy }]),
    ),
  }),
  routes: Object.keys(policies).flatMap((name) => [
    route({ name, prefix: `/mute/${name}/`, cluster: 'mute', rewrite: '/' }),
    route({ name, prefix: `/${name}/`, rewrite: '/' }),
  ]),
}));

/** A real server that greets, says nothing more, and closes as RFC 6455 says. */
async function startSilent() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  const connections = [];
  server.on('connection', (socket) => {
    const connection = { messages: [], closed: once(socket, 'close') };
    socket.on('message', (data) => connection.messages.push(String(data))).on('error', () => {});
    connections.push(connection);
    socket.send(JSON.stringify(sessionCreated()));
  });
  await once(server, 'listening');
  return {
    port: server.address().port,
    connections: () => [...connections],
    stop: () => new Promise((resolve) => {
      for (const socket of server.clients) socket.terminate();
      server.close(resolve);
    }),
  };
}

/** A client of `ws` that was greeted: `{ socket, ended(), upstream }`. */
async function greeted(policy) {
  const before = silent.connections().length;
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/${policy}/v1/realtime?model=gpt-realtime`, {
    headers: { authorization: `Bearer ${tokens.web}` },
  });
  const messages = [];
  socket.on('message', (data) => messages.push(String(data))).on('error', () => {});
  await once(socket, 'message');
  messages.length = 0;
  return {
    socket,
    upstream: silent.connections()[before],
    ended: async () => {
      const [code, reason] = await once(socket, 'close');
      return { messages, code, reason: String(reason) };
    },
  };
}

/** What the upstream hears of a session: these messages, and then a Close. */
async function assertHeard(upstream, messages, closeCode) {
  const [code] = await upstream.closed;
  assert.deepEqual([upstream.messages, code], [messages, closeCode]);
}

const fine = '{"type":"response.create"}';
const update = (session) => JSON.stringify({ type: 'session.update', session });

describe('what a client may not say', () => {
  const refused = {
    'a locked field': [update({ instructions: 'Be rude.' }), 4403, 'field_locked'],
    'a model that is not allowed': [update({ model: 'gpt-5' }), 4403, 'model_not_allowed'],
    'what is no JSON': ['{', 1002, 'protocol_error'],
  };
  for (const [name, [message, closeCode, code]] of Object.entries(refused)) {
    test(name, async () => {
      const { socket, ended, upstream } = await greeted('locked');
      const said = Date.now();
      socket.send(fine);
      socket.send(message);
      socket.send('{"type":"response.cancel"}');
      const told = await ended();
      assert.ok(Date.now() - said < 1_000 + delayMs, `told after ${Date.now() - said} ms`);
      assert.deepEqual([told.code, told.reason], [closeCode, code]);
      assert.equal(told.messages.length, 1);
      assertErrorEvent(told.messages[0], code);
      await assertHeard(upstream, [fine], 1000);
    });
  }
  test('a violation', async () => {
    const { socket, ended, upstream } = await greeted('locked');
    socket.send(fine);
    socket._socket.write(frame(text, fine));
    const told = await ended();
    assert.deepEqual(told, { messages: [], code: 1002, reason: 'protocol_error: client frame is not masked' });
    await assertHeard(upstream, [fine], 1002);
  });
  test('a locked field, by the official SDK', async () => {
    const nodeOptions = 'WebSocket' in globalThis ? [] : ['--experimental-websocket'];
    const env = {
      OPENAI_API_KEY: tokens.web,
      OPENAI_BASE_URL: `https://localhost:${gateway.securePort}/locked/v1`,
      SAYS: update({ type: 'realtime', instructions: 'Be rude.' }),
    };
    for (const CLASS of ['ws', 'websocket']) {
      const told = await runProgram('openai_ended.mjs', { ...env, CLASS, RECONNECT: 'no' }, { nodeOptions });
      assert.deepEqual(told.close, { code: 4403, reason: 'field_locked' });
      assert.deepEqual([told.errors.map(({ code }) => code), told.order], [['field_locked'], ['error', 'close']]);
    }
  });
});

describe('what time ends', () => {
  test('is told as soon as the client says something', async () => {
    const { socket, ended, upstream } = await greeted('short');
    const talking = setInterval(() => socket.send(fine), 50);
    const told = await ended();
    clearInterval(talking);
    assert.deepEqual([told.code, told.reason], [4408, 'max_duration_exceeded']);
    assertErrorEvent(told.messages[0], 'max_duration_exceeded');
    const [code] = await upstream.closed;
    assert.equal(code, 1000);
  });
});

describe('an upstream that does not even answer a Close', { concurrency: 8 }, () => {
  const open = async (policy) => {
    const answer = await gateway.send(upgradeRequest({
      target: `/mute/${policy}/v1/realtime?model=gpt-realtime`,
      headers: [['authorization', `Bearer ${tokens.web}`]],
    }));
    assert.equal(answer.status, 101);
    return {
      client: peer(answer.socket, answer.rest, { isClient: true }),
      upstream: mute.connectionOf(answer.case).peer,
      record: async () => (await gateway.envoy.accessLogOf(answer.case)).session,
    };
  };
  for (const [name, bytes, closeCode, code, longestMs] of [
    ['a locked field', frame(text, update({ instructions: 'x' }), { mask: true }), 1000, '4403', 4_500],
    ['a violation', frame(text, '{}'), 1002, '1002', 6_500],
  ]) {
    test(`${name}: the session is cut after the grace`, async () => {
      const { client, upstream, record } = await open('locked');
      const said = Date.now();
      client.write(Buffer.concat([bytes, frame(text, fine, { mask: true })]));
      const asked = await upstream.frameCame(close);
      assert.deepEqual(closeOf(asked), { code: closeCode, reason: '' });
      client.sendEvent({ type: 'response.create' });
      await client.ended();
      const waited = Date.now() - said;
      assert.ok(waited > 900 && waited < longestMs + delayMs, `cut after ${waited} ms`);
      assert.equal(client.received().length, 0);
      await upstream.ended();
      assert.equal(upstream.frames().length, 1, 'nothing but the Close');
      assert.equal((await record()).code, code);
    });
  }
  test('a locked field: the client is told where it says something else', async () => {
    const { client, upstream } = await open('locked');
    client.write(frame(text, update({ instructions: 'x' }), { mask: true }));
    await upstream.frameCame(close);
    upstream.send(ping, '');
    await assertEnded(client, 4403, 'field_locked');
    client.destroy();
  });
  test('a message that came in part is not finished, and no Close stands within it', async () => {
    const { client, upstream } = await open('locked');
    const bytes = frame(text, update({ instructions: 'x' }), { mask: true });
    client.write(bytes.subarray(0, 20));
    await upstream.bytesCame(20);
    client.write(Buffer.concat([bytes.subarray(20), frame(text, fine, { mask: true })]));
    await sleep(200);
    assert.equal(upstream.received().length, 20);
    upstream.send(ping, '');
    await assertEnded(client, 4403, 'field_locked');
    await upstream.ended();
    assert.deepEqual(textMessages(upstream.frames()), []);
  });
});
