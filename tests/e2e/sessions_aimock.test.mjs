// What aimock speaks, metered: Realtime, Responses over a WebSocket, chat completions; and what it does where it is told
// to misbehave, which clients must see as they would without the gateway.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import WebSocket from 'ws';
import {
  chatRequest, exchange, nextCase, providerKey, requestBytes, sha256, tokens, until, useAimock, useRig,
} from './harness/index.mjs';

const usage = { input_tokens: 2006, output_tokens: 300, total_tokens: 2306 };
const prices = { 'gpt-*': { input_text: 1.25, output_text: 10 } };

const aimock = useAimock({
  keys: [providerKey],
  fixtures: [
    { match: { userMessage: 'hello' }, response: { content: 'Hello! How can I help you today?', usage } },
    {
      match: { userMessage: 'break off' },
      response: { content: 'This is never said to its end. '.repeat(20), usage },
      chunkSize: 10,
      truncateAfterChunks: 3,
    },
  ],
});
const { gateway } = useRig({
  upstream: aimock,
  changes: {
    prices,
    callers: {
      'web-app': { tokens: [{ sha256: sha256(tokens.web) }] },
      single: { tokens: [{ sha256: sha256(tokens.other) }], limits: { concurrent_sessions: 1 } },
    },
  },
});

/** A client that has opened `target`; `events` are what it was told so far. */
async function connect(target, token = tokens.web) {
  const id = nextCase();
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}${target}`, {
    headers: { authorization: `Bearer ${token}`, 'x-case': id },
  });
  const events = [];
  socket.on('message', (data) => events.push(JSON.parse(data)));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  socket.on('error', () => {});
  return {
    events,
    closed,
    send: (event) => socket.send(JSON.stringify(event)),
    came: (type) => until(type, () => events.find((event) => event.type === type)),
    close: () => socket.close(1000),
    record: async () => (await gateway.envoy.accessLogOf(id)).session,
  };
}

const item = (text) => ({ type: 'message', role: 'user', content: [{ type: 'input_text', text }] });

describe('aimock over WebSockets', () => {
  test('Realtime: a conversation is followed from its greeting to its end', async () => {
    const client = await connect('/v1/realtime?model=gpt-realtime');
    await client.came('session.created');
    client.send({ type: 'conversation.item.create', item: item('hello') });
    client.send({ type: 'response.create', response: { output_modalities: ['text'] } });
    await client.came('response.done');
    client.close();
    assert.equal(await client.closed, 1000);
    const { model, code, tokens: counted } = await client.record();
    // aimock counts nothing in Realtime.
    assert.deepEqual([model, code, counted], ['gpt-realtime', '1000', '0']);
  });

  test('Responses: each response of a connection counts, at the price of its model', async () => {
    const client = await connect('/v1/responses');
    for (const count of [1, 2]) {
      client.send({ type: 'response.create', model: 'gpt-5', input: [item('hello')] });
      await until(`response ${count}`, () => client.events.filter(({ type }) => type === 'response.completed').length === count);
    }
    client.close();
    await client.closed;
    const { tokens: counted, cost, model } = await client.record();
    assert.deepEqual([counted, cost, model], ['4612', '0.011015', 'gpt-5']);
  });

  test('a connection that breaks off is a session that is over, and its place is free', async () => {
    for (let session = 0; session < 3; session += 1) {
      const client = await connect('/v1/realtime?model=gpt-realtime', tokens.other);
      await client.came('session.created');
      client.send({ type: 'conversation.item.create', item: item('break off') });
      client.send({ type: 'response.create', response: { output_modalities: ['text'] } });
      assert.equal(await client.closed, 1006);
      const { caller, close, code } = await client.record();
      assert.deepEqual([caller, close, code], ['single', 'upstream', '1006']);
      assert.ok(client.events.length > 1, 'what came before was passed on');
    }
  });
});

describe('aimock that misbehaves', { concurrency: 4 }, () => {
  /** What a request comes to, through the gateway or straight to aimock. */
  const answered = async (port, key, chaos, id) => {
    const headers = [['authorization', `Bearer ${key}`], ['x-case', id], ...Object.entries(chaos)];
    const answer = await exchange(port, requestBytes(chatRequest({ headers }))).catch(() => ({ status: null }));
    return { status: answer.status, body: answer.status === 200 || answer.status >= 400 ? String(answer.body) : null };
  };
  const withoutIds = ({ status, body }) => ({ status, body: body?.replace(/"(id|created)":("[^"]*"|\d+)/g, '"$1":0') });

  for (const [chaos, status] of [
    ['drop', 500],
    ['ratelimit', 429],
    ['malformed', 200],
    ['latency', 200],
  ]) {
    test(`${chaos}: the client sees what it would see without the gateway`, async () => {
      const header = { [`x-aimock-chaos-${chaos}`]: chaos === 'latency' ? '300' : '1' };
      const id = nextCase();
      const direct = await answered(aimock.port, providerKey, header, nextCase());
      const through = await answered(gateway.port, tokens.web, header, id);
      assert.equal(through.status, status);
      assert.deepEqual(withoutIds(through), withoutIds(direct));
      const { session } = await gateway.envoy.accessLogOf(id);
      assert.equal(session?.tokens ?? null, chaos === 'latency' ? '2306' : null);
    });
  }

  test('disconnect: Envoy answers, and nothing is counted', async () => {
    const id = nextCase();
    const { status } = await answered(gateway.port, tokens.web, { 'x-aimock-chaos-disconnect': '1' }, id);
    assert.ok([502, 503].includes(status), `answered ${status}`);
    const { session } = await gateway.envoy.accessLogOf(id);
    assert.equal(session?.tokens ?? null, null);
  });
});
