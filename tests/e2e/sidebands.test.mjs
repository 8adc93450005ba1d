// Sidebands and watchers of calls: one session with the call, whichever workers run them.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { assertDenial, delayMs, restRequest, route, sha256, until, upgradeRequest } from './harness/index.mjs';
import { control, operator } from './harness/control.mjs';
import { assertEnded, openSession, responseDone, sessionCreated, useSessions } from './harness/sessions.mjs';
import { closeOf, closePayload, opcodes, parseFrames } from './harness/websocket.mjs';
import { connectionOn } from './harness/workers.mjs';

const target = '/v1/realtime/calls';
const workers = 2;
const callers = { calling: {}, one: { concurrent_sessions: 1 }, counted: {}, budgeted: { tokens_per_day: 1_000_000 } };
const tokenOf = (caller) => `gt-of-${caller}-5Hn2`;
const hungUp = [];
let begun = 0;

const { gateway, upstream } = useSessions({
  answer(incoming, response) {
    incoming.resume();
    const hangup = /\/calls\/(\w+)\/hangup$/.exec(incoming.url);
    if (hangup !== null) {
      hungUp.push(hangup[1]);
      return response.writeHead(200).end();
    }
    begun += 1;
    return response.writeHead(201, { location: `${target}/rtc_${begun}` }).end('v=0');
  },
  concurrency: workers,
  changes: {
    control,
    callers: Object.fromEntries(
      Object.entries(callers).map(([name, limits]) => [name, { tokens: [{ sha256: sha256(tokenOf(name)) }], limits }]),
    ),
    policies: {
      default: { provider: 'openai' },
      two: { provider: 'openai', calls: { sidebands: 2 } },
      small: { provider: 'openai', session: { max_tokens: 300 }, calls: { sidebands: 2 } },
    },
  },
  routes: [
    route({ name: 'two', prefix: '/two/', rewrite: '/' }),
    route({ name: 'small', prefix: '/small/', rewrite: '/' }),
    route({}),
  ],
});
const { session, sessions, stop, usage, closed } = operator(gateway);

const used = { total_tokens: 253, input_tokens: 132, output_tokens: 121 };
const done = (id) => responseDone(id, { usage: used });
const watch = [['sec-websocket-protocol', 'realtime-byok-watch']];

/** Begins a call on a worker: its id, and its record. */
async function call(caller, { worker = 0, prefix = '' } = {}) {
  const headers = [['authorization', `Bearer ${tokenOf(caller)}`], ['content-type', 'application/sdp']];
  const request = restRequest({ method: 'POST', target: `${prefix}${target}?model=gpt-realtime`, body: 'v=0', headers });
  const answer = await gateway.send(request, { socket: await connectionOn(gateway, worker) });
  assert.equal(answer.status, 201, `answered ${answer.status}: ${answer.body}`);
  const id = answer.header('location').split('/').at(-1);
  const record = await until('the call to be listed', async () =>
    (await sessions('?status=open')).find(({ upstream_id: upstreamId }) => upstreamId === id));
  return { id, caller, record };
}

const joining = ({ id, caller }, headers = []) => ({
  target: `/v1/realtime?call_id=${id}`, token: tokenOf(caller), headers,
});

const join = async (joined, worker, headers) =>
  openSession({ gateway, upstream }, joining(joined, headers), { socket: await connectionOn(gateway, worker) });

async function refused(joined, worker) {
  const { token, ...request } = joining(joined);
  const headers = [['authorization', `Bearer ${token}`]];
  const answer = await gateway.send(upgradeRequest({ ...request, headers }), {
    socket: await connectionOn(gateway, worker),
  });
  assertDenial(answer, 'session_limit_exceeded');
  return answer.json().error;
}

const dayOf = async (caller) => (await usage()).find((day) => day.caller === caller)?.usage.total_tokens ?? 0;

describe('sidebands of a call', () => {
  test('tell the same response once, on one worker and on two', async () => {
    let expected = 0;
    for (const at of [[0, 0], [0, 1], [1, 1]]) {
      const joined = await call('counted', { prefix: '/two' });
      const sidebands = [await join(joined, at[0]), await join(joined, at[1])];
      for (const { upstream: peer, client } of sidebands) {
        peer.sendEvent(sessionCreated({ model: 'gpt-realtime-2025-08-28' }));
        peer.sendEvent(done(`resp_${joined.id}`));
        await until('the response to pass', () => client.events().length === 2);
      }
      expected += 253;
      await until('the record to tell it', async () => (await session(joined.record.id))[1].usage.total_tokens === 253);
      const [, record] = await session(joined.record.id);
      assert.deepEqual(
        [record.kind, record.usage.responses, record.model, record.status],
        ['webrtc', 1, 'gpt-realtime-2025-08-28', 'open'],
      );
      assert.ok(record.cost_usd > 0);
      assert.equal(await dayOf('counted'), expected);
      assert.equal((await sessions('?caller=counted&status=open')).length, 1, 'a sideband is no session of its own');
      const logs = [];
      for (const sideband of sidebands) {
        sideband.client.destroy();
        logs.push(await sideband.record());
      }
      assert.deepEqual(logs.map(({ id }) => id), [record.id, record.id]);
      assert.deepEqual(logs.map(({ tokens }) => tokens).toSorted(), ['0', '253']);
      await stop(record.id);
      assert.equal((await closed(record.id)).usage.total_tokens, 253);
    }
    const metrics = await (await gateway.envoy.admin('/stats?filter=tokens_total')).text();
    const counted = [...metrics.matchAll(/^(?=.*counted).*tokens_total.*: (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    assert.equal(counted, expected);
  });

  test('are as many as the policy says, over all workers', async () => {
    const joined = await call('one');
    const first = await join(joined, 1);
    for (const worker of [0, 1]) {
      const { param } = await refused(joined, worker);
      assert.equal(param, 'calls.sidebands');
    }
    const watcher = await join(joined, 0, watch);
    first.client.destroy();
    await first.record();
    const second = await join(joined, 0);
    await refused(joined, 1);
    [second, watcher].forEach(({ client }) => client.destroy());
    await stop(joined.record.id);
    await closed(joined.record.id);
  });

  test('end with 4429 when the tokens of the call are used up, and the call with them', async () => {
    const joined = await call('calling', { prefix: '/small' });
    const [one, other] = [await join(joined, 0), await join(joined, 1)];
    one.upstream.sendEvent(done('resp_1'));
    await until('the response to pass', () => one.client.events().length === 1);
    other.upstream.sendEvent(done('resp_1'));
    other.upstream.sendEvent(done('resp_2'));
    await other.client.frameCame(opcodes.close);
    await until('the call to be hung up', () => hungUp.includes(joined.id));
    await until('the other to be told', () => {
      one.upstream.sendEvent({ type: 'rate_limits.updated' });
      return one.client.frames().some(({ opcode }) => opcode === opcodes.close);
    }, { intervalMs: 100 });
    const record = await closed(joined.record.id);
    assert.deepEqual(
      [record.usage.total_tokens, record.close],
      [506, { by: 'gateway', code: 4429, reason: 'budget_exceeded', limit: 'session.max_tokens' }],
    );
    assert.deepEqual(hungUp.filter((id) => id === joined.id), [joined.id]);
  });

  test('end when the call is hung up, and the call goes on when they leave', async () => {
    const joined = await call('calling');
    const first = await join(joined, 1);
    first.client.destroy();
    await first.record();
    const second = await join(joined, 1);
    const headers = [['authorization', `Bearer ${tokenOf('calling')}`]];
    const answer = await gateway.send(restRequest({ method: 'POST', target: `${target}/${joined.id}/hangup`, headers }));
    assert.equal(answer.status, 200);
    await until('the sideband to be told', () => {
      second.upstream.sendEvent({ type: 'rate_limits.updated' });
      return second.client.frames().some(({ opcode }) => opcode === opcodes.close);
    }, { intervalMs: 100 });
    const close = await second.client.frameCame(opcodes.close);
    assert.deepEqual(closeOf(close), { code: 1000, reason: 'call_ended' });
    assert.equal(hungUp.filter((id) => id === joined.id).length, 1);
  });
});

describe('a call under a limit of tokens', () => {
  const unwatched = { by: 'gateway', code: 1005, reason: 'unwatched' };

  test('is hung up after ten seconds in which nobody watches', async () => {
    const started = Date.now();
    const calls = [await call('calling', { prefix: '/small' }), await call('budgeted')];
    for (const { id, record } of calls) {
      await until(`call ${id} to be hung up`, () => hungUp.includes(id));
      const lasted = Date.now() - started;
      assert.ok(lasted >= 10_000 && lasted < 14_000 + delayMs, `${lasted} ms`);
      assert.deepEqual((await closed(record.id)).close, unwatched);
    }
  });

  test('goes on while one of any worker watches, and ten seconds longer', async () => {
    const calls = [];
    for (const worker of [0, 1]) {
      const joined = await call('calling', { worker, prefix: '/small' });
      calls.push({ joined, watcher: await join(joined, 1 - worker, worker === 0 ? watch : []) });
    }
    await new Promise((resolve) => setTimeout(resolve, 13_000));
    assert.ok(calls.every(({ joined }) => !hungUp.includes(joined.id)));
    const left = Date.now();
    calls.forEach(({ watcher }) => watcher.client.destroy());
    for (const { joined } of calls) {
      await until(`call ${joined.id} to be hung up`, () => hungUp.includes(joined.id));
      const lasted = Date.now() - left;
      assert.ok(lasted >= 9_000 && lasted < 14_000 + delayMs, `${lasted} ms`);
      assert.deepEqual((await closed(joined.record.id)).close, unwatched);
    }
  });
});

describe('a watcher', () => {
  test('hears all and says nothing', async () => {
    const joined = await call('calling');
    const watcher = await join(joined, 1, watch);
    assert.deepEqual(watcher.answer.headerAll('sec-websocket-protocol'), ['realtime-byok-watch']);
    assert.equal(watcher.seen.subprotocols(), undefined);
    watcher.client.sendEvent({ type: 'response.create' });
    watcher.client.send(opcodes.ping, 'said by a client');
    watcher.upstream.sendEvent(done('resp_1'));
    watcher.upstream.send(opcodes.ping, 'are you there');
    await watcher.client.frameCame(opcodes.ping);
    watcher.client.send(opcodes.pong, 'said by a client');
    const pong = await watcher.upstream.frameCame(opcodes.pong);
    assert.equal(pong.payload.toString(), 'are you there');
    watcher.client.send(opcodes.close, closePayload(3000, 'said by a client'));
    const close = await watcher.upstream.frameCame(opcodes.close);
    assert.deepEqual(closeOf(close), { code: 1000, reason: '' });
    const { frames, rest } = parseFrames(watcher.upstream.received());
    assert.deepEqual([frames.map(({ opcode }) => opcode), rest.length], [[opcodes.pong, opcodes.close], 0]);
    watcher.upstream.send(opcodes.close, closePayload(1000));
    assert.deepEqual(watcher.client.events().map(({ type }) => type), ['response.done']);
    await until('the record to tell it', async () => (await session(joined.record.id))[1].usage.total_tokens === 253);
    await stop(joined.record.id);
    await closed(joined.record.id);
  });

  test('names a call', async () => {
    const headers = [['authorization', `Bearer ${tokenOf('calling')}`], ...watch];
    const answer = await gateway.send(upgradeRequest({ target: '/v1/realtime?model=gpt-realtime', headers }));
    assertDenial(answer, 'malformed_request');
    assert.equal(answer.json().error.param, 'call_id');
  });
});
