// A session that is metered: every byte passes in both directions, and what it used is known at its end.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test, { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket, { WebSocketServer } from 'ws';
import { tokens, until, useRig } from './harness/index.mjs';
import { useFor } from './harness/hooks.mjs';
import { responseDone, sessionCreated, useSessions } from './harness/sessions.mjs';
import { closePayload, fragments, frame, opcodes } from './harness/websocket.mjs';

const sessions = useSessions();
const { open } = sessions;
const { text, binary, ping, pong } = opcodes;

const audio = (bytes) => ({ type: 'response.output_audio.delta', delta: randomBytes(bytes).toString('base64') });
const audioMessage = (bytes) => JSON.stringify(audio(bytes));

/** Messages of every kind that RFC 6455 knows, as the frames of one side. */
function medley(mask) {
  const one = (opcode, payload, options) => frame(opcode, payload, { mask, ...options });
  const [first, second, third] = fragments(text, audioMessage(20_000), [100, 9_000], { mask });
  return [
    one(text, audioMessage(4_800)),
    one(binary, randomBytes(70_000)),
    one(text, audioMessage(900_000)),
    one(text, ''),
    one(binary, randomBytes(125)),
    one(binary, randomBytes(126)),
    one(binary, randomBytes(65_535)),
    one(binary, randomBytes(65_536)),
    first, one(ping, 'between'), second, one(pong, ''), third,
    ...fragments(binary, randomBytes(3), [0, 1, 2, 3], { mask }),
    one(ping, randomBytes(125)),
    one(text, JSON.stringify({ type: 'unknown', text: '\u{1f600}"\\' })),
    one(text, 'no JSON at all'),
  ];
}

/** Writes the bytes in pieces of random sizes, each a read of its own for the peer more often than not. */
async function writeInPieces(peer, bytes, largest) {
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + Math.floor(Math.random() * largest);
    peer.write(bytes.subarray(at, at + size));
    at += size;
    await sleep(0);
  }
}

describe('every byte passes', () => {
  for (const [name, largest] of Object.entries({ 'in large reads': 1 << 20, 'cut anywhere': 5_000 })) {
    test(name, async () => {
      const { client, upstream } = await open();
      const [up, down] = [Buffer.concat(medley(true)), Buffer.concat(medley(false))];
      await Promise.all([writeInPieces(client, up, largest), writeInPieces(upstream, down, largest)]);
      await Promise.all([upstream.bytesCame(up.length), client.bytesCame(down.length)]);
      assert.ok(upstream.received().equals(up), 'what the upstream got is what the client sent');
      assert.ok(client.received().equals(down), 'what the client got is what the upstream sent');
      client.destroy();
    });
  }
  test('byte by byte', async () => {
    const { client, upstream, record } = await open();
    const down = Buffer.concat([frame(text, JSON.stringify(responseDone())), frame(ping, 'x')]);
    const asked = [[text, '{"type":"response.create"}'], [pong, 'x']];
    const up = Buffer.concat(asked.map(([opcode, payload]) => frame(opcode, payload, { mask: true })));
    await Promise.all([writeInPieces(client, up, 1), writeInPieces(upstream, down, 1)]);
    await Promise.all([upstream.bytesCame(up.length), client.bytesCame(down.length)]);
    assert.ok(upstream.received().equals(up));
    assert.ok(client.received().equals(down));
    client.destroy();
    assert.equal((await record()).tokens, '1500');
  });
  test('four sessions at once, of several megabytes', async () => {
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        const { client, upstream } = await open();
        const messages = Array.from({ length: 300 }, () => frame(text, audioMessage(4_800)));
        const down = Buffer.concat(messages);
        upstream.write(down);
        await client.bytesCame(down.length);
        assert.ok(client.received().equals(down));
        client.destroy();
      }),
    );
  });
});

describe('extensions', () => {
  test('a client that offers some gets none, and neither does the upstream', async () => {
    const { seen, answer, client } = await open({
      headers: [
        ['sec-websocket-extensions', 'permessage-deflate; client_max_window_bits'],
        ['Sec-WebSocket-Extensions', 'x-other'],
      ],
    });
    assert.deepEqual(seen.headerAll('sec-websocket-extensions'), []);
    assert.deepEqual(answer.headerAll('sec-websocket-extensions'), []);
    client.destroy();
  });
});

describe('extensions between real peers', () => {
  const server = useFor(() => startEcho());
  const changes = { policies: { default: { provider: 'openai' }, plain: { provider: 'openai', meter: false } } };
  const { gateway } = useRig({
    upstream: server,
    changes,
    routes: ['default', 'plain'].map((name) => ({
      name,
      match: { prefix: `/${name}` },
      route: { cluster: 'upstream', timeout: '0s' },
    })),
  });
  const echo = async (path) => {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`, {
      headers: { authorization: `Bearer ${tokens.web}` },
      perMessageDeflate: { threshold: 0 },
    });
    try {
      await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
      const message = audioMessage(100_000);
      const answer = new Promise((resolve) => socket.once('message', (data) => resolve(data.toString())));
      socket.send(message);
      assert.ok((await answer) === message, 'the echo is the message');
      return socket.extensions;
    } finally {
      socket.terminate();
    }
  };
  test('ws compresses nothing where the session is metered', async () => assert.equal(await echo('/default'), ''));
  test('ws compresses where it is not', async () => assert.match(await echo('/plain'), /permessage-deflate/));
});

describe('what the access log says of a session', () => {
  test('tokens to the token, cost to the micro-dollar', async () => {
    const { client, upstream, record } = await open();
    for (const event of [
      sessionCreated({ audio: { input: { transcription: { model: 'gpt-4o-transcribe' } } } }),
      { type: 'response.created', response: { id: 'resp_1', status: 'in_progress' } },
      audio(4_800),
      responseDone('resp_1'),
      responseDone('resp_1'),
      responseDone('resp_2', {
        status: 'incomplete',
        usage: {
          total_tokens: 100,
          input_tokens: 97,
          output_tokens: 3,
          input_token_details: {
            text_tokens: 7, audio_tokens: 0, image_tokens: 90, cached_tokens: 30,
            cached_tokens_details: { text_tokens: 0, audio_tokens: 0, image_tokens: 30 },
          },
          output_token_details: { text_tokens: 3, audio_tokens: 0 },
        },
      }),
      responseDone('resp_3', { status: 'cancelled', usage: null }),
      {
        type: 'conversation.item.input_audio_transcription.completed',
        item_id: 'item_9',
        content_index: 0,
        transcript: 'hello',
        usage: {
          type: 'tokens', total_tokens: 25, input_tokens: 20, output_tokens: 5,
          input_token_details: { text_tokens: 0, audio_tokens: 20 },
        },
      },
    ]) {
      upstream.sendEvent(event);
    }
    await until('the last event', () => client.events().length === 8);
    client.send(opcodes.close, closePayload(1000, 'bye'));
    upstream.send(opcodes.close, closePayload(1000, 'bye'));
    client.destroy();
    const { id, duration, ...others } = await record();
    assert.match(id, /^rb_\w{8,}$/);
    assert.ok(Number(duration) >= 0 && Number(duration) < 10_000, duration);
    assert.deepEqual(others, {
      caller: 'web-app', user: null, policy: 'default', provider: 'openai', model: 'gpt-realtime',
      // 46,920 and 391 for responses, 170 for the transcription, in micro-dollars.
      tokens: '1600', cost: '0.047481', code: '1000', limit: null, close: 'client', reason: 'bye',
    });
  });
  test('a message in fragments counts, wherever its type stands', async () => {
    const { client, upstream, record } = await open();
    const { type, ...others } = responseDone();
    const late = JSON.stringify({ ...others, padding: 'x'.repeat(2_000), type });
    const down = Buffer.concat([
      ...fragments(text, late, [1, 200, late.length - 5]),
      ...fragments(text, JSON.stringify(responseDone('resp_2')).replace('"type"', '"\\u0074ype"'), [3]),
    ]);
    upstream.write(down);
    await client.bytesCame(down.length);
    client.destroy();
    const { tokens: counted, cost } = await record();
    assert.deepEqual([counted, cost], ['3000', '0.093840']);
  });
  test('of usage that cannot be, what can be is counted', async () => {
    const { client, upstream, record } = await open();
    const wrong = [
      { input_tokens: -5, output_tokens: 1 }, { input_tokens: '5', output_tokens: 1 }, { output_tokens: 1 },
      { input_tokens: 1e300, output_tokens: 1 }, { input_tokens: 1.5, output_tokens: 1 }, [], 'all',
    ];
    wrong.forEach((usage, index) => upstream.sendEvent(responseDone(`resp_${index}`, { usage })));
    upstream.sendEvent(responseDone('resp_good'));
    await until('the last event', () => client.events().length === wrong.length + 1);
    client.destroy();
    // Five of them tell one token of output.
    assert.equal((await record()).tokens, '1505');
  });
  test('two sessions have two ids', async () => {
    const records = [];
    for (let count = 0; count < 2; count += 1) {
      const { client, record } = await open();
      client.destroy();
      records.push(await record());
    }
    assert.notEqual(records[0].id, records[1].id);
  });
});

async function startEcho() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: { threshold: 0 } });
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  await new Promise((resolve) => server.on('listening', resolve));
  return {
    port: server.address().port,
    stop: () => new Promise((resolve) => {
      for (const socket of server.clients) socket.terminate();
      server.close(resolve);
    }),
  };
}
