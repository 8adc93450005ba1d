// Locked fields and restricted models: what a client may not say never becomes a message of the upstream's, however it
// is written.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { route, sha256, tokens, until } from './harness/index.mjs';
import { assertEnded, prices, sessionCreated, useSessions } from './harness/sessions.mjs';
import { closeOf, fragments, frame, opcodes, parseFrames, textMessages } from './harness/websocket.mjs';

const { text, binary, ping } = opcodes;
const narrowToken = 'gt-narrow-8Vb2';

const { open } = useSessions({
  changes: {
    prices,
    callers: {
      'web-app': { tokens: [{ env: 'OTHER_TOKEN' }] },
      narrow: { tokens: [{ sha256: sha256(narrowToken) }], models: ['gpt-realtime'] },
    },
    policies: {
      locked: { provider: 'openai', lock: ['instructions', 'tools', 'audio.output.voice'] },
      tooled: { provider: 'openai', tool_types: ['function'] },
      ruled: { provider: 'openai', models: ['gpt-realtime*', 'gpt-4o-transcribe'] },
      free: { provider: 'openai' },
    },
  },
  routes: ['locked', 'tooled', 'ruled', 'free'].map((name) => route({ name, prefix: `/${name}/`, rewrite: '/' })),
});

const token = tokens.other;
const request = (policy) => ({ target: `/${policy}/v1/realtime?model=gpt-realtime`, token });
const client = (payload, options) => frame(text, payload, { mask: true, ...options });
const mebibyte = 1 << 20;

/** Sends what must not pass: the client is told, and the upstream gets no message, however long one waits. */
async function refused({ policy, bytes, closeCode, code, given = request(policy), pieces = [bytes] }) {
  const session = await open(given);
  for (const piece of pieces) {
    session.client.write(piece);
    if (pieces.length > 1) await sleep(10);
  }
  await told(session);
  await assertEnded(session.client, closeCode, code);
  await session.upstream.ended();
  const { frames } = parseFrames(session.upstream.received());
  assert.deepEqual(textMessages(frames), [], 'the upstream got no message');
  const { code: logged, close, reason } = await session.record();
  assert.deepEqual([logged, close, reason], [String(closeCode), 'gateway', code]);
}

/** The client can be told only where the upstream says something, which it does, once it has had time to hear. */
async function told({ client: one, upstream }) {
  await sleep(50);
  await until('the end', () => {
    if (!one.frames().some(({ opcode }) => opcode === opcodes.close)) upstream.send(ping, 'beat');
    return one.frames().some(({ opcode }) => opcode === opcodes.close) || one.hasEnded();
  });
}

/** Sends what may pass, and sees it arrive byte for byte. */
async function passes(policy, bytes, given = request(policy)) {
  const { client: one, upstream } = await open(given);
  one.write(bytes);
  await upstream.bytesCame(bytes.length);
  assert.ok(upstream.received().equals(bytes));
  upstream.sendEvent(sessionCreated());
  await until('an answer', () => one.events().length === 1);
  one.destroy();
}

const update = (session) => JSON.stringify({ type: 'session.update', session });

describe('a tool', { concurrency: 16 }, () => {
  const tools = (...types) => types.map((type) => ({ type, name: 'look_up' }));
  const response = (members) => JSON.stringify({ type: 'response.create', ...members });
  const forbidden = {
    'of another type': update({ tools: tools('mcp') }),
    'of another type, behind one that may be': update({ tools: tools('function', 'web_search') }),
    'of a type in escapes': update({ tools: tools('mcp') }).replace('"mcp"', '"\\u006dcp"'),
    'of a response': response({ response: { tools: tools('mcp') } }),
    'of a response over WebSocket': response({ tools: tools('mcp') }),
    "of a response's input": response({ input: [{ type: 'additional_tools', tools: tools('mcp') }] }),
  };
  for (const [name, event] of Object.entries(forbidden)) {
    test(name, () => refused({ policy: 'tooled', bytes: client(event), closeCode: 4403, code: 'field_locked' }));
  }
  test('that is a function passes', () => passes('tooled', client(update({ tools: tools('function', undefined) }))));
});

describe('a locked field', { concurrency: 16 }, () => {
  const locked = {
    'in session.update': update({ type: 'realtime', instructions: 'Be rude.' }),
    'set to null': update({ instructions: null }),
    'set to what it is': update({ tools: [] }),
    'in response.create': JSON.stringify({ type: 'response.create', response: { instructions: 'Be rude.' } }),
    'at the top of response.create': JSON.stringify({ type: 'response.create', instructions: 'Be rude.' }),
    nested: update({ audio: { output: { voice: 'marin', speed: 1 } } }),
    'nested, under what is no object': update({ audio: { output: 'marin' } }),
    'before its type': '{"session":{"instructions":"x"},"type":"session.update"}',
    'far before its type': `{"session":{"instructions":"${'x'.repeat(100_000)}"},"type":"session.update"}`,
    'behind a decoy type in an object': '{"a":{"type":"noise"},"session":{"tools":[]},"type":"session.update"}',
    'with escapes in its name': '{"type":"session.update","session":{"\\u0069nstructions":"x"}}',
    'with escapes in "session"': '{"type":"session.update","\\u0073ession":{"instructions":"x"}}',
    'with escapes in "type"': '{"t\\u0079pe":"session.update","session":{"instructions":"x"}}',
    'with escapes in the type': '{"type":"session\\u002eupdat\\u0065","session":{"instructions":"x"}}',
    'with white space everywhere': ' {\n"type"\t:\r"session.update" , "session" : { "instructions" : "x" } } ',
    'deep in other members': update({ a: [[{ instructions: 1 }]], b: { tools: 1 }, tools: 1 }),
    'in a long event': update({ padding: 'x'.repeat(900_000), instructions: 'x' }),
  };
  for (const [name, event] of Object.entries(locked)) {
    test(name, () => refused({ policy: 'locked', bytes: client(event), closeCode: 4403, code: 'field_locked' }));
  }

  const plain = update({ instructions: 'Be rude.' });
  const shapes = {
    'in fragments': () => [Buffer.concat(fragments(text, plain, [1, 5, 30, 31], { mask: true }))],
    'in fragments of their own reads': () => fragments(text, plain, [10, 40], { mask: true }),
    'in empty fragments': () => {
      const cuts = [0, 0, plain.length, plain.length];
      return [Buffer.concat(fragments(text, plain, cuts, { mask: true }))];
    },
    'in fragments around a ping': () => {
      const [first, last] = fragments(text, plain, [20], { mask: true });
      return [Buffer.concat([first, frame(ping, 'x', { mask: true }), last])];
    },
    'byte by byte': () => [...client(plain)].map((byte) => Buffer.of(byte)),
    'in a binary message': () => [frame(binary, plain, { mask: true })],
    'with a key of zeros': () => [client(plain, { mask: Buffer.alloc(4) })],
  };
  for (const [name, build] of Object.entries(shapes)) {
    test(name, () => refused({ policy: 'locked', pieces: build(), closeCode: 4403, code: 'field_locked' }));
  }
});

describe('what cannot be read for certain is a violation', { concurrency: 16 }, () => {
  const unreadable = {
    'the field twice': '{"type":"session.update","session":{"voice":"a","tools":1,"tools":2}}',
    'the type twice': '{"type":"noise","type":"session.update","session":{"instructions":"x"}}',
    'the type twice, the other way round': '{"type":"session.update","type":"noise","session":{"instructions":"x"}}',
    'the session twice': '{"type":"session.update","session":{"instructions":"x"},"session":{}}',
    'the session twice, once with escapes':
      '{"type":"session.update","session":{},"sess\\u0069on":{"instructions":"x"}}',
    'a session that is a list': '{"type":"session.update","session":[{"instructions":"x"}]}',
    'two values': '{"type":"noise"}{"type":"session.update","session":{"instructions":"x"}}',
    'a list': '[{"type":"session.update","session":{"instructions":"x"}}]',
    'JSON that is cut short': '{"type":"session.update","session":{"instructions":"x"}',
    'no JSON': 'session.update',
    'a comment': '{/*"a":1*/"type":"session.update","session":{"instructions":"x"}}',
    'a byte order mark': '\ufeff{"type":"session.update","session":{"instructions":"x"}}',
    'a field in other capitals': '{"type":"session.update","session":{"Instructions":"x"}}',
    'the session with a long s': '{"type":"session.update","\u017fession":{"instructions":"x"}}',
    'text that is not UTF-8': Buffer.from('{"type":"session.update","session":{"a":"\xff"}}', 'latin1'),
  };
  for (const [name, event] of Object.entries(unreadable)) {
    test(name, () => refused({ policy: 'locked', bytes: client(event), closeCode: 1002, code: 'protocol_error' }));
  }
});

describe('a message of any size is inspected as it passes', { concurrency: 16 }, () => {
  const long = (session) => update({ padding: 'x'.repeat(1.5 * mebibyte), ...session });
  const forms = {
    'in one frame': (message) => [client(message)],
    'in fragments': (message) => fragments(text, message, [1_000, 600_000], { mask: true }),
  };
  for (const [name, form] of Object.entries(forms)) {
    const pieces = form(long({ instructions: 'Be rude.' }));
    test(`a locked field, ${name}`, () => refused({ policy: 'locked', pieces, closeCode: 4403, code: 'field_locked' }));
    test(`what may pass, ${name}`, () => passes('locked', Buffer.concat(form(long({ voice: 'marin' })))));
  }
  test('audio', () => {
    const append = JSON.stringify({ type: 'input_audio_buffer.append', audio: 'A'.repeat(2 * mebibyte) });
    return passes('locked', client(append));
  });
  test('where nothing is inspected', () => passes('free', client(long({ instructions: 'Be rude.' }))));
});

describe('what is not locked passes', { concurrency: 16 }, () => {
  const free = {
    'another field': update({ turn_detection: null }),
    'a field of the same name elsewhere': update({ audio: { input: { voice: 'x', instructions: 'y', tools: [] } } }),
    'a sibling of a nested one': update({ audio: { output: { speed: 1.1 } } }),
    'the name in a text': update({ note: '"instructions":"x"' }),
    'the name in another event': JSON.stringify({ type: 'conversation.item.create', item: { tools: 1 }, tools: [] }),
    'an event without a type': '{}',
    'a plain response.create': JSON.stringify({ type: 'response.create' }),
    audio: JSON.stringify({ type: 'input_audio_buffer.append', audio: 'A'.repeat(6_400) }),
    'keys that do not matter, twice': '{"type":"session.update","session":{"a":1,"a":2}}',
  };
  for (const [name, event] of Object.entries(free)) test(name, () => passes('locked', client(event)));
  test('in fragments, byte by byte', () =>
    passes('locked', Buffer.concat(fragments(text, free.audio, [1, 2, 3, 1_000], { mask: true }))));
  test('a locked field where nothing is locked', () => passes('free', client(update({ instructions: 'x' }))));
});

test('messages before the one that is refused have passed', async () => {
  const { client: one, upstream } = await open(request('locked'));
  const good = Buffer.concat([client('{"type":"response.create"}'), frame(ping, 'x', { mask: true })]);
  one.write(Buffer.concat([good, client(update({ tools: [] })), client('{"type":"response.cancel"}')]));
  await upstream.bytesCame(good.length);
  await told({ client: one, upstream });
  await assertEnded(one, 4403, 'field_locked');
  await upstream.ended();
  assert.ok(upstream.received().subarray(0, good.length).equals(good), 'to the byte');
  const [last, ...others] = parseFrames(upstream.received().subarray(good.length)).frames;
  assert.deepEqual([closeOf(last), others], [{ code: 1000, reason: '' }, []], 'and then a Close');
});

describe('a model that is not allowed', { concurrency: 16 }, () => {
  const forbidden = {
    'in session.update': update({ type: 'realtime', model: 'gpt-5' }),
    'in response.create': JSON.stringify({ type: 'response.create', response: { model: 'gpt-5' } }),
    'at the top of response.create': JSON.stringify({ type: 'response.create', model: 'gpt-5' }),
    'with escapes': '{"type":"session.update","session":{"m\\u006fdel":"gpt-\\u0035"}}',
    'before its type': '{"session":{"model":"gpt-5"},"type":"session.update"}',
    'for transcription': update({ audio: { input: { transcription: { model: 'whisper-1' } } } }),
  };
  for (const [name, event] of Object.entries(forbidden)) {
    test(name, () => refused({ policy: 'ruled', bytes: client(event), closeCode: 4403, code: 'model_not_allowed' }));
  }
  test('by the caller', () =>
    refused({
      given: { ...request('free'), token: narrowToken },
      bytes: client(update({ model: 'gpt-realtime-mini' })),
      closeCode: 4403,
      code: 'model_not_allowed',
    }));
  test('one that is allowed passes', () => passes('ruled', client(update({ model: 'gpt-realtime-mini' }))));
  test('one for transcription that is allowed passes', () =>
    passes('ruled', client(update({ audio: { input: { transcription: { model: 'gpt-4o-transcribe' } } } }))));
  test('a model that is no text is a violation', () =>
    refused({ policy: 'ruled', bytes: client(update({ model: ['gpt-5'] })), closeCode: 1002, code: 'protocol_error' }));
  test('a model given twice is a violation', () =>
    refused({
      policy: 'ruled',
      bytes: client('{"type":"session.update","session":{"model":"gpt-realtime","model":"gpt-5"}}'),
      closeCode: 1002,
      code: 'protocol_error',
    }));
});
