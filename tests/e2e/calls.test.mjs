// WebRTC calls: the offer goes up unread, the answer comes back, real peers talk, and a call whose time is up is ended.
import assert from 'node:assert/strict';
import test, { after, describe } from 'node:test';
import {
  assertDenial,
  delayMs,
  denied,
  forwarded,
  onlyIn,
  providerKey,
  restRequest,
  route,
  tokens,
  until,
} from './harness/index.mjs';
import { assertNowhere, mint, sealingKey, useMinting } from './harness/minting.mjs';
import { useOpenai } from './harness/openai.mjs';
import { startPeer } from './harness/openai/peer.mjs';
import { open, openCallId } from './harness/sealing.mjs';

const target = '/v1/realtime/calls';
const model = '?model=gpt-realtime';

const openai = useOpenai();
const shared = {
  upstream: openai,
  changes: {
    policies: {
      default: { provider: 'openai' },
      ruled: { provider: 'openai', models: ['gpt-realtime*'] },
      brief: { provider: 'openai', session: { max_duration: '2s' } },
    },
  },
  routes: [
    route({ name: 'ruled', prefix: '/ruled/', rewrite: '/' }),
    route({ name: 'brief', prefix: '/brief/', rewrite: '/' }),
    route({ prefix: '/openai/', rewrite: '/' }),
    route({}),
  ],
};
const rig = useMinting({ ...shared, secrets: { mode: 'sealed' } });
const { gateway } = rig;
const { gateway: local } = useMinting({ ...shared, secrets: { mode: 'local' } });
const { gateway: unpaused } = useMinting({
  ...shared,
  secrets: { mode: 'sealed' },
  allowOnHeadersStopIteration: false,
});

const peers = [];
after(() => peers.forEach((peer) => peer.close()));

async function newPeer() {
  const peer = await startPeer();
  peers.push(peer);
  return peer;
}

const bearer = (credential) => ['authorization', `Bearer ${credential}`];

const sdpCall = (credential, offer, { path = target, headers = [] } = {}) =>
  restRequest({
    method: 'POST',
    target: path,
    body: offer,
    headers: [bearer(credential), ['content-type', 'application/sdp'], ...headers],
  });

/** A call as the official SDKs make it: a form of the offer and, perhaps, a session. */
function formCall(credential, offer, { path = target, session } = {}) {
  const part = (name, type, content) =>
    `--frontier\r\ncontent-disposition: form-data; name="${name}"\r\ncontent-type: ${type}\r\n\r\n${content}\r\n`;
  const parts = [part('sdp', 'application/sdp', offer)];
  if (session !== undefined) parts.push(part('session', 'application/json', JSON.stringify(session)));
  return restRequest({
    method: 'POST',
    target: path,
    body: `${parts.join('')}--frontier--\r\n`,
    headers: [bearer(credential), ['content-type', 'multipart/form-data; boundary=frontier']],
  });
}

/** Makes a call that must be taken: `{ id, sealed, peer, seen }`, with the data channel open; `id` is the upstream's. */
async function taken(build, { at = gateway } = {}) {
  const peer = await newPeer();
  const { answer, seen } = await forwarded({ recorder: openai, gateway: at }, build(peer.offer), { status: 201 });
  assert.deepEqual(answer.headerAll('content-type'), ['application/sdp']);
  const [, sealed] = /^\/v1\/realtime\/calls\/(rtc_[\w-]+)$/.exec(answer.header('location'));
  const { id } = openCallId(sealed, sealingKey);
  assert.ok(!sealed.includes(id));
  assert.ok(seen.body.includes(peer.offer), 'the offer arrives as it was sent');
  peer.accept(answer.body.toString('utf8'));
  await peer.opened();
  return { id, sealed, peer, seen };
}

const callOf = (id) => openai.calls().find((call) => call.id === id);
const hangupsOf = (id) => openai.requests().filter((entry) => entry.target.endsWith(`/${id}/hangup`));

describe('a call', () => {
  test('with a sealed secret goes on with the upstream’s own, and two peers talk', async () => {
    const { value } = await mint(gateway);
    const { peer, seen } = await taken((offer) => sdpCall(value, offer));
    assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${open(value, sealingKey).upstream}`]);
    assert.ok(!seen.text().includes(value) && !seen.text().includes(providerKey));
    assert.equal((await peer.next('session.created')).session.model, 'gpt-realtime');
    const content = [{ type: 'input_text', text: 'hello' }];
    peer.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
    peer.send({ type: 'response.create' });
    assert.equal((await peer.next('response.done')).response.status, 'completed');
  });
  test("with a gateway token goes on with the provider's key", async () => {
    const { seen } = await taken((offer) => sdpCall(tokens.web, offer, { path: target + model }));
    assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
    assert.ok(!seen.text().includes(tokens.web));
  });
  test('with a secret that was minted locally has its model and the key of the provider', async () => {
    const { value } = await mint(local);
    const { seen, id } = await taken((offer) => sdpCall(value, offer), { at: local });
    assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
    assert.equal(seen.target, target + model);
    assert.equal(callOf(id).session.model, 'gpt-realtime');
  });
  test('as a form, with and without a session', async () => {
    const { value } = await mint(gateway);
    const session = { type: 'realtime', model: 'gpt-realtime', instructions: 'Be brief.' };
    const { id } = await taken((offer) => formCall(value, offer, { session }));
    assert.deepEqual(callOf(id).session, session);
    await taken((offer) => formCall(value, offer));
    await taken((offer) => formCall(tokens.web, offer, { session }));
  });
  test('by a path with a prefix', async () => {
    const { value } = await mint(gateway, 'current', { prefix: '/openai' });
    await taken((offer) => sdpCall(value, offer, { path: `/openai${target}` }));
  });
  test('over HTTP/2', async () => {
    const { value } = await mint(gateway);
    const peer = await newPeer();
    const headers = [bearer(value), ['content-type', 'application/sdp']];
    const answer = await gateway.sendHttp2({ method: 'POST', target, body: peer.offer, headers });
    assert.equal(answer.status, 201);
    peer.accept(answer.body.toString('utf8'));
    await peer.opened();
  });
});

describe('the body of a call', () => {
  test('passes unread, however long', async () => {
    const { value } = await mint(gateway);
    const long = `v=0\r\n${'a=x\r\n'.repeat(600_000)}`;
    for (const credential of [value, tokens.web]) {
      const request = sdpCall(credential, long, { path: target + model });
      const { seen } = await forwarded(rig, request, { status: 400 });
      assert.equal(seen.body.length, long.length);
    }
  });
  onlyIn('wasm', test)('must be shown by Envoy, without which the call could not be ended', async () => {
    const session = { type: 'realtime', model: 'gpt-realtime' };
    for (const request of [sdpCall(tokens.web, 'v=0', { path: target + model }), formCall(tokens.web, 'v=0', { session })]) {
      assertDenial(await unpaused.send(request), 'body_unavailable');
    }
  });
  test('arrives byte for byte', async () => {
    const { value } = await mint(gateway);
    const request = formCall(value, 'v=0\r\n\xff\xfe', { session: { type: 'realtime' } });
    const { seen } = await forwarded(rig, request, { status: 400 });
    assert.deepEqual(seen.body, Buffer.from(request.body));
  });
});

describe('a rule on models', () => {
  const path = `/ruled${target}`;
  test("holds for the query's model", async () => {
    await taken((offer) => sdpCall(tokens.web, offer, { path: path + model }));
    await denied(rig, sdpCall(tokens.web, 'v=0\r\n', { path: `${path}?model=gpt-5` }), 'model_not_allowed');
  });
  test('asks for a model where the offer is all', () =>
    denied(rig, sdpCall(tokens.web, 'v=0\r\n', { path }), 'model_required'));
  test('refuses a form, whose model is not read', () =>
    denied(rig, formCall(tokens.web, 'v=0\r\n', { path: path + model }), 'malformed_request'));
  test("takes a secret's model", async () => {
    const { value } = await mint(gateway, 'current', { prefix: '/ruled' });
    await taken((offer) => sdpCall(value, offer, { path }));
    await denied(rig, sdpCall(value, 'v=0\r\n', { path: `${path}?model=gpt-realtime-mini` }), 'model_not_allowed');
  });
});

describe('a call is refused', () => {
  test('without a token, and with one that is not known', async () => {
    const request = sdpCall(tokens.web, 'v=0\r\n');
    await denied(rig, { ...request, headers: request.headers.slice(0, 1) }, 'missing_gateway_token');
    await denied(rig, sdpCall(tokens.unknown, 'v=0\r\n'), 'invalid_gateway_token');
  });
  test('with a secret of another policy', async () => {
    const { value } = await mint(gateway);
    await denied(rig, sdpCall(value, 'v=0\r\n', { path: `/ruled${target}` }), 'route_not_allowed');
  });
  test('where nothing would be known of it', async () => {
    for (const path of ['/v1/realtime?model=gpt-realtime', '/v1/Realtime', '/v1/realtime/', '/v1/realtime/calls/']) {
      await denied(rig, sdpCall(tokens.web, 'v=0\r\n', { path }), 'route_not_allowed');
    }
  });
  test('by the upstream, whose words about its own keys are not passed on', async () => {
    const { value } = await mint(gateway);
    for (const [credential, code] of [
      [value, 'expired_gateway_token'],
      [tokens.web, 'provider_key_rejected'],
    ]) {
      const answer = await gateway.send(sdpCall(credential, 'v=0\r\n', { headers: [['x-reply', 'refuse 401']] }));
      assertDenial(answer, code);
      assert.ok(!answer.body.includes('upstream_text'));
    }
  });
  test('by the upstream, whose words about the offer are', async () => {
    const answer = await gateway.send(sdpCall(tokens.web, 'no offer', { path: target + model }));
    assert.equal(answer.status, 400);
    assert.equal(answer.json().error.code, 'invalid_offer');
  });
});

describe('the end of a call', () => {
  const limited = { json: { gateway: { max_duration: '2s', user: 'u_1' } } };

  async function endsByItself(at, prefix, limits = limited) {
    const { value } = await mint(at, 'current', { prefix, ...limits });
    await callEnds(at, value, prefix + target);
  }

  async function callEnds(at, value, path) {
    const { id, peer } = await taken((offer) => sdpCall(value, offer, { path }), { at });
    const started = Date.now();
    await until(`call ${id} to be ended`, () => callOf(id).state === 'ended');
    const lasted = Date.now() - started;
    assert.ok(lasted > 1_000 && lasted < 6_000 + delayMs, `it lasted ${lasted} ms`);
    await peer.closed();
    const [hangup, ...more] = hangupsOf(id);
    assert.deepEqual(more, []);
    assert.equal(hangup.method, 'POST');
    assert.equal(hangup.target, `${target}/${id}/hangup`);
    assert.deepEqual(hangup.headerAll('authorization'), [`Bearer ${providerKey}`]);
    assert.ok(!hangup.text().includes(value));
  }

  test("comes when its secret's time is up, by the provider's own hang-up", () => endsByItself(gateway, ''));
  test('comes for a secret that was minted locally as well', () => endsByItself(local, ''));
  test('comes where the route rewrites the path', () => endsByItself(gateway, '/openai'));
  test("comes when the policy's time is up, with a secret that says more and with a gateway token", async () => {
    await endsByItself(gateway, '/brief', { json: { gateway: { max_duration: '1h' } } });
    await callEnds(gateway, tokens.web, `/brief${target}${model}`);
  });
  test('does not come sooner, nor without a limit', async () => {
    const { value } = await mint(gateway, 'current', { json: { gateway: { max_duration: '1h' } } });
    const calls = [
      await taken((offer) => sdpCall(value, offer)),
      await taken((offer) => sdpCall(tokens.web, offer, { path: target + model })),
    ];
    await endsByItself(gateway, '');
    for (const { id, peer } of calls) {
      assert.equal(callOf(id).state, 'connected');
      assert.deepEqual(hangupsOf(id), []);
      assert.ok(peer.isOpen());
    }
  });
  test('can be asked for by a backend', async () => {
    const { id, sealed, peer } = await taken((offer) => sdpCall(tokens.web, offer, { path: target + model }));
    const request = restRequest({
      method: 'POST',
      target: `${target}/${sealed}/hangup`,
      body: '',
      headers: [bearer(tokens.web)],
    });
    const { seen } = await forwarded(rig, request);
    assert.equal(seen.target, `${target}/${id}/hangup`);
    assert.equal(callOf(id).state, 'ended');
    await peer.closed();
  });
});

test('nothing of a secret, sealed or not, is in a log, a statistic or a page', async () => {
  const { value } = await mint(gateway);
  await gateway.send(sdpCall(value, 'v=0\r\n'));
  await assertNowhere(gateway, [value, ...openai.secrets.values(), providerKey, tokens.web, sealingKey]);
});
