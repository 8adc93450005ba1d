// A client need not wait for the 101: what it sends before counts, and is checked, as what it sends after.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { until } from './harness/index.mjs';
import { assertBroken, assertEnded, responseDone, useSessions } from './harness/sessions.mjs';
import { closeOf, fragments, frame, opcodes, textMessages } from './harness/websocket.mjs';

const { text, close, ping } = opcodes;
const { open } = useSessions({
  changes: { policies: { default: { provider: 'openai', lock: ['tools'], session: { max_duration: '3s' } } } },
});

const late = { headers: [['x-delay', '300']] };
const client = (event) => frame(text, JSON.stringify(event), { mask: true });
const locked = { type: 'session.update', session: { tools: [] } };
const heard = ({ client: one, upstream }) =>
  until('a Close frame', () => {
    if (!one.hasEnded()) upstream.send(ping, '');
    return one.frames().some(({ opcode }) => opcode === close) || one.hasEnded();
  });

describe('frames before the 101', { concurrency: 8 }, () => {
  test('arrive as they are', async () => {
    const audio = JSON.stringify({ type: 'input_audio_buffer.append', audio: 'A'.repeat(20_000) });
    const cut = fragments(text, audio, [9, 5_000], { mask: true });
    const after = Buffer.concat([client({ type: 'response.create' }), ...cut]);
    const session = await open(late, { after });
    await session.upstream.bytesCame(after.length);
    assert.ok(session.upstream.received().equals(after));
    session.upstream.sendEvent(responseDone());
    await until('the answer', () => session.client.events().length === 1);
    session.client.destroy();
    assert.equal((await session.record()).tokens, '1500');
  });
  test('are followed on from where they stop', async () => {
    const bytes = client(locked);
    const session = await open(late, { after: bytes.subarray(0, 9) });
    session.client.write(bytes.subarray(9));
    await heard(session);
    await assertEnded(session.client, 4403, 'field_locked');
    assert.deepEqual(session.upstream.events(), []);
  });
  test('may not change what is locked', async () => {
    const session = await open(late, { after: client(locked) });
    await heard(session);
    await assertEnded(session.client, 4403, 'field_locked');
    await session.upstream.ended();
    assert.deepEqual(textMessages(session.upstream.frames()), []);
  });
  test('may be a violation', async () => {
    const session = await open(late, { after: frame(text, '{}') });
    await heard(session);
    await assertBroken(session.client);
    const [told, ...others] = session.upstream.frames();
    assert.deepEqual([told.opcode, closeOf(told).code, others], [close, 1002, []]);
  });
});

test('the duration counts from the 101 on', async () => {
  const { record, client: one, upstream } = await open({ headers: [['x-delay', '2500']] });
  const opened = Date.now();
  await until('a Close frame', () => {
    upstream.send(ping, '');
    return one.frames().some(({ opcode }) => opcode === close);
  });
  assert.ok(Date.now() - opened > 2_500, 'three seconds, less what a tick rounds');
  await assertEnded(one, 4408, 'max_duration_exceeded');
  one.destroy();
  assert.equal((await record()).code, '4408');
});
