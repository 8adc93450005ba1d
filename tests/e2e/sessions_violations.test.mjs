// Violations of RFC 6455, from either side: they end the session, and the other side never sees them, but
// what came before.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './harness/index.mjs';
import { assertBroken, responseDone, useSessions } from './harness/sessions.mjs';
import { closeOf, closePayload, frame, opcodes, parseFrames } from './harness/websocket.mjs';

const { continuation, text, binary, close, ping, pong } = opcodes;
const { open, gateway } = useSessions();

/** What no endpoint may send, as frames of the side that masks or does not; with the Close code that answers it. */
function violations(isClient) {
  const one = (opcode, payload, options) => frame(opcode, payload, { mask: isClient, ...options });
  const part = (opcode, payload) => one(opcode, payload, { isFinal: false });
  return {
    'reserved bit 1': [one(text, '{}', { reserved: 4 })],
    'reserved bit 2': [one(text, '{}', { reserved: 2 })],
    'reserved bit 3 on a control frame': [one(ping, '', { reserved: 1 })],
    'reserved data opcode': [one(0x3, '{}')],
    'reserved control opcode': [one(0xb, '')],
    'the wrong masking': [one(text, '{}', { mask: !isClient })],
    'the wrong masking of a control frame': [one(ping, 'x', { mask: !isClient })],
    'a continuation of nothing': [one(continuation, '{}')],
    'an unfinished continuation of nothing': [part(continuation, '{}')],
    'a message within a message': [Buffer.concat([part(text, '{'), one(text, '{}')])],
    'a binary message within a text': [Buffer.concat([part(text, '{'), part(continuation, '}'), one(binary, 'x')])],
    'a fragmented ping': [part(ping, 'x')],
    'a fragmented Close': [part(close, closePayload(1000))],
    'a ping of 126 bytes': [one(ping, 'x'.repeat(126))],
    'a pong with a long length': [one(pong, 'x', { lengthBytes: 2 })],
    'a Close of 126 bytes': [one(close, closePayload(1000, 'x'.repeat(124)))],
    'a length in more bytes than it needs': [one(text, 'x'.repeat(125), { lengthBytes: 2 })],
    'a length in far more bytes than it needs': [one(text, 'x'.repeat(65_535), { lengthBytes: 8 })],
    'a length of 2^63': [one(text, 'x'.repeat(200), { length: 2n ** 63n })],
    'a length of 2^64 - 1': [one(binary, '', { length: 2n ** 64n - 1n })],
    'a Close of one byte': [one(close, 'x')],
    'Close code 0': [one(close, closePayload(0))],
    'Close code 999': [one(close, closePayload(999))],
    'Close code 1005': [one(close, closePayload(1005))],
    'Close code 1006': [one(close, closePayload(1006))],
    'Close code 1015': [one(close, closePayload(1015))],
    'Close code 2000': [one(close, closePayload(2000))],
    'Close code 5000': [one(close, closePayload(5000))],
  };
}

/** Frames that stand before what is wrong, in the same read. */
const goodEvent = JSON.stringify({ type: 'input_audio_buffer.append', audio: 'AAAA' });

/** What the other side got is what was good, and then a Close frame; between them may be unfinished fragments. */
function assertClosed(peer, good, closeCode) {
  assert.ok(peer.received().subarray(0, good.length).equals(good), 'what came before has passed');
  const { frames, rest } = parseFrames(peer.received().subarray(good.length));
  assert.equal(rest.length, 0, 'no frame is cut');
  const last = frames.pop();
  assert.deepEqual([last.opcode, closeOf(last).code], [close, closeCode]);
  assert.ok(frames.every(({ isFinal }) => !isFinal), 'only unfinished fragments may have passed');
}

describe('of the client', { concurrency: 16 }, () => {
  for (const [name, [bytes]] of Object.entries(violations(true))) {
    for (const place of ['alone', 'behind a good message']) {
      test(`${name}, ${place}`, async () => {
        const { client, upstream, record } = await open();
        const good = place === 'alone' ? Buffer.alloc(0) : frame(text, goodEvent, { mask: true });
        client.write(Buffer.concat([good, bytes, frame(text, '{"type":"response.create"}', { mask: true })]));
        await upstream.frameCame(close);
        const answer = frame(text, JSON.stringify(responseDone()));
        upstream.write(Buffer.concat([answer, frame(close, closePayload(1002))]));
        await assertBroken(client);
        assert.ok(client.received().subarray(0, answer.length).equals(answer), 'what the upstream still said has passed');
        upstream.socket.end();
        await client.ended();
        assertClosed(upstream, good, 1002);
        const { code, reason, tokens } = await record();
        assert.deepEqual([code, reason, tokens], ['1002', 'protocol_error', '1500']);
      });
    }
  }
  test('one that the upstream does not answer is told all the same, in the place of what it says', async () => {
    const { client, upstream } = await open();
    client.write(frame(text, '{}'));
    const talking = setInterval(() => upstream.send(ping, ''), 50).unref();
    await assertBroken(client);
    clearInterval(talking);
    client.destroy();
  });
  test('one that begins in an earlier read goes no further', async () => {
    const { client, upstream, record } = await open();
    const bytes = frame(text, 'x'.repeat(125), { mask: true, lengthBytes: 2 });
    client.write(bytes.subarray(0, 2));
    await upstream.bytesCame(2);
    client.write(bytes.subarray(2));
    await sleep(100);
    upstream.send(ping, '');
    await assertBroken(client);
    await upstream.ended();
    assert.equal(upstream.received().length, 2);
    assert.equal((await record()).code, '1002');
  });
});

describe('of the upstream', { concurrency: 16 }, () => {
  for (const [name, [bytes]] of Object.entries(violations(false))) {
    for (const place of ['alone', 'behind a good message']) {
      test(`${name}, ${place}`, async () => {
        const { client, upstream, record } = await open();
        const good = place === 'alone' ? Buffer.alloc(0) : frame(text, JSON.stringify(responseDone()));
        upstream.write(Buffer.concat([good, bytes, frame(text, JSON.stringify(responseDone('resp_2')))]));
        await assertBroken(client);
        assertClosed(client, good, 1002);
        const answer = Buffer.concat([
          frame(text, goodEvent, { mask: true }), frame(close, closePayload(1002), { mask: true }),
        ]);
        client.write(answer);
        await upstream.bytesCame(answer.length);
        assert.ok(upstream.received().equals(answer), 'what the client still said has passed, and its answer');
        upstream.socket.end();
        await client.ended();
        const { code, reason, tokens } = await record();
        assert.deepEqual([code, reason, tokens], ['1002', 'protocol_error', place === 'alone' ? '0' : '1500']);
      });
    }
  }
  test('one that begins in an earlier read ends without a word', async () => {
    const { client, upstream, record } = await open();
    const bytes = frame(text, 'x'.repeat(125), { lengthBytes: 2 });
    upstream.write(bytes.subarray(0, 2));
    await client.bytesCame(2);
    upstream.write(bytes.subarray(2));
    await client.ended();
    assert.equal(client.received().length, 2, 'nothing of the frame came but what nobody could know was wrong');
    assert.equal((await record()).code, '1002');
  });
});

test('a Close reason that is not UTF-8 ends with 1007, as RFC 6455 says of text', async () => {
  const payload = Buffer.concat([closePayload(1000), Buffer.of(0xff, 0xfe)]);
  const { client, upstream } = await open();
  upstream.send(close, payload);
  await assertBroken(client, 1007);
  client.destroy();
  const other = await open();
  other.client.send(close, payload);
  assert.equal(closeOf(await other.upstream.frameCame(close)).code, 1007);
  other.upstream.send(close, closePayload(1007));
  await assertBroken(other.client, 1007);
  other.client.destroy();
  assert.equal((await other.record()).code, '1007');
});

test('an abrupt end of either side ends the other', async () => {
  for (const [gone, left] of [['client', 'upstream'], ['upstream', 'client']]) {
    const session = await open();
    session.client.write(frame(text, goodEvent, { mask: true }).subarray(0, 5));
    session.upstream.write(frame(text, JSON.stringify(responseDone())).subarray(0, 5));
    await sleep(20);
    session[gone].destroy();
    await session[left].ended();
    const { code, close, reason } = await session.record();
    assert.deepEqual([code, close, reason], ['1006', gone, null]);
  }
});

test('random bytes from either side never stop the gateway', async () => {
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      const { client, upstream } = await open();
      const noise = (seed) => Buffer.from(Array.from({ length: 300 }, (__, at) => (seed * 7919 + at * 104_729) >> 3));
      (index % 2 === 0 ? client : upstream).write(noise(index));
      await sleep(30);
      client.destroy();
      upstream.destroy();
    }),
  );
});

test('after all that the same gateway still relays and counts', async () => {
  const { client, upstream, record } = await open();
  upstream.sendEvent(responseDone());
  await until('the event', () => client.events().length === 1);
  client.destroy();
  assert.equal((await record()).tokens, '1500');
  const log = gateway.envoy.log();
  assert.doesNotMatch(log, /Proxy-Wasm plugin in-VM|panicked|Function: .* failed|unreachable|hostcall failed/);
  assert.equal(gateway.envoy.exit(), null);
});
