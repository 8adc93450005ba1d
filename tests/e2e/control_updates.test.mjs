// Sessions that outlive the configuration they began under: they stay listed, counted and stoppable.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { basicConfiguration, basicEnv, delayMs, sha256, tokens, upgradeRequest, useGateway } from './harness/index.mjs';
import { control, operator } from './harness/control.mjs';
import { assertEnded, openSession, prices, useSocketUpstream } from './harness/sessions.mjs';
import { opcodes } from './harness/websocket.mjs';
import { connectionOn } from './harness/workers.mjs';

const workers = 2;
const limited = (sessions, changes = {}) =>
  basicConfiguration({
    prices,
    control,
    callers: { 'web-app': { tokens: [{ sha256: sha256(tokens.web) }], limits: { concurrent_sessions: sessions } } },
    ...changes,
  });

const upstream = useSocketUpstream();
const options = () => ({
  dynamic: true,
  concurrency: workers,
  upstreams: { upstream: upstream.port },
  env: basicEnv,
  configuration: limited(workers),
});
const updated = useGateway(options);
const brief = useGateway(() => ({ ...options(), drainSeconds: 3 }));
const drained = useGateway(options);

/** One session on each worker. */
async function onEachWorker(gateway) {
  const sessions = [];
  for (let worker = 0; worker < workers; worker += 1) {
    sessions.push(await openSession({ gateway, upstream }, {}, { socket: await connectionOn(gateway, worker) }));
  }
  return sessions;
}

const keepTalking = (sessions) => {
  const talking = setInterval(() => sessions.forEach((one) => one.upstream.send(opcodes.ping, '')), 50);
  return () => clearInterval(talking);
};

async function knock(gateway) {
  const answer = await gateway.send(upgradeRequest({ headers: [['authorization', `Bearer ${tokens.web}`]] }));
  answer.socket?.destroy();
  return answer.status === 101 ? 'admitted' : answer.json().error.code;
}

describe('a new configuration', () => {
  test('finds, counts and stops the sessions of the one before', async () => {
    const { sessions, listed, stopAll, closed } = operator(updated);
    const olds = await onEachWorker(updated);
    const old = (await listed(workers)).map(({ id }) => id);
    assert.equal(await updated.replaceListeners({ configuration: limited(workers + 1) }), 'accepted');
    assert.equal(await updated.currentPort(), updated.port);
    assert.deepEqual((await listed(workers, '?status=open')).map(({ id }) => id), old);
    const young = await openSession({ gateway: updated, upstream });
    assert.equal(await knock(updated), 'session_limit_exceeded');
    assert.equal((await sessions('?status=open')).length, workers + 1);
    const all = [...olds, young];
    const stopTalking = keepTalking(all);
    const started = Date.now();
    assert.equal((await stopAll('?caller=web-app')).length, workers + 1);
    await Promise.all(all.map(({ client }) => assertEnded(client, 4410, 'session_stopped')));
    assert.ok(Date.now() - started < 2_000 + delayMs, `it took ${Date.now() - started} ms`);
    stopTalking();
    for (const id of old) assert.equal((await closed(id)).close.code, 4410);
    assert.equal(await knock(updated), 'admitted');
  });

  test('may have another token and path: the one before is good no more', async () => {
    const [{ client }] = await onEachWorker(updated);
    const moved = { path: '/elsewhere/control', token: { sha256: sha256('gt-operator-of-tomorrow') } };
    assert.equal(await updated.replaceListeners({ configuration: limited(9, { control: moved }) }), 'accepted');
    const ask = (target, token) =>
      updated.send({ method: 'GET', target, headers: [['host', 'x'], ['authorization', `Bearer ${token}`]] });
    assert.equal((await operator(updated).ask('GET', '/sessions')).json().error.code, 'invalid_gateway_token');
    const answer = await ask('/elsewhere/control/sessions?status=open', 'gt-operator-of-tomorrow');
    assert.equal(answer.json().data.length, workers);
    client.destroy();
  });

  test('ends the sessions of the one before when they have drained: they are closed, and their places free', async () => {
    const { listed, closed } = operator(brief);
    const olds = await onEachWorker(brief);
    const stopTalking = keepTalking(olds);
    const old = await listed(workers, '?status=open');
    const policies = { default: { provider: 'openai', session: { max_tokens: 5 } } };
    assert.equal(await brief.replaceListeners({ configuration: limited(workers, { policies }) }), 'accepted');
    assert.equal(await knock(brief), 'session_limit_exceeded');
    await Promise.all(olds.map(({ client }) => client.ended()));
    stopTalking();
    for (const { id } of old) assert.equal((await closed(id)).close.reason, 'downstream_local_disconnect');
    // What ticks from now on is the new plugin alone.
    await sleep(2_000);
    const young = await onEachWorker(brief);
    assert.equal(await knock(brief), 'session_limit_exceeded');
    await operator(brief).stopAll('?caller=web-app');
    await Promise.all(young.map(({ client }) => client.ended()));
    await listed(0, '?status=open');
  });
});

test('an Envoy that drains goes on listing and stopping', async () => {
  const { listed, stopAll } = operator(drained);
  const sessions = await onEachWorker(drained);
  const drain = await drained.envoy.admin('/drain_listeners?graceful&skip_exit', { method: 'POST' });
  assert.equal(drain.status, 200);
  const stopTalking = keepTalking(sessions);
  await listed(workers, '?status=open');
  assert.equal((await stopAll('?caller=web-app')).length, workers);
  await Promise.all(sessions.map(({ client }) => assertEnded(client, 4410, 'session_stopped')));
  stopTalking();
  await listed(workers, '?status=closed');
});
