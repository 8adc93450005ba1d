// Calls whose ids are sealed: every way to begin one, joined and ended through another gateway by whose they are, with
// the key that they began with.
import assert from 'node:assert/strict';
import test, { after, describe } from 'node:test';
import { assertDenial, providerKey, restRequest, route, sha256, tokens, until, upgradeRequest } from './harness/index.mjs';
import { control, operator } from './harness/control.mjs';
import { mint, mintEnv, sealingKey, useMinting } from './harness/minting.mjs';
import { useOpenai } from './harness/openai.mjs';
import { startPeer } from './harness/openai/peer.mjs';
import { openCallId, sealCallId } from './harness/sealing.mjs';

const otherKey = 'sk-other-account-of-the-pool-4Tq8';
const limitedToken = 'gt-of-limited-2Kd9-0123456789';

const openai = useOpenai({ keys: [providerKey, otherKey] });
const fleet = {
  upstream: openai,
  env: { ...mintEnv, OTHER_KEY: otherKey },
  changes: {
    control,
    providers: {
      openai: {
        kind: 'openai',
        keys: [
          { name: 'a', key: { env: 'OPENAI_API_KEY' } },
          { name: 'b', key: { env: 'OTHER_KEY' } },
        ],
      },
    },
    callers: {
      web: { tokens: [{ sha256: sha256(tokens.web) }] },
      limited: { tokens: [{ sha256: sha256(limitedToken) }], limits: { concurrent_sessions: 1 } },
    },
    policies: {
      default: { provider: 'openai' },
      brief: { provider: 'openai', session: { max_duration: '2s' } },
      locked: { provider: 'openai', lock: ['instructions'] },
      phone: { provider: 'openai', calls: { raw_ids: 'allow' } },
    },
  },
  routes: [
    route({ name: 'brief', prefix: '/brief/', rewrite: '/' }),
    route({ name: 'locked', prefix: '/locked/', rewrite: '/' }),
    route({ name: 'phone', prefix: '/phone/', rewrite: '/' }),
    route({}),
  ],
};
// Before the upstreams stop, and libdatachannel with them: hooks run in this order.
const peers = [];
after(() => peers.forEach((peer) => peer.close()));

const { gateway } = useMinting(fleet);
const { gateway: replica } = useMinting(fleet);
const { sessions, stop, closed } = operator(gateway);

const bearer = (credential) => ['authorization', `Bearer ${credential}`];

const sdp = (target) => (credential, offer) =>
  restRequest({ method: 'POST', target, body: offer, headers: [bearer(credential), ['content-type', 'application/sdp']] });

const live = (target) => (credential, offer) =>
  restRequest({
    method: 'POST',
    target,
    json: { session: { model: 'gpt-live-1' }, transport: { type: 'webrtc', sdp: offer } },
    headers: [bearer(credential)],
  });

/** The ways to begin a call: the request, and where the call stands. */
const ways = {
  'a call': { target: '/v1/realtime/calls?model=gpt-realtime', build: sdp, calls: '/v1/realtime/calls' },
  'a translation': {
    target: '/v1/realtime/translations/calls?model=gpt-realtime-translate', build: sdp,
    calls: '/v1/realtime/translations/calls',
  },
  'a call of Azure': {
    target: '/openai/v1/realtimertc?api-version=preview&model=gpt-realtime', build: sdp,
    calls: '/openai/v1/realtime/calls', query: '?api-version=preview',
  },
  'a call of Live': { target: '/v1/live/sessions', build: live, calls: '/v1/live/sessions' },
};

/** Begins a call: the peer, its sealed id, and what that says. */
async function begun({ target, build }, { credential = tokens.web, prefix = '', at = gateway } = {}) {
  const peer = await startPeer();
  peers.push(peer);
  const answer = await at.send(build(prefix + target)(credential, peer.offer));
  assert.equal(answer.status, 201, `answered ${answer.status}: ${answer.body}`);
  const isLive = build === live;
  const sealed = isLive ? answer.json().session.id : answer.header('location').split('/').at(-1);
  assert.match(sealed, isLive ? /^live_[\w-]{100,}$/ : /^rtc_[\w-]{100,}$/);
  const claims = openCallId(sealed, sealingKey);
  assert.ok(!`${answer.headers}${answer.body}`.includes(claims.id), 'the upstream’s id goes to nobody');
  peer.accept(isLive ? answer.json().transport.sdp : answer.body.toString('utf8'));
  await peer.opened();
  return { peer, sealed, claims };
}

const act = (at, credential, target) => at.send(restRequest({ method: 'POST', target, body: '', headers: [bearer(credential)] }));

const join = (at, credential, target) => at.send(upgradeRequest({ target, headers: [bearer(credential)] }));

const callOf = (id) => openai.calls().find((call) => call.id === id);
const hangupsOf = (id) => openai.requests().filter(({ target }) => target.includes(`/${id}/hangup`));
const keyOf = ({ claims }) => ({ a: providerKey, b: otherKey })[claims.key];

for (const [name, way] of Object.entries(ways)) {
  describe(name, () => {
    test('is one of its caller’s sessions, and stopped by the path of its own', async () => {
      const call = await begun(way, { credential: limitedToken });
      const { caller, provider, policy, id } = call.claims;
      assert.deepEqual({ caller, provider, policy }, { caller: 'limited', provider: 'openai', policy: 'default' });
      assertDenial(await gateway.send(way.build(way.target)(limitedToken, 'v=0\r\n')), 'session_limit_exceeded');
      const find = async () => (await sessions('?status=open')).find(({ upstream_id: named }) => named === id);
      const record = await until('the call to be listed', find);
      assert.equal(record.kind, 'webrtc');
      await stop(record.id);
      await call.peer.closed();
      assert.deepEqual((await closed(record.id)).close, { by: 'gateway', code: 4410, reason: 'session_stopped' });
      const [hangup, ...more] = hangupsOf(id);
      assert.deepEqual(more, []);
      assert.equal(hangup.target, `${way.calls}/${id}/hangup${way.query ?? ''}`);
      assert.deepEqual(hangup.headerAll('authorization'), [`Bearer ${keyOf(call)}`]);
    });

    test('is hung up when its time is over', async () => {
      const { claims, peer } = await begun(way, { prefix: '/brief' });
      assert.equal(claims.policy, 'brief');
      await peer.closed();
      await until('the end', () => callOf(claims.id).state === 'ended');
    });

    test('is its caller’s through any gateway, and nobody else’s', async () => {
      for (const at of [gateway, replica]) {
        const call = await begun(way);
        const target = `${way.calls}/${call.sealed}/hangup`;
        for (const action of ['hangup', 'refer', 'accept', 'reject']) {
          assertDenial(await act(at, limitedToken, `${way.calls}/${call.sealed}/${action}`), 'route_not_allowed');
        }
        assert.equal(callOf(call.claims.id).state, 'connected');
        const answer = await act(at, tokens.web, target);
        assert.equal(answer.status, 200, `answered ${answer.status}: ${answer.body}`);
        await call.peer.closed();
        const [hangup] = hangupsOf(call.claims.id);
        assert.deepEqual(hangup.headerAll('authorization'), [`Bearer ${keyOf(call)}`]);
      }
    });

    test('is refused under a lock', async () => {
      assertDenial(await gateway.send(way.build(`/locked${way.target}`)(tokens.web, 'v=0\r\n')), 'route_not_allowed');
    });
  });
}

describe('a sideband', () => {
  for (const [name, way, path] of [
    ['of a call', ways['a call'], (id) => `/v1/realtime?call_id=${id}`],
    ['of a call of Live', ways['a call of Live'], (id) => `/v1/live/sessions/${id}/attach`],
  ]) {
    test(`${name} is its caller’s, through any gateway, with the call’s key`, async () => {
      const call = await begun(way);
      for (const at of [gateway, replica]) {
        assertDenial(await join(at, limitedToken, path(call.sealed)), 'route_not_allowed');
        const joined = await join(at, tokens.web, path(call.sealed));
        assert.equal(joined.status, 101, `answered ${joined.status}: ${joined.body}`);
        const [seen] = openai.requestsOf(joined.case);
        assert.equal(seen.target, path(call.claims.id));
        assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${keyOf(call)}`]);
        joined.socket.destroy();
      }
      await act(gateway, tokens.web, `${way.calls}/${call.sealed}/hangup`);
    });
  }

  test('is its user’s where both have one', async () => {
    const user = async (name) => (await mint(gateway, 'current', { json: { gateway: { user: name } } })).value;
    const call = await begun({ ...ways['a call'], target: '/v1/realtime/calls' }, { credential: await user('u_1') });
    assert.equal(call.claims.user, 'u_1');
    for (const at of [gateway, replica]) {
      assertDenial(await join(at, await user('u_2'), `/v1/realtime?call_id=${call.sealed}`), 'route_not_allowed');
    }
    assert.equal((await act(replica, tokens.web, `/v1/realtime/calls/${call.sealed}/hangup`)).status, 200);
    await call.peer.closed();
  });
});

describe('an id', () => {
  test('that the gateway did not make is refused', async () => {
    const call = await begun(ways['a call']);
    const { id } = call.claims;
    const foreign = sealCallId(call.claims, Buffer.alloc(32, 9).toString('base64'));
    const tampered = call.sealed.replace(/.(.{30})$/, (last, rest) => (last[0] === 'A' ? 'B' : 'A') + rest);
    const stolen = `live_${call.sealed.slice('rtc_'.length)}`;
    for (const named of [id, foreign, tampered, stolen, 'rtc_1', 'x']) {
      assertDenial(await act(gateway, tokens.web, `/v1/realtime/calls/${named}/hangup`), 'route_not_allowed');
      assertDenial(await join(gateway, tokens.web, `/v1/realtime?call_id=${named}`), 'route_not_allowed');
      assertDenial(await join(gateway, tokens.web, `/v1/live/sessions/${named}/attach`), 'route_not_allowed');
    }
    for (const target of [
      `/v1/realtime?call_id=${call.sealed}&call_id=${id}`,
      `/v1/realtime?Call_ID=${id}`,
      `/v1/Realtime?call_id=${id}`,
      `/v1/live/sessions/${id}/fork`,
    ]) {
      assertDenial(await join(gateway, tokens.web, target), 'route_not_allowed');
    }
    assert.equal(callOf(id).state, 'connected');
    await act(gateway, tokens.web, `/v1/realtime/calls/${call.sealed}/hangup`);
  });

  test('of the documented layout opens', async () => {
    const call = await begun(ways['a call']);
    const again = sealCallId(call.claims, sealingKey);
    assert.notEqual(again, call.sealed);
    assert.equal((await act(replica, tokens.web, `/v1/realtime/calls/${again}/hangup`)).status, 200);
    await call.peer.closed();
  });

  test('of the provider’s is taken where the policy says so, and a known call is still its caller’s', async () => {
    const call = await begun(ways['a call'], { prefix: '/phone' });
    const target = `/phone/v1/realtime/calls/${call.claims.id}/hangup`;
    assertDenial(await act(gateway, limitedToken, target), 'route_not_allowed');
    const unknown = await act(gateway, limitedToken, '/phone/v1/realtime/calls/rtc_of_sip/hangup');
    assert.equal(unknown.status, 404);
    assert.equal(unknown.json().error.code, 'call_id_not_found');
    await act(gateway, tokens.web, `/v1/realtime/calls/${call.sealed}/hangup`);
  });
});
