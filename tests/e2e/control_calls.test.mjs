// WebRTC calls are sessions: listed, counted, and stopped by the provider's own hang-up.
import assert from 'node:assert/strict';
import test, { after, describe } from 'node:test';
import { assertDenial, delayMs, providerKey, restRequest, route, sha256, until, upgradeRequest } from './harness/index.mjs';
import { control, operator } from './harness/control.mjs';
import { mint, sealingKey, useMinting } from './harness/minting.mjs';
import { openHttp2 } from './harness/http2_frames.mjs';
import { useOpenai } from './harness/openai.mjs';
import { startPeer } from './harness/openai/peer.mjs';
import { openCallId } from './harness/sealing.mjs';
import { connectionOn } from './harness/workers.mjs';

const workers = 2;
const target = '/v1/realtime/calls';
const callers = { calling: {}, limited: { concurrent_sessions: 1 }, refused: { concurrent_sessions: 1 }, brief: {} };
const tokenOf = (caller) => `gt-of-${caller}-9Wd3`;

const { recorder: openai, gateway } = useMinting({
  upstream: useOpenai(),
  concurrency: workers,
  changes: {
    control,
    callers: Object.fromEntries(
      Object.entries(callers).map(([name, limits]) => [name, { tokens: [{ sha256: sha256(tokenOf(name)) }], limits }]),
    ),
    policies: { default: { provider: 'openai' }, brief: { provider: 'openai', session: { max_duration: '2s' } } },
  },
  routes: [route({ name: 'brief', prefix: '/brief/', rewrite: '/' }), route({})],
});
const { session, sessions, stop, stopAll, usage, closed, listed } = operator(gateway);

const peers = [];
after(() => peers.forEach((peer) => peer.close()));

const bearer = (credential) => ['authorization', `Bearer ${credential}`];

const call = (credential, offer, { prefix = '', reply } = {}) =>
  restRequest({
    method: 'POST',
    target: `${prefix}${target}?model=gpt-realtime`,
    body: offer,
    headers: [
      bearer(credential),
      ['content-type', 'application/sdp'],
      ...(reply === undefined ? [] : [['x-reply', reply]]),
    ],
  });

/** Makes a call: the peer, the upstream's id of the call and the gateway's, and the record of the session. */
async function begun(credential, options, sending) {
  const peer = await startPeer();
  peers.push(peer);
  const answer = await gateway.send(call(credential, peer.offer, options), sending);
  assert.equal(answer.status, 201, `answered ${answer.status}: ${answer.body}`);
  peer.accept(answer.body.toString('utf8'));
  await peer.opened();
  const sealed = answer.header('location').split('/').at(-1);
  const { id: upstreamId } = openCallId(sealed, sealingKey);
  const record = await until('the call to be listed', async () =>
    (await sessions('?status=open')).find(({ upstream_id: id }) => id === upstreamId));
  return { peer, upstreamId, sealed, record, answer };
}

/** Asks through the gateway for a call's end, as a backend does. */
const hangUp = (credential, { sealed }, sending) =>
  gateway.send(
    restRequest({ method: 'POST', target: `${target}/${sealed}/hangup`, headers: [bearer(credential)] }),
    sending,
  );

/** Joins a call by a WebSocket. */
const join = (credential, { sealed }, sending) =>
  gateway.send(
    upgradeRequest({ target: `/v1/realtime?call_id=${sealed}`, headers: [bearer(credential)] }),
    sending,
  );

/** The requests that ended a call. */
const hangups = () => openai.requests().filter((entry) => entry.target.endsWith('/hangup'));
const hangupsOf = (id) => hangups().filter((entry) => entry.target.endsWith(`/${id}/hangup`));

async function assertHungUp({ peer, upstreamId }) {
  await peer.closed();
  const [hangup, ...more] = hangupsOf(upstreamId);
  assert.deepEqual(more, []);
  assert.deepEqual([hangup.method, hangup.target], ['POST', `${target}/${upstreamId}/hangup`]);
  assert.deepEqual(hangup.headerAll('authorization'), [`Bearer ${providerKey}`]);
}

const stopped = { by: 'gateway', code: 4410, reason: 'session_stopped' };

describe('a call', () => {
  test('is listed while it lasts, and stopped by its id at whatever worker it began', async () => {
    for (let worker = 0; worker < workers; worker += 1) {
      const begins = await begun(tokenOf('calling'), {}, { socket: await connectionOn(gateway, worker) });
      const { record } = begins;
      const { kind, status, caller, user, provider, policy, model, close, frames } = record;
      assert.deepEqual(
        { kind, status, caller, user, provider, policy, model, close, frames },
        {
          kind: 'webrtc', status: 'open', caller: 'calling', user: null, provider: 'openai', policy: 'default',
          model: 'gpt-realtime', close: null, frames: { client: 0, upstream: 0 },
        },
      );
      const asked = Date.now();
      const [answered, stopping] = await stop(record.id);
      assert.deepEqual([answered, stopping.status, stopping.kind], [202, 'stopping', 'webrtc']);
      await assertHungUp(begins);
      assert.ok(Date.now() - asked < 2_000 + delayMs, `it took ${Date.now() - asked} ms`);
      const last = await closed(record.id);
      assert.deepEqual([last.close, last.upstream_id], [stopped, begins.upstreamId]);
      assert.deepEqual(await stop(record.id), [200, last]);
    }
  });

  test('with a client secret is the user’s, and stopped by that', async () => {
    const { value } = await mint(gateway, 'current', { token: tokenOf('calling'), json: { gateway: { user: 'u_call' } } });
    const begins = await begun(value);
    const other = await begun(tokenOf('calling'));
    assert.equal(begins.record.user, 'u_call');
    assert.deepEqual((await sessions('?user=u_call')).map(({ id }) => id), [begins.record.id]);
    assert.deepEqual((await stopAll('?user=u_call')).map(({ id }) => id), [begins.record.id]);
    await assertHungUp(begins);
    assert.deepEqual((await closed(begins.record.id)).close, stopped);
    assert.deepEqual(hangupsOf(other.upstreamId), []);
    assert.equal((await session(other.record.id))[1].status, 'open');
    await stop(other.record.id);
    await assertHungUp(other);
  });

  test('whose time is up is closed as such', async () => {
    const begins = await begun(tokenOf('brief'), { prefix: '/brief' });
    await assertHungUp(begins);
    const { close, duration_ms: duration } = await closed(begins.record.id);
    assert.deepEqual(close, { by: 'gateway', code: 4408, reason: 'max_duration_exceeded', limit: 'session.max_duration' });
    assert.ok(duration >= 2_000 && duration < 5_000, `${duration} ms`);
  });

  test('whose client leaves the answer unread has its limits too', { timeout: 60_000 }, async () => {
    const peer = await startPeer();
    peers.push(peer);
    const connection = await openHttp2(gateway.port, { window: 0 });
    const before = new Set(hangups());
    const headers = [
      [':method', 'POST'], [':scheme', 'http'], [':path', `/brief${target}?model=gpt-realtime`],
      [':authority', '127.0.0.1'], bearer(tokenOf('brief')), ['content-type', 'application/sdp'],
    ];
    connection.request(headers, { body: peer.offer });
    const hangup = await until('the call to be hung up', () => hangups().find((entry) => !before.has(entry)), {
      timeoutMs: 30_000,
    });
    const [, id] = hangup.target.match(/calls\/([^/]+)\/hangup$/);
    const [record] = await until('the call to be listed', async () => {
      const ended = (await sessions('?caller=brief&status=closed')).filter(({ upstream_id: of }) => of === id);
      return ended.length > 0 && ended;
    });
    assert.equal(record.close.reason, 'max_duration_exceeded');
    connection.destroy();
  });

  test('is one of the sessions that its caller may have, until it ends', async () => {
    const begins = await begun(tokenOf('limited'));
    const refused = await gateway.send(call(tokenOf('limited'), 'v=0\r\n'));
    assertDenial(refused, 'session_limit_exceeded');
    assert.deepEqual(openai.requestsOf(refused.case), []);
    await stop(begins.record.id);
    await assertHungUp(begins);
    const again = await begun(tokenOf('limited'));
    await stopAll('?caller=limited');
    await assertHungUp(again);
    await until('the calls to be counted', async () =>
      (await usage()).find(({ caller }) => caller === 'limited').sessions === 2);
  });

  test('that the upstream refused has no place and is no session', async () => {
    for (const [reply, status] of [['refuse 401', 502], ['refuse 503', 503], [undefined, 400]]) {
      const answer = await gateway.send(call(tokenOf('refused'), 'no offer', { reply }));
      assert.equal(answer.status, status, `answered ${answer.status}: ${answer.body}`);
    }
    await listed(0, '?caller=refused');
  });

  test('that its provider does not end at once stays stopping, and keeps its place, until it does', async () => {
    const begins = await begun(tokenOf('limited'));
    openai.refuseHangups(503, 503);
    await stop(begins.record.id);
    await until('the call to be ended in vain', () => hangupsOf(begins.upstreamId).length === 1);
    assert.equal((await session(begins.record.id))[1].status, 'stopping');
    assertDenial(await gateway.send(call(tokenOf('limited'), 'v=0\r\n')), 'session_limit_exceeded');
    await begins.peer.closed();
    await until('all that ended it to be told', () => hangupsOf(begins.upstreamId).length === 3);
    assert.deepEqual((await closed(begins.record.id)).close, stopped);
    await stopAll('?caller=limited');
  });

  test('that a backend ends through any worker is over, and its place is free', async () => {
    for (let worker = 0; worker < workers; worker += 1) {
      const begins = await begun(tokenOf('limited'), {}, { socket: await connectionOn(gateway, 0) });
      const sending = async () => ({ socket: await connectionOn(gateway, worker) });
      assertDenial(await hangUp(tokenOf('calling'), begins, await sending()), 'route_not_allowed');
      const answer = await hangUp(tokenOf('limited'), begins, await sending());
      assert.equal(answer.status, 200);
      const { close } = await closed(begins.record.id);
      assert.deepEqual(close, { by: 'client', code: 1000, reason: '' });
      assert.equal(hangupsOf(begins.upstreamId).length, 1);
    }
  });

  test('is joined from any worker by its caller alone, and that is no second session', async () => {
    for (let worker = 0; worker < workers; worker += 1) {
      const begins = await begun(tokenOf('limited'), {}, { socket: await connectionOn(gateway, 0) });
      const sending = async () => ({ socket: await connectionOn(gateway, worker) });
      assertDenial(await join(tokenOf('calling'), begins, await sending()), 'route_not_allowed');
      const joined = await join(tokenOf('limited'), begins, await sending());
      assert.equal(joined.status, 101, `answered ${joined.status}: ${joined.body}`);
      const [{ id }] = await listed(1, '?caller=limited&status=open');
      assert.equal(id, begins.record.id, 'it is listed as the call');
      await stop(id);
      await assertHungUp(begins);
      assert.deepEqual((await closed(id)).close, stopped);
      joined.socket.destroy();
    }
  });

  test('is in the access log of the request that began it', async () => {
    const begins = await begun(tokenOf('calling'));
    const { session: logged } = await gateway.envoy.accessLogOf(begins.answer.case);
    const { id, caller, policy, provider, model } = logged;
    assert.deepEqual(
      { id, caller, policy, provider, model },
      { id: begins.record.id, caller: 'calling', policy: 'default', provider: 'openai', model: 'gpt-realtime' },
    );
    await stop(begins.record.id);
    await assertHungUp(begins);
  });
});
