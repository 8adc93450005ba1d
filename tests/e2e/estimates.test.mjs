// What nobody told is charged all the same, and many that answer at once do not overrun a day by one response each.
import assert from 'node:assert/strict';
import test, { before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sha256, until } from './harness/index.mjs';
import { assertEnded, prices, responseDone, sessionCreated, useSessions } from './harness/sessions.mjs';
import { opcodes, textMessages } from './harness/websocket.mjs';
import { connectionOn } from './harness/workers.mjs';

const workers = 2;

/** What each caller may use up. */
const limits = {
  audio: { cost_usd_per_day: 0.06 },
  'audio-asked-for': { cost_usd_per_day: 0.06 },
  text: { cost_usd_per_day: 0.06 },
  cut: { tokens_per_day: 1_000_000 },
  spent: { tokens_per_day: 250 },
  free: {},
};
const tokenOf = (caller) => `gt-of-${caller}-7Kq2`;

const { gateway, open } = useSessions({
  concurrency: workers,
  changes: {
    prices,
    callers: Object.fromEntries(
      Object.entries(limits).map(([name, given]) => [name, { tokens: [{ sha256: sha256(tokenOf(name)) }], limits: given }]),
    ),
  },
});

// A day that ends between spending and asking would be another day.
before(async () => {
  const left = 86_400_000 - (Date.now() % 86_400_000);
  if (left < 60_000) await sleep(left + 1_000);
});

const created = { type: 'response.created', event_id: 'event_created', response: { id: 'resp_1', status: 'in_progress' } };
const ids = { event_id: `event_${'e'.repeat(21)}`, response_id: `resp_${'r'.repeat(21)}`, item_id: `item_${'i'.repeat(21)}` };

/** So many milliseconds of audio, as OpenAI says it; a second costs 20 tokens, and $0.00128. */
const audio = (milliseconds) => ({
  type: 'response.output_audio.delta', ...ids, output_index: 0, content_index: 0,
  delta: Buffer.alloc(milliseconds * 48).toString('base64'),
});
const rateLimits = { type: 'rate_limits.updated', event_id: 'event_limits', rate_limits: [] };
const append = { type: 'input_audio_buffer.append', audio: Buffer.alloc(480).toString('base64') };

/** What a response has used that has said so many tokens of audio. */
const usageOf = (audioTokens, textTokens = 0) => ({
  total_tokens: textTokens + audioTokens, input_tokens: textTokens, output_tokens: audioTokens,
  input_token_details: { text_tokens: textTokens, audio_tokens: 0 },
  output_token_details: { text_tokens: 0, audio_tokens: audioTokens },
});

async function tenSessions(caller) {
  const sessions = [];
  for (let index = 0; index < 10; index += 1) {
    const socket = await connectionOn(gateway, index % workers);
    const session = await open({ token: tokenOf(caller) }, { socket });
    session.upstream.sendEvent(sessionCreated());
    await session.client.frameCame(opcodes.text);
    sessions.push({ ...session, tokens: 0, isCancelled: () => session.upstream.events().some(({ type }) => type === 'response.cancel') });
  }
  return sessions;
}

/** All sessions end; what they cost together, and how each ended. */
async function outcome(sessions) {
  for (const { client, upstream } of sessions) {
    client.destroy();
    upstream.destroy();
  }
  const records = await Promise.all(sessions.map(({ record }) => record()));
  const ended = records.filter(({ code }) => code === '4429');
  for (const { limit, reason } of ended) assert.deepEqual([limit, reason], ['caller.cost_usd_per_day', 'budget_exceeded']);
  return { spent: records.reduce((sum, { cost }) => sum + Number(cost), 0), ended: ended.length };
}

describe('ten sessions that answer at once with $0.05 each, under a day of $0.06', () => {
  for (const caller of ['audio', 'audio-asked-for']) {
    test(`of ${caller}: those that are too many are cancelled as they speak`, async () => {
      const sessions = await tenSessions(caller);
      for (const { client, upstream } of sessions) {
        if (caller === 'audio-asked-for') client.sendEvent({ type: 'response.create' });
        upstream.sendEvent(created);
      }
      // 781 tokens of audio cost $0.05.
      while (sessions.some((session) => session.tokens < 780 && !session.isOver)) {
        for (const session of sessions.filter(({ isOver }) => !isOver)) {
          session.client.sendEvent(append);
          if (session.isCancelled() || session.tokens >= 780) {
            const response = { status: session.isCancelled() ? 'cancelled' : 'completed', usage: usageOf(session.tokens) };
            session.upstream.sendEvent(responseDone('resp_1', response));
            session.isOver = true;
          } else {
            session.upstream.sendEvent(audio(200));
            session.tokens += 4;
          }
        }
        await sleep(5);
      }
      await sleep(200);
      const { spent, ended } = await outcome(sessions);
      assert.ok(ended >= 8, `${ended} were ended`);
      assert.ok(spent > 0.05 && spent <= 0.06 + 0.05 + 0.01, `$${spent}`);
    });
  }

  test('of text: whoever begins when others have reserved the day is cancelled at its first event', async () => {
    const sessions = await tenSessions('text');
    // 10,000 tokens to be read cost $0.04; the answer costs the rest.
    const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'word'.repeat(10_000) }] };
    for (const { client } of sessions) client.sendEvent({ type: 'conversation.item.create', item });
    await Promise.all(sessions.map(({ upstream }) => upstream.frameCame(opcodes.text)));
    const [first, ...others] = sessions;
    first.upstream.sendEvent(created);
    await until('that it begins', () => first.client.events().length === 2);
    for (const { upstream } of others) upstream.sendEvent(created);
    await Promise.all(others.map(({ client }) => assertEnded(client, 4429, 'budget_exceeded', 'caller.cost_usd_per_day')));
    for (const { client, upstream } of others) {
      client.sendEvent(append);
      await upstream.frameCame(opcodes.close);
      assert.deepEqual(textMessages(upstream.frames()).slice(1), ['{"type":"response.cancel"}']);
    }
    // Only some upstreams tell what a cancelled response has read.
    others.slice(0, 4).forEach(({ upstream }) =>
      upstream.sendEvent(responseDone('resp_1', { status: 'cancelled', usage: usageOf(0, 1_000) })));
    first.upstream.sendEvent(responseDone('resp_1', { usage: usageOf(156, 10_000) }));
    // What the sessions of another worker have cost is known within a second, and told at the next event.
    await until('the end of the first', () => {
      first.upstream.sendEvent(rateLimits);
      return first.client.events().some(({ type }) => type === 'error');
    });
    assert.ok(first.client.events().some(({ type }) => type === 'response.done'));
    await assertEnded(first.client, 4429, 'budget_exceeded', 'caller.cost_usd_per_day');
    const { spent, ended } = await outcome(sessions);
    assert.equal(ended, 10, 'the first when it has answered');
    const told = 0.05 + 4 * 0.004;
    assert.ok(spent >= told + 5 * 0.04 && spent < told + 5 * 0.041, `$${spent}`);
  });
});

describe('a client that goes before its response was told', () => {
  for (const [caller, tokens] of [['cut', 1000 + 300 + 200], ['free', 0]]) {
    test(`pays for what it has heard${tokens === 0 ? ' only where a budget watches' : ''}`, async () => {
      const { client, upstream, record } = await open({ token: tokenOf(caller) });
      upstream.sendEvent(sessionCreated());
      upstream.sendEvent(responseDone('resp_0', { usage: { ...usageOf(300, 1000) } }));
      upstream.sendEvent(created);
      for (let second = 0; second < 10; second += 1) upstream.sendEvent(audio(1000));
      await until('the audio', () => client.events().length === 13);
      client.destroy();
      const { tokens: counted } = await record();
      const estimated = Number(counted) - 1300;
      assert.ok(Math.abs(estimated - (tokens === 0 ? 0 : 1200)) <= 12, `${estimated}`);
    });
  }

  test('uses up its day by that', async () => {
    const first = await open({ token: tokenOf('spent') });
    first.upstream.sendEvent(created);
    for (let second = 0; second < 13; second += 1) first.upstream.sendEvent(audio(1000));
    await until('the audio', () => first.client.events().length === 14);
    first.client.destroy();
    await first.record();
    await assert.rejects(open({ token: tokenOf('spent') }), /answered 429/);
  });
});
