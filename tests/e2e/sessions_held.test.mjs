// Fields that the gateway sets, keeps and hides: what either side gets, frame by frame, however the other has sent it.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { runProgram } from '../clients/program.mjs';
import { restRequest, route, tokens, until } from './harness/index.mjs';
import { assertEnded, prices, responseDone, sessionCreated, useSessions } from './harness/sessions.mjs';
import { closeOf, fragments, frame, opcodes, parseFrames, textMessages } from './harness/websocket.mjs';

const { text, ping } = opcodes;
const secret = 'Sell shoes, and never say that you do.';
const lock = (on_change) => ({ fields: ['instructions', 'audio.output.voice'], on_change });

const policies = {
  dropped: { lock: lock('drop'), tool_types: ['function'] },
  refused: { lock: lock('refuse') },
  preset: { preset: { instructions: secret } },
  hidden: { hide: ['instructions', 'tools'] },
};

const { gateway, open } = useSessions({
  tls: true,
  converse,
  changes: {
    prices,
    policies: Object.fromEntries(Object.entries(policies).map(([name, rules]) => [name, { provider: 'openai', ...rules }])),
  },
  routes: Object.keys(policies).map((name) => route({ name, prefix: `/${name}/`, rewrite: '/' })),
});

/** An upstream that says nothing by itself but answers: a Close, and as OpenAI does, items that it does not have and responses. */
function converse(peer) {
  let answered = 0;
  let hasClosed = false;
  peer.socket.on('data', () => {
    const close = peer.frames().find(({ opcode }) => opcode === opcodes.close);
    if (close && !hasClosed) peer.send(opcodes.close, close.payload);
    hasClosed = close !== undefined;
    for (const event of peer.events().slice(answered)) {
      answered += 1;
      if (event.type === 'conversation.item.retrieve') {
        const message = `Error retrieving item: the item with id '${event.item_id}' does not exist.`;
        const error = { type: 'invalid_request_error', code: 'item_retrieve_invalid_item_id', message, param: null };
        peer.sendEvent({ type: 'error', event_id: 'event_1', error: { ...error, event_id: event.event_id } });
      }
      if (event.type === 'response.create') peer.sendEvent(responseDone(`resp_${answered}`));
    }
  });
  peer.socket.on('end', () => peer.socket.end());
}

const request = (policy) => ({ target: `/${policy}/v1/realtime?model=gpt-realtime`, token: tokens.web });
const client = (payload, options) => frame(text, payload, { mask: true, ...options });
const update = (session) => JSON.stringify({ type: 'session.update', event_id: 'mine', session });
const saidTo = (peer) => textMessages(parseFrames(peer.received()).frames).map((message) => JSON.parse(message));

/** Sends what the client says, and gives what the upstream gets, once that is so many messages. */
async function goesUp(policy, pieces, count) {
  const session = await open(request(policy));
  for (const piece of pieces) session.client.write(piece);
  const messages = await until(`${count} messages`, () => {
    const said = saidTo(session.upstream);
    return said.length >= count && said;
  });
  return { ...session, messages };
}

describe('what is locked is dropped', { concurrency: 8 }, () => {
  const said = update({ type: 'realtime', instructions: 'Be rude.', audio: { output: { voice: 'ash', speed: 1.1 } } });
  const want = { type: 'session.update', event_id: 'mine', session: { type: 'realtime', audio: { output: { speed: 1.1 } } } };
  const forms = {
    'in one frame': [client(said)],
    'in fragments': fragments(text, said, [1, 30, 31, 60], { mask: true }),
    'in fragments around a ping': fragments(text, said, [40], { mask: true }).flatMap((one) => [
      one,
      frame(ping, 'x', { mask: true }),
    ]),
    'byte by byte': [...client(said)].map((byte) => Buffer.of(byte)),
  };
  for (const [name, pieces] of Object.entries(forms)) {
    test(name, async () => {
      const after = client('{"type":"response.cancel"}');
      const { messages, client: one } = await goesUp('dropped', [...pieces, after], 2);
      assert.deepEqual(messages, [want, { type: 'response.cancel' }]);
      one.destroy();
    });
  }
  test('tools of another type, one by one', async () => {
    const tools = [{ type: 'mcp' }, { type: 'function', name: 'f' }, { type: 'web_search' }];
    const { messages, client: one } = await goesUp('dropped', [client(update({ tools }))], 1);
    assert.deepEqual(messages[0].session, { tools: [{ type: 'function', name: 'f' }] });
    one.destroy();
  });
  test('up to 256 KiB', async () => {
    const long = (length) => update({ instructions: 'x', padding: 'x'.repeat(length - update({ instructions: 'x', padding: '' }).length) });
    const { messages, client: one } = await goesUp('dropped', [client(long(256 * 1024))], 1);
    assert.deepEqual(Object.keys(messages[0].session), ['padding']);
    one.destroy();
    const session = await open(request('dropped'));
    session.client.write(client(long(256 * 1024 + 1)));
    // The upstream's Close is what tells the client.
    await assertEnded(session.client, 1009, 'message_too_big');
    assert.deepEqual(saidTo(session.upstream), []);
  });
  test('but audio and images of any size', async () => {
    for (const event of [
      { type: 'input_audio_buffer.append', audio: 'A'.repeat(2 << 20) },
      { type: 'conversation.item.create', item: { content: [{ type: 'input_image', image_url: 'x'.repeat(2 << 20) }] } },
    ]) {
      const { messages, client: one } = await goesUp('dropped', [client(JSON.stringify(event))], 1);
      assert.deepEqual(messages, [event]);
      one.destroy();
    }
  });
});

describe('what is locked is refused', () => {
  test('in silence: nothing of it goes up, the client is told, and the session goes on', async () => {
    const { client: one, upstream, record } = await open(request('refused'));
    one.write(client(update({ instructions: 'Be rude.' })));
    await until('the error', () => one.events().length === 1);
    const [{ error, type, event_id }] = one.events();
    assert.match(event_id, /^event_rb_/);
    assert.deepEqual([type, error.type, error.code, error.param, error.event_id], [
      'error', 'invalid_request_error', 'field_locked', 'instructions', 'mine',
    ]);
    one.write(client('{"type":"response.create"}'));
    await until('an answer', () => one.events().length === 2);
    assert.equal(one.events()[1].type, 'response.done');
    assert.ok(!upstream.received().includes('rude') && !JSON.stringify(saidTo(upstream)).includes('rude'));
    one.write(frame(opcodes.close, Buffer.from([3, 232]), { mask: true }));
    await one.frameCame(opcodes.close);
    one.destroy();
    const { code, close } = await record();
    assert.deepEqual([code, close], ['1000', 'client']);
  });
  test('the official SDK hears of it, and goes on', async () => {
    const result = await runProgram('openai_locked.mjs', {
      OPENAI_API_KEY: tokens.web,
      OPENAI_BASE_URL: `https://localhost:${gateway.securePort}/refused/v1`,
    });
    assert.deepEqual(result.events, ['error', 'response.done']);
    const [{ message, ...error }] = result.errors;
    assert.match(message, /`instructions` may not be changed/);
    assert.deepEqual(error, { type: 'invalid_request_error', code: 'field_locked', param: 'instructions', event_id: 'mine' });
  });
});

describe('what is preset', () => {
  test('goes up before all that the client says, and once', async () => {
    const { messages, client: one } = await goesUp('preset', [client('{"type":"a"}'), client('{"type":"b"}')], 3);
    assert.deepEqual(messages.map(({ type }) => type), ['session.update', 'a', 'b']);
    assert.deepEqual(messages[0].session, { instructions: secret, type: 'realtime' });
    one.destroy();
  });
  test('goes up before what was sent ahead of the 101', async () => {
    const { client: one, upstream } = await open(request('preset'), { after: client('{"type":"a"}') });
    await until('both', () => saidTo(upstream).length === 2);
    assert.deepEqual(saidTo(upstream).map(({ type }) => type), ['session.update', 'a']);
    one.destroy();
  });
  test('ends the session if the provider refuses it, and is not quoted', async () => {
    const { messages, client: one, upstream } = await goesUp('preset', [client('{"type":"a"}')], 2);
    const error = { type: 'invalid_request_error', code: 'invalid_value', message: `'${secret}' is too long.` };
    upstream.sendEvent({ type: 'error', event_id: 'event_1', error: { ...error, event_id: messages[0].event_id } });
    await assertEnded(one, 4403, 'preset_refused');
    assert.ok(!one.received().includes('shoes'));
  });
});

describe('what is hidden', { concurrency: 8 }, () => {
  const session = { instructions: secret, tools: [{ name: secret }], voice: 'ash' };
  const shown = { voice: 'ash' };
  const events = {
    'session.created': [sessionCreated(session), sessionCreated(shown)],
    'session.updated': [{ type: 'session.updated', session }, { type: 'session.updated', session: shown }],
    'response.done': [responseDone('r', session), responseDone('r', shown)],
    'an event of tomorrow': [{ event: { response: { a: [{ session }] } }, type: 'x' }, { event: { response: { a: [{ session: shown }] } }, type: 'x' }],
    'a long event': [{ type: 'session.updated', session, a: 'x'.repeat(900_000) }, { type: 'session.updated', session: shown, a: 'x'.repeat(900_000) }],
  };
  for (const [name, [told, want]] of Object.entries(events)) {
    for (const [form, cuts] of [['in one frame', []], ['in fragments', [3, 20, 90]]]) {
      test(`in ${name}, ${form}`, async () => {
        const { client: one, upstream } = await open(request('hidden'));
        for (const piece of fragments(text, JSON.stringify(told), cuts)) upstream.write(piece);
        await until('the event', () => one.events().length === 1);
        assert.deepEqual(one.events(), [want]);
        assert.ok(!one.received().includes('shoes'));
        one.destroy();
      });
    }
  }
  test('in other spellings', async () => {
    const { client: one, upstream } = await open(request('hidden'));
    const told = '{"Session":{"\\u0069nstructions":"S","INSTRUCTIONS":"S","tools":"S","tools":"S","a":1},"type":"x"}';
    upstream.write(frame(text, told));
    await until('the event', () => one.events().length === 1);
    assert.deepEqual(one.events(), [{ Session: { a: 1 }, type: 'x' }]);
    one.destroy();
  });
  test('audio passes to the byte', async () => {
    const { client: one, upstream } = await open(request('hidden'));
    const audio = frame(text, JSON.stringify({ type: 'response.output_audio.delta', delta: 'A'.repeat(2 << 20) }));
    upstream.write(audio);
    await one.bytesCame(audio.length);
    assert.ok(one.received().equals(audio));
    one.destroy();
  });
  for (const [name, told, code, reason] of [
    ['over 1 MiB', JSON.stringify({ a: 'x'.repeat(1 << 20), session }), 1009, 'message_too_big'],
    ['no JSON', `instructions: ${secret}`, 1002, 'protocol_error'],
  ]) {
    test(`an event that is ${name} ends the session`, async () => {
      const { client: one, upstream } = await open(request('hidden'));
      upstream.write(frame(text, told));
      await assertEnded(one, code, reason);
      assert.ok(!one.received().includes('shoes'));
    });
  }
});

test('under any of them no call begins', async () => {
  for (const policy of Object.keys(policies)) {
    const headers = [['authorization', `Bearer ${tokens.web}`], ['content-type', 'application/sdp']];
    const answer = await gateway.send(restRequest({ method: 'POST', target: `/${policy}/v1/realtime/calls`, headers, body: 'v=0' }));
    assert.deepEqual([answer.status, JSON.parse(answer.body).error.code], [403, 'route_not_allowed'], policy);
  }
});

test('a session that closes while a message is held lets nothing of it through', async () => {
  const { client: one, upstream } = await open(request('dropped'));
  const [first] = fragments(text, update({ voice: 'ash' }), [20], { mask: true });
  one.write(Buffer.concat([first, frame(opcodes.close, Buffer.from([3, 232]), { mask: true })]));
  const close = await upstream.frameCame(opcodes.close);
  assert.deepEqual(closeOf(close), { code: 1000, reason: '' });
  assert.equal(parseFrames(upstream.received()).frames.length, 1);
});
