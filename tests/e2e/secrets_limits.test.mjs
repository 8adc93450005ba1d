// What a client secret's sessions may use together, over two workers: tokens, dollars, their number, and what they may
// say.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { assertDenial, delayMs, restRequest, route, until, upgradeRequest } from './harness/index.mjs';
import { mint, mintConfiguration, mintEnv } from './harness/minting.mjs';
import { prices, responseDone, useSessions } from './harness/sessions.mjs';
import { closeOf, opcodes } from './harness/websocket.mjs';
import { connectionOn } from './harness/workers.mjs';

const workers = 2;
const { gateway, open } = useSessions({
  concurrency: workers,
  env: mintEnv,
  changes: mintConfiguration({
    prices,
    secrets: { mode: 'local' },
    policies: { default: { provider: 'openai' }, locked: { provider: 'openai', lock: ['tools'] } },
  }),
  routes: [route({ name: 'locked', prefix: '/locked/', rewrite: '/' }), route({})],
});

const secretWith = async (said, { prefix = '', ...json } = {}) =>
  (await mint(gateway, 'current', { prefix, json: { ...json, gateway: said } })).value;
const opened = (secret, { prefix = '', ...sending } = {}) =>
  open({ token: secret, target: `${prefix}/v1/realtime` }, sending);
const handshake = (secret) => upgradeRequest({ target: '/v1/realtime', headers: [['authorization', `Bearer ${secret}`]] });

/** The client gets this Close frame while the upstream goes on talking. */
async function assertClosed({ client, upstream: peer }, code, reason) {
  const talking = setInterval(() => peer.send(opcodes.ping, ''), 50);
  const frame = await client.frameCame(opcodes.close).finally(() => clearInterval(talking));
  assert.deepEqual(closeOf(frame), { code, reason });
  return client.events().at(-1).error;
}

async function assertSpent(secret, code, param) {
  for (let worker = 0; worker < workers; worker += 1) {
    const answer = await gateway.send(handshake(secret), { socket: await connectionOn(gateway, worker) });
    assertDenial(answer, code);
    assert.equal(answer.json().error.param, param);
    assert.match(answer.header('retry-after'), /^[1-9]\d*$/);
  }
}

describe('what all sessions of a secret use', () => {
  // Each response is of 1,500 tokens, and costs 46,920 micro-dollars.
  const limits = {
    'secret.max_tokens': { max_tokens: 1500 * 5 },
    'secret.max_cost_usd': { max_cost_usd: 0.04692 * 5 },
  };
  for (const [param, said] of Object.entries(limits)) {
    test(`is counted together, one after the other, on whichever worker: ${param}`, async () => {
      const secret = await secretWith(said);
      for (let round = 0; round < 5; round += 1) {
        const session = await opened(secret, { socket: await connectionOn(gateway, round % workers) });
        session.upstream.sendEvent(responseDone());
        if (round === 4) {
          const { code } = await assertClosed(session, 4429, 'budget_exceeded');
          assert.equal(code, 'budget_exceeded');
        } else {
          await until('the response', () => session.client.events().length === 1);
        }
        session.answer.socket.destroy();
      }
      await assertSpent(secret, 'budget_exceeded', param);
    });
  }
  test('ends a session of the other worker within two seconds', async () => {
    const secret = await secretWith({ max_tokens: 1500 });
    const sessions = [];
    for (let worker = 0; worker < workers; worker += 1) {
      sessions.push(await opened(secret, { socket: await connectionOn(gateway, worker) }));
    }
    const [spender, other] = sessions;
    spender.upstream.sendEvent(responseDone());
    const spent = Date.now();
    await Promise.all([
      assertClosed(spender, 4429, 'budget_exceeded'),
      assertClosed(other, 4429, 'budget_exceeded'),
    ]);
    assert.ok(Date.now() - spent < 2_500 + delayMs, `it took ${Date.now() - spent} ms`);
  });
  test('is another matter for another secret', async () => {
    const [one, other] = [await secretWith({ max_tokens: 1500 }), await secretWith({ max_tokens: 1500 })];
    const session = await opened(one);
    session.upstream.sendEvent(responseDone());
    await assertClosed(session, 4429, 'budget_exceeded');
    const { client } = await opened(other);
    client.sendEvent({ type: 'response.create' });
  });
});

describe('max_sessions', () => {
  test('1 lets one in, of many who come at once', async () => {
    for (let round = 0; round < 5; round += 1) {
      const secret = await secretWith({ max_sessions: 1 });
      const answers = await Promise.all(Array.from({ length: 8 }, () => gateway.send(handshake(secret))));
      const statuses = answers.map(({ status }) => status).sort();
      assert.deepEqual(statuses, [101, ...Array(7).fill(429)]);
      answers.forEach(({ socket }) => socket?.destroy());
    }
  });
  test('counts on every worker, calls too, and after they have ended', async () => {
    const secret = await secretWith({ max_sessions: 2 });
    const offer = restRequest({
      method: 'POST',
      target: '/v1/realtime/calls',
      body: 'v=0\r\n',
      headers: [['authorization', `Bearer ${secret}`], ['content-type', 'application/sdp']],
    });
    // This upstream knows no calls; that it was asked for one is what counts.
    assert.equal((await gateway.send(offer, { socket: await connectionOn(gateway, 0) })).status, 404);
    const session = await opened(secret, { socket: await connectionOn(gateway, 1) });
    session.answer.socket.destroy();
    await assertSpent(secret, 'session_limit_exceeded', 'secret.max_sessions');
    assertDenial(await gateway.send(offer), 'session_limit_exceeded');
  });
});

describe('what a secret locks', () => {
  const update = (session) => ({ type: 'session.update', session: { type: 'realtime', ...session } });

  test('cannot be changed, nor what its policy locks', async () => {
    const said = { lock: ['instructions', 'audio.output.voice'] };
    const secret = await secretWith(said, { prefix: '/locked' });
    for (const session of [
      { instructions: 'x' },
      { audio: { output: { voice: 'marin' } } },
      { tools: [] },
    ]) {
      const one = await opened(secret, { prefix: '/locked' });
      one.client.sendEvent(update(session));
      const { code, message } = await assertClosed(one, 4403, 'field_locked');
      assert.equal(code, 'field_locked');
      assert.ok(message.includes('may not be changed'));
      assert.deepEqual(one.upstream.events(), []);
    }
    const { client, upstream: peer } = await opened(secret, { prefix: '/locked' });
    client.sendEvent(update({ audio: { output: { speed: 1.5 } } }));
    await until('what is not locked', () => peer.events().length === 1);
  });
  test('keeps it from calls, in which nobody sees what is said', async () => {
    const secret = await secretWith({ lock: ['instructions'] });
    const headers = [['authorization', `Bearer ${secret}`], ['content-type', 'application/sdp']];
    const answer = await gateway.send(
      restRequest({ method: 'POST', target: '/v1/realtime/calls', body: 'v=0\r\n', headers }),
    );
    assertDenial(answer, 'route_not_allowed');
  });
});

describe('the models of a secret that was minted locally', () => {
  const transcribing = (model) => ({ audio: { input: { transcription: { model } } } });
  const update = (session) => ({ type: 'session.update', session: { type: 'realtime', ...session } });

  test('bind what its sessions say', async () => {
    const session = { type: 'realtime', model: 'gpt-realtime', ...transcribing('gpt-4o-transcribe') };
    const secret = await secretWith({}, { session });
    for (const event of [
      update({ model: 'gpt-realtime-mini' }),
      update(transcribing('whisper-1')),
      { type: 'response.create', response: { model: 'gpt-5' } },
    ]) {
      const one = await opened(secret);
      one.client.sendEvent(event);
      await assertClosed(one, 4403, 'model_not_allowed');
      assert.deepEqual(one.upstream.events(), []);
    }
    const { client, upstream: peer } = await opened(secret);
    client.sendEvent(update({ model: 'gpt-realtime', ...transcribing('gpt-4o-transcribe') }));
    await until('the models that it was minted for', () => peer.events().length === 1);
  });
  test('bind the query and the form of a call', async () => {
    const secret = await secretWith({});
    const call = (target, type, body) =>
      restRequest({
        method: 'POST',
        target,
        body,
        headers: [['authorization', `Bearer ${secret}`], ['content-type', type]],
      });
    const form = '--b\r\ncontent-disposition: form-data; name="session"\r\n\r\n{"model":"gpt-5"}\r\n--b--\r\n';
    for (const request of [
      call('/v1/realtime/calls?model=gpt-5', 'application/sdp', 'v=0\r\n'),
      call('/v1/realtime/calls', 'multipart/form-data; boundary=b', form),
    ]) {
      assertDenial(await gateway.send(request), 'model_not_allowed');
    }
  });
});
