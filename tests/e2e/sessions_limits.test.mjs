// What ends a session, and what its client is told: the error event, then the Close frame, at a message boundary.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertDenial, delayMs, route, tokens, until, upgradeRequest } from './harness/index.mjs';
import { mintConfiguration, mintEnv, sealingKey } from './harness/minting.mjs';
import { seal } from './harness/sealing.mjs';
import {
  assertEnded, assertErrorEvent, prices, responseDone, sessionCreated, useSessions,
} from './harness/sessions.mjs';
import { fragments, frame, opcodes, textMessages } from './harness/websocket.mjs';

const { text, close, ping } = opcodes;

/** Session limits by policy; each is reached by one `responseDone`, or by one second. */
const limits = {
  tokens: { max_tokens: 1500 },
  'one-token-more': { max_tokens: 1501 },
  cost: { max_cost_usd: 0.04692 },
  'one-micro-dollar-more': { max_cost_usd: 0.046921 },
  duration: { max_duration: '1s' },
  idle: { idle_timeout: '1s' },
  wide: { max_tokens: 100_000, max_cost_usd: 100, max_duration: '1h', idle_timeout: '1h' },
};

const { gateway, open } = useSessions({
  env: mintEnv,
  changes: mintConfiguration({
    prices,
    policies: Object.fromEntries(
      Object.entries(limits).map(([name, session]) => [name, { provider: 'openai', session }]),
    ),
  }),
  routes: Object.keys(limits).map((name) => route({ name, prefix: `/${name}/`, rewrite: '/' })),
});

const target = (policy) => `/${policy}/v1/realtime?model=gpt-realtime`;
const delta = (length = 100) => ({ type: 'response.output_audio.delta', delta: 'A'.repeat(length) });

/** Until the client has its Close frame, the upstream says something every 100 ms. */
async function chatter({ client, upstream }) {
  await until('a Close frame', () => {
    if (!client.frames().some(({ opcode }) => opcode === close)) upstream.sendEvent(delta());
    return client.frames().some(({ opcode }) => opcode === close) || client.hasEnded();
  }, { intervalMs: 100 });
}

async function recordOf(session) {
  const { code, limit, close, reason, ...others } = await session.record();
  assert.equal(close, 'gateway');
  return { ending: [code, reason], limit, ...others };
}

describe('the budget', { concurrency: 16 }, () => {
  for (const policy of ['tokens', 'cost']) {
    test(`of ${policy} is used up by a response, and its client is told behind it`, async () => {
      const session = await open({ target: target(policy) });
      const { client, upstream } = session;
      upstream.sendEvent(sessionCreated());
      upstream.sendEvent(responseDone());
      await assertEnded(client, 4429, 'budget_exceeded');
      const events = client.events();
      assert.deepEqual(events.map(({ type }) => type), ['session.created', 'response.done', 'error']);
      await client.ended();
      const { ending, tokens: counted, cost } = await recordOf(session);
      assert.deepEqual([ending, counted, cost], [['4429', 'budget_exceeded'], '1500', '0.046920']);
    });
  }
  for (const policy of ['one-token-more', 'one-micro-dollar-more']) {
    test(`with ${policy.replaceAll('-', ' ')} the session goes on`, async () => {
      const { client, upstream } = await open({ target: target(policy) });
      for (const id of ['resp_1', 'resp_1']) upstream.sendEvent(responseDone(id));
      client.sendEvent({ type: 'response.create' });
      await until('the client to be heard', () => upstream.events().length === 1);
      upstream.sendEvent(responseDone('resp_2'));
      await assertEnded(client, 4429, 'budget_exceeded');
    });
  }
  test('what follows in the same read is dropped, to the byte', async () => {
    const { client, upstream } = await open({ target: target('tokens') });
    const before = Buffer.concat([delta(9_000), responseDone()].map((event) => frame(text, JSON.stringify(event))));
    const after = Buffer.concat(Array.from({ length: 50 }, () => frame(text, JSON.stringify(delta(5_000)))));
    upstream.write(Buffer.concat([before, after]));
    await assertEnded(client, 4429, 'budget_exceeded');
    assert.ok(client.received().subarray(0, before.length).equals(before));
    assert.equal(client.frames().length, 4);
  });
  test('what the client says afterwards goes nowhere', async () => {
    const { client, upstream } = await open({ target: target('tokens') });
    upstream.sendEvent(responseDone());
    await assertEnded(client, 4429, 'budget_exceeded');
    client.sendEvent({ type: 'response.create' });
    await upstream.ended();
    assert.deepEqual(upstream.events(), []);
  });
  test('a client that does not close is cut within the grace', async () => {
    const { client, upstream } = await open({ target: target('tokens') });
    upstream.sendEvent(responseDone());
    await assertEnded(client, 4429, 'budget_exceeded');
    const told = Date.now();
    const chatting = setInterval(() => upstream.sendEvent(delta()), 50);
    await client.ended();
    clearInterval(chatting);
    const waited = Date.now() - told;
    assert.ok(waited > 900 && waited < 4_500 + delayMs, `cut after ${waited} ms`);
    assert.equal(client.frames().at(-1).opcode, close, 'nothing came after the Close');
  });
});

describe('the duration', { concurrency: 16 }, () => {
  test('is over while the upstream speaks', async () => {
    const session = await open({ target: target('duration') });
    await chatter(session);
    await assertEnded(session.client, 4408, 'max_duration_exceeded');
    await session.client.ended();
    const { ending, duration } = await recordOf(session);
    assert.deepEqual(ending, ['4408', 'max_duration_exceeded']);
    assert.ok(Number(duration) >= 1_000 && Number(duration) < 8_000, duration);
  });
  test('is over within a message: that one is finished first', async () => {
    const { client, upstream } = await open({ target: target('duration') });
    const message = JSON.stringify(delta(5_000));
    const [first, second, last] = fragments(text, message, [1_000, 4_000]);
    upstream.write(first);
    await sleep(2_100);
    upstream.write(Buffer.concat([frame(ping, 'between'), second.subarray(0, 7)]));
    await sleep(50);
    assert.ok(!client.frames().some(({ opcode }) => opcode === close), 'no Close within a message');
    upstream.write(Buffer.concat([second.subarray(7), last, frame(text, JSON.stringify(delta()))]));
    await assertEnded(client, 4408, 'max_duration_exceeded');
    const [told, ...others] = textMessages(client.frames());
    assert.ok(told === message, 'the message came whole');
    assert.equal(others.length, 1);
  });
  test('is over while nobody speaks: the session is cut', async () => {
    const session = await open({ target: target('duration') });
    const begun = Date.now();
    // The limit, the grace, less than a second until either is noticed, and a busy machine's delay.
    await session.client.ended();
    assert.ok(Date.now() - begun > 2_000, `cut after ${Date.now() - begun} ms`);
    assert.equal(session.client.received().length, 0);
    assert.deepEqual((await recordOf(session)).ending, ['4408', 'max_duration_exceeded']);
    await session.upstream.ended();
  });
});

describe('a limit in dollars', { concurrency: 16 }, () => {
  test('lets no session begin whose model has no price', async () => {
    const answer = await gateway.send(upgradeRequest({
      target: '/cost/v1/realtime?model=o3', headers: [['authorization', `Bearer ${tokens.web}`]],
    }));
    assertDenial(answer, 'model_not_allowed');
  });
  const transcription = (model) => ({ audio: { input: { transcription: { model } } } });
  const told = {
    'its upstream reports one': ({ upstream }) => upstream.sendEvent(sessionCreated({ model: 'o3' })),
    'its upstream reports one for transcriptions': ({ upstream }) =>
      upstream.sendEvent(sessionCreated(transcription('scribe'))),
    'its client names one for transcriptions': ({ client }) =>
      client.sendEvent({ type: 'session.update', session: transcription('scribe') }),
  };
  for (const [name, say] of Object.entries(told)) {
    test(`ends a session in which ${name}`, async () => {
      const session = await open({ target: target('cost') });
      say(session);
      await chatter(session);
      await assertEnded(session.client, 4403, 'model_not_allowed');
    });
  }
  test('is nothing to a session without one', async () => {
    const { client, upstream } = await open({ target: target('tokens') });
    upstream.sendEvent(sessionCreated(transcription('scribe')));
    await client.frameCame(text);
    assert.equal(client.events().length, 1);
    client.destroy();
  });
});

test('a session whose numbers do not add up is counted, and ends with its budget', async () => {
  const { client, upstream } = await open({ target: target('one-token-more') });
  const of = (usage) => ({ usage });
  upstream.sendEvent(responseDone('resp_1', of({ input_tokens: 132, output_tokens: 121, total_tokens: 252 })));
  upstream.sendEvent(responseDone('resp_2', of({ input_tokens: 1000, output_tokens: 247, total_tokens: 1247 })));
  await client.frameCame(text);
  assert.equal(client.events().length, 2, '1,500 tokens are counted, one is left');
  upstream.sendEvent(responseDone('resp_3', of({ input_tokens: 1, output_tokens: 0, total_tokens: 9 })));
  await assertEnded(client, 4429, 'budget_exceeded');
});

describe('an idle session', { concurrency: 16 }, () => {
  for (const speaker of ['client', 'upstream']) {
    test(`is one in which not even the ${speaker} says anything, and is cut, pings or not`, async () => {
      const session = await open({ target: target('idle') });
      for (let count = 0; count < 10; count += 1) {
        session[speaker].send(text, '{}');
        await sleep(300);
      }
      assert.ok(!session.client.hasEnded(), 'it goes on while something is said');
      const pings = setInterval(() => session[speaker].send(ping, ''), 200);
      await session.client.ended().finally(() => clearInterval(pings));
      assert.ok(!session.client.frames().some(({ opcode }) => opcode === close), 'nothing can be written');
      assert.deepEqual((await recordOf(session)).ending, ['4408', 'idle_timeout']);
    });
  }
});

describe("a client secret's limits", { concurrency: 16 }, () => {
  const now = Math.floor(Date.now() / 1000);
  const secret = (policy, claims) =>
    seal(
      {
        caller: 'web-app', provider: 'openai', policy, issued_at: now, expires_at: now + 600, model: 'gpt-realtime',
        user: 'u_123', upstream: 'ek_upstream', ...claims,
      },
      sealingKey,
    );
  const tight = {
    max_tokens: [{ max_tokens: 1500 }, 4429, 'budget_exceeded'],
    max_cost_usd: [{ max_cost_micro_usd: 46_920 }, 4429, 'budget_exceeded'],
    max_duration: [{ max_duration_ms: 1_000 }, 4408, 'max_duration_exceeded'],
  };
  for (const [name, [claims, code, reason]] of Object.entries(tight)) {
    test(`${name} is tighter than the policy's`, async () => {
      const session = await open({ target: target('wide'), token: secret('wide', claims) });
      session.upstream.sendEvent(responseDone());
      await chatter(session);
      await assertEnded(session.client, code, reason);
      await session.client.ended();
      const { ending, user, caller, policy } = await recordOf(session);
      assert.deepEqual([ending, user, caller, policy], [[String(code), reason], 'u_123', 'web-app', 'wide']);
    });
  }
  test("cannot loosen the policy's", async () => {
    const loose = { max_tokens: 1e9, max_cost_micro_usd: 1e12, max_duration_ms: 1e9 };
    const { client, upstream } = await open({ target: target('tokens'), token: secret('tokens', loose) });
    upstream.sendEvent(responseDone());
    await assertEnded(client, 4429, 'budget_exceeded');
  });
  test('do not touch another session of the same caller', async () => {
    const [limited, free] = await Promise.all([
      open({ target: target('wide'), token: secret('wide', { max_tokens: 1 }) }),
      open({ target: target('wide'), token: tokens.web }),
    ]);
    for (const { upstream } of [limited, free]) upstream.sendEvent(responseDone());
    await assertEnded(limited.client, 4429, 'budget_exceeded');
    free.client.sendEvent({ type: 'response.create' });
    await until('the other to be heard', () => free.upstream.events().length === 1);
    assert.equal(free.client.events().length, 1);
    free.client.destroy();
  });
});

test('every error event has an id of its own, and the shape of the contract', async () => {
  const told = await Promise.all([0, 1].map(async () => {
    const { client, upstream } = await open({ target: target('tokens') });
    upstream.sendEvent(responseDone());
    await assertEnded(client, 4429, 'budget_exceeded');
    return textMessages(client.frames()).at(-1);
  }));
  for (const one of told) assertErrorEvent(one, 'budget_exceeded');
  assert.notEqual(JSON.parse(told[0]).event_id, JSON.parse(told[1]).event_id);
});
