// What is open ends when its token is over, or when a new configuration has it no more; and nothing else does.
import assert from 'node:assert/strict';
import test, { after, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runProgram } from '../clients/program.mjs';
import {
  basicConfiguration,
  delayMs,
  onlyIn,
  restRequest,
  route,
  sha256,
  tokens,
  until,
  upgradeRequest,
  useGateway,
} from './harness/index.mjs';
import { control, controlToken, operator } from './harness/control.mjs';
import { mint, mintConfiguration, mintEnv, sealingKey } from './harness/minting.mjs';
import { useOpenai } from './harness/openai.mjs';
import { startPeer } from './harness/openai/peer.mjs';
import { newSealingKey, openCallId } from './harness/sealing.mjs';
import { assertEnded, openSession, sessionCreated, useSocketUpstream } from './harness/sessions.mjs';
import { opcodes } from './harness/websocket.mjs';
import { connectionOn } from './harness/workers.mjs';

const workers = 2;
const newKey = newSealingKey();
const env = { ...mintEnv, NEW_SEALING_KEY: newKey, WEB_TOKEN: tokens.web };
const upstream = useSocketUpstream();
const openai = useOpenai();

const held = { sha256: sha256(tokens.web) };
const another = { sha256: sha256('gt-web-of-tomorrow-1Hs8') };
const tokenOf = { kept: 'gt-kept-6Yw2nDs9', brief: 'gt-brief-8Kd4mQz1' };

/** `web-app` with this token, and whoever keeps theirs; `changes` as `mintConfiguration` takes them. */
const configured = (token, { callers = {}, ...changes } = {}) =>
  mintConfiguration({
    control,
    callers: {
      'web-app': { tokens: [token] },
      kept: { tokens: [{ sha256: sha256(tokenOf.kept) }] },
      ...callers,
    },
    policies: { default: { provider: 'openai' }, outliving: { provider: 'openai', session: { outlive_token: true } } },
    ...changes,
  });

const options = () => ({
  upstreams: { upstream: upstream.port, openai: openai.port },
  env,
  concurrency: workers,
  configuration: configured(held),
  routes: [
    route({ name: 'outliving', prefix: '/outliving/', rewrite: '/' }),
    route({ prefix: '/v1/realtime/calls', cluster: 'openai' }),
    route({ prefix: '/v1/realtime/client_secrets', cluster: 'openai' }),
    route({}),
  ],
});
const gateway = useGateway(() => ({ ...options(), discovered: true, tls: true }));
const drained = useGateway(() => ({ ...options(), dynamic: true }));
const elsewhere = { configuration: configured(held), routes: [route({})] };
const named = useGateway(() => ({
  ...options(),
  discovered: true,
  others: { elsewhere: { ...elsewhere, pluginName: 'elsewhere' } },
}));
const unnamed = useGateway(() => ({ ...options(), discovered: true, others: { elsewhere } }));

const target = '/v1/realtime?model=gpt-realtime';
const hasBeenTold = ({ client }) => assertEnded(client, 4401, 'token_revoked');

/** One session on each worker. */
async function onEachWorker(at, request = {}, port = at.port) {
  const sessions = [];
  for (let worker = 0; worker < workers; worker += 1) {
    const sending = { socket: await connectionOn(at, worker, port) };
    sessions.push(await openSession({ gateway: at, upstream }, { target, ...request }, sending));
  }
  return sessions;
}

/** Upstreams that go on talking, as those of voice sessions do. */
function talking(sessions) {
  const timer = setInterval(() => sessions.forEach((one) => one.upstream.send(opcodes.text, '{"type":"x"}')), 50).unref();
  return () => clearInterval(timer);
}

async function within(milliseconds, promise) {
  const started = Date.now();
  await promise;
  const took = Date.now() - started;
  assert.ok(took < milliseconds + delayMs, `it took ${took} ms`);
}

/** They are open, and what is said arrives. */
async function assertOpen(sessions) {
  for (const { client, upstream: far } of sessions) {
    const text = JSON.stringify({ type: 'still.there', at: Date.now() });
    far.send(opcodes.text, text);
    await until('what is said', () => client.frames().some(({ payload }) => payload.toString() === text));
  }
}

const knock = async (at, token, sending) => {
  const headers = [['authorization', `Bearer ${token}`]];
  const answer = await at.send(upgradeRequest({ target, headers }), sending);
  answer.socket?.destroy();
  return answer.status;
};

const hangUp = (sessions) => sessions.forEach(({ client }) => client.destroy());

describe('a new configuration by ECDS', () => {
  test('ends the sessions whose token it lacks, on every worker, and no others', async () => {
    await gateway.replaceFilter({ configuration: configured(held) });
    const revoked = await onEachWorker(gateway);
    const silent = await onEachWorker(gateway);
    const others = [
      ...(await onEachWorker(gateway, { token: tokenOf.kept })),
      ...(await onEachWorker(gateway, { target: `/outliving${target}` })),
    ];
    const stop = talking([...revoked, ...others]);
    await gateway.replaceFilter({ configuration: configured(another) });
    // Of a connection that is reset Envoy closes the socket up to a second later.
    await Promise.all([
      within(2_000, Promise.all(revoked.map(hasBeenTold))),
      within(3_200, Promise.all(silent.map(({ client }) => client.ended()))),
    ]);
    for (const one of [...revoked, ...silent]) {
      const { code, close } = await one.record();
      assert.deepEqual([code, close], ['4401', 'gateway']);
    }
    assert.equal(await knock(gateway, tokens.web), 401);
    await sleep(1_500);
    stop();
    await assertOpen(others);
    hangUp(others);
  });

  test('that keeps the token, whatever it is called, ends nothing', async () => {
    await gateway.replaceFilter({ configuration: configured(held) });
    const sessions = await onEachWorker(gateway);
    const base64 = Buffer.from(tokens.web).toString('base64');
    const moves = [{ env: 'WEB_TOKEN' }, { value: tokens.web }, { base64 }, { ...held, not_after: '2126-01-01T00:00:00Z' }];
    for (const token of moves) {
      await gateway.replaceFilter({ configuration: configured(token) });
      await sleep(1_200);
      await assertOpen(sessions);
    }
    const stop = talking(sessions);
    await gateway.replaceFilter({ configuration: configured(another) });
    await within(2_000, Promise.all(sessions.map(hasBeenTold)));
    stop();
  });

  test('ends the sessions of a caller or a policy that it lacks', async () => {
    const { 'web-app': webApp, ...callers } = configured(held).callers;
    for (const changes of [
      { callers: { ...callers, renamed: webApp } },
      { policies: { voice: { provider: 'openai' } } },
      { policies: { default: { auth: 'off' } } },
    ]) {
      await gateway.replaceFilter({ configuration: configured(held) });
      const sessions = await onEachWorker(gateway);
      const stop = talking(sessions);
      await gateway.replaceFilter({ configuration: { ...configured(held), ...changes } });
      await within(2_000, Promise.all(sessions.map(hasBeenTold)));
      stop();
    }
  });

  test("ends a client secret's sessions with its sealing key or its caller, and not with its caller's token", async () => {
    const sealingKeys = (...names) => ({ secrets: { sealing_keys: names.map((name) => ({ env: name })) } });
    await gateway.replaceFilter({ configuration: configured(held) });
    const secret = await mint(gateway, 'current');
    const sessions = await onEachWorker(gateway, { token: secret.value });
    const rotated = sealingKeys('NEW_SEALING_KEY', 'REALTIME_SEALING_KEY');
    for (const next of [configured(held, rotated), configured(another, rotated)]) {
      await gateway.replaceFilter({ configuration: next });
      await sleep(1_200);
      await assertOpen(sessions);
    }
    const stop = talking(sessions);
    await gateway.replaceFilter({ configuration: configured(another, sealingKeys('NEW_SEALING_KEY')) });
    await within(2_000, Promise.all(sessions.map(hasBeenTold)));
    stop();
  });

  test('says until when a token is good: its sessions end in that moment', async () => {
    const brief = (end) => ({ brief: { tokens: [{ sha256: sha256(tokenOf.brief), not_after: end.toISOString() }] } });
    await gateway.replaceFilter({ configuration: configured(held, { callers: brief(new Date(Date.now() + 60_000)) }) });
    const later = await onEachWorker(gateway, { token: tokenOf.brief });
    const end = new Date(Date.now() + 2_500);
    await gateway.replaceFilter({ configuration: configured(held, { callers: brief(end) }) });
    const sessions = [...later, ...(await onEachWorker(gateway, { token: tokenOf.brief }))];
    const outliving = await onEachWorker(gateway, { token: tokenOf.brief, target: `/outliving${target}` });
    const stop = talking([...sessions, ...outliving]);
    await sleep(end - Date.now() - 300);
    await assertOpen(sessions);
    await Promise.all(sessions.map(hasBeenTold));
    assert.ok(Date.now() >= end, 'not earlier');
    assert.ok(Date.now() - end < 2_000 + delayMs, 'not much later');
    stop();
    await assertOpen(outliving);
    hangUp(outliving);
  });
});

describe('a call', () => {
  const { session, sessions, closed } = operator(gateway);
  const peers = [];
  after(() => peers.forEach((peer) => peer.close()));

  async function begun(token, worker) {
    const peer = await startPeer();
    peers.push(peer);
    const headers = [['authorization', `Bearer ${token}`], ['content-type', 'application/sdp']];
    const request = restRequest({ method: 'POST', target: '/v1/realtime/calls?model=gpt-realtime', body: peer.offer, headers });
    const answer = await gateway.send(request, { socket: await connectionOn(gateway, worker) });
    assert.equal(answer.status, 201, `answered ${answer.status}: ${answer.body}`);
    peer.accept(answer.body.toString('utf8'));
    await peer.opened();
    const { id } = openCallId(answer.header('location').split('/').at(-1), sealingKey);
    const record = await until('the call to be listed', async () =>
      (await sessions('?status=open')).find(({ upstream_id: of }) => of === id));
    return { peer, id, record };
  }

  test('whose token is gone is hung up, on every worker, and no other', async () => {
    await gateway.replaceFilter({ configuration: configured(held) });
    const calls = [await begun(tokens.web, 0), await begun(tokens.web, 1)];
    const kept = await begun(tokenOf.kept, 1);
    await gateway.replaceFilter({ configuration: configured({ env: 'WEB_TOKEN' }) });
    await sleep(1_500);
    for (const { record } of calls) assert.equal((await session(record.id))[1].status, 'open');
    await gateway.replaceFilter({ configuration: configured(another) });
    await within(2_000, Promise.all(calls.map(({ peer }) => peer.closed())));
    for (const { record } of calls) {
      const { close } = await closed(record.id);
      assert.deepEqual(close, { by: 'gateway', code: 4401, reason: 'token_revoked' });
    }
    await sleep(1_200);
    assert.equal((await session(kept.record.id))[1].status, 'open');
    const ended = openai.requests().filter((entry) => entry.target.endsWith('/hangup'));
    assert.deepEqual(new Set(ended.map((entry) => entry.target.split('/').at(-2))), new Set(calls.map(({ id }) => id)));
  });
});

describe('clients that nobody here wrote', () => {
  const sdkEnv = () => ({
    OPENAI_API_KEY: tokens.web,
    OPENAI_BASE_URL: `https://localhost:${gateway.securePort}/v1`,
    RECONNECT: 'yes',
  });
  const nodeOptions = 'WebSocket' in globalThis ? [] : ['--experimental-websocket'];
  const programs = [
    ['the official SDK for Node, ws', 1, () => runProgram('openai_ended.mjs', { ...sdkEnv(), CLASS: 'ws' }, { nodeOptions })],
    [
      'the official SDK for Node, websocket', 1,
      () => runProgram('openai_ended.mjs', { ...sdkEnv(), CLASS: 'websocket' }, { nodeOptions }),
    ],
    ['the official SDK for Python', 2, () => runProgram('openai_ended.py', sdkEnv())],
  ];
  for (const [name, count, run] of programs) {
    test(`${name} reports 4401 and stays away`, async () => {
      await gateway.replaceFilter({ configuration: configured(held) });
      const before = upstream.connections().length;
      let isOver = false;
      const running = run().finally(() => (isOver = true));
      for (let at = before; at < before + count; at += 1) {
        const { peer } = await until('a session', () => isOver || upstream.connections()[at]);
        peer.sendEvent(sessionCreated());
        const stop = talking([{ upstream: peer }]);
        peer.socket.on('close', stop).on('end', () => peer.socket.end());
        await sleep(500);
        await gateway.replaceFilter({ configuration: configured(another) });
        await until('its end', () => peer.socket.destroyed);
        await gateway.replaceFilter({ configuration: configured(held, { prices: { '*': { input_text: at + 1 } } }) });
      }
      const told = await running;
      for (const { close, errors, reconnecting } of count === 1 ? [told] : [told.asynchronous, told.synchronous]) {
        assert.deepEqual(close, { code: 4401, reason: 'token_revoked' });
        assert.deepEqual(errors.map(({ code }) => code), ['token_revoked']);
        assert.equal(reconnecting, 0);
      }
      assert.equal(upstream.connections().length - before, count, 'it does not come back');
    });
  }
});

test('a new listener (LDS) ends the sessions of the one before it, too', async () => {
  const revoked = await onEachWorker(drained);
  const kept = await onEachWorker(drained, { token: tokenOf.kept });
  const stop = talking([...revoked, ...kept]);
  assert.equal(await drained.replaceListeners({ configuration: configured({ env: 'WEB_TOKEN' }) }), 'accepted');
  await sleep(1_500);
  await assertOpen([...revoked, ...kept]);
  assert.equal(await drained.replaceListeners({ configuration: configured(another) }), 'accepted');
  await within(2_000, Promise.all(revoked.map(hasBeenTold)));
  await sleep(1_200);
  stop();
  await assertOpen(kept);
  hangUp(kept);
});

describe('what a session outlives', () => {
  const remains = async (sessions) => {
    const stop = talking(sessions);
    await sleep(2_000);
    stop();
    await assertOpen(sessions);
    hangUp(sessions);
  };

  onlyIn('wasm', test)('a new configuration in another VM, which knows nothing of it', async () => {
    await gateway.replaceFilter({ configuration: configured(held) });
    const sessions = await onEachWorker(gateway);
    await gateway.replaceFilter({ configuration: configured(another), vmId: 'realtime_byok_of_tomorrow' });
    assert.equal(await knock(gateway, tokens.web), 401);
    await remains(sessions);
  });

  test('a configuration that comes back, byte for byte, while it still has sessions', async () => {
    await gateway.replaceFilter({ configuration: configured(another) });
    const older = await onEachWorker(gateway, { token: tokenOf.kept });
    await gateway.replaceFilter({ configuration: configured(held) });
    const sessions = await onEachWorker(gateway);
    await gateway.replaceFilter({ configuration: configured(another) });
    assert.equal(await knock(gateway, tokens.web), 401);
    await remains([...older, ...sessions]);
  });
});

describe('another plugin in the same VM', () => {
  const portOf = (at) => at.currentPort('elsewhere');

  test('of another name keeps its sessions', async () => {
    const revoked = await onEachWorker(named);
    const others = await onEachWorker(named, {}, await portOf(named));
    const stop = talking([...revoked, ...others]);
    await named.replaceFilter({ configuration: configured(another) });
    await within(2_000, Promise.all(revoked.map(hasBeenTold)));
    await sleep(1_200);
    stop();
    await assertOpen(others);
    hangUp(others);
  });

  test('of the same name and another port does, too; there a session ends once the new plugin has had a request', async () => {
    const different = configured(held, { prices: { '*': { input_text: 7 } } });
    await unnamed.replaceFilter({ others: { elsewhere: { ...elsewhere, configuration: different } } });
    const port = await portOf(unnamed);
    const [revoked, others] = [await onEachWorker(unnamed), await onEachWorker(unnamed, {}, port)];
    const stop = talking([...revoked, ...others]);
    await unnamed.replaceFilter({
      configuration: configured(another),
      others: { elsewhere: { ...elsewhere, configuration: different } },
    });
    await sleep(1_500);
    await assertOpen([...revoked, ...others]);
    for (let worker = 0; worker < workers; worker += 1) {
      assert.equal(await knock(unnamed, tokens.web, { socket: await connectionOn(unnamed, worker) }), 401);
    }
    await within(2_000, Promise.all(revoked.map(hasBeenTold)));
    await sleep(1_200);
    stop();
    await assertOpen(others);
    hangUp(others);
  });
});
