// The control API over several workers, listeners and configurations: whichever of them runs a session, it is found.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { delayMs, onlyIn, sha256, until, upgradeRequest } from './harness/index.mjs';
import { control, controlToken, operator } from './harness/control.mjs';
import { assertNowhere, mintConfiguration, mintEnv } from './harness/minting.mjs';
import { assertEnded, responseDone, useSessions } from './harness/sessions.mjs';
import { opcodes } from './harness/websocket.mjs';
import { connectionOn } from './harness/workers.mjs';

const workers = 3;
const tokenOf = (caller) => `gt-of-${caller}-6Ty2`;
const named = (callers) =>
  Object.fromEntries(
    Object.entries(callers).map(([name, limits]) => [name, { tokens: [{ sha256: sha256(tokenOf(name)) }], limits }]),
  );

/** One session on each worker: `[{ client, upstream, … }…]`. */
async function onEachWorker({ gateway, open }, caller, port = gateway.port) {
  const sessions = [];
  for (let worker = 0; worker < workers; worker += 1) {
    sessions.push(await open({ token: tokenOf(caller) }, { socket: await connectionOn(gateway, worker, port) }));
  }
  return sessions;
}

/** Asserts that the clients are told to stop, and that soon. */
async function allTold(sessions) {
  const started = Date.now();
  const talking = setInterval(() => {
    for (const { upstream } of sessions) upstream.send(opcodes.ping, '');
  }, 50);
  const told = sessions.map(({ client }) => assertEnded(client, 4410, 'session_stopped'));
  await Promise.all(told).finally(() => clearInterval(talking));
  assert.ok(Date.now() - started < 2_000 + delayMs, `it took ${Date.now() - started} ms`);
}

const idsOf = (records) => records.map(({ id }) => id).sort();

const rig = useSessions({
  concurrency: workers,
  changes: { control, callers: named({ found: {}, stopped: {}, all: {}, many: {} }) },
});

const configuration = mintConfiguration({ callers: named({ public: { concurrent_sessions: workers } }) });
const controlled = { configuration: { ...configuration, control } };
/** A public listener without `control`, and internal ones that have it and differ in their VM. */
const split = (others) => useSessions({ concurrency: workers, env: mintEnv, configuration, others });
const internal = split({ internal: controlled });
const apart = split({
  internal: { ...controlled, hostEnvKeys: [...Object.keys(mintEnv), 'HOME'] },
  elsewhere: { ...controlled, vmId: 'another' },
});

describe('over the workers of one listener', () => {
  const { gateway, open } = rig;
  /** An operator whose next request goes to this worker. */
  const at = async (worker) => operator(gateway, { socket: await connectionOn(gateway, worker) });

  test('each worker lists the sessions of all, as they are now', async () => {
    const sessions = await onEachWorker(rig, 'found');
    sessions.forEach(({ upstream }, index) => {
      for (let count = 0; count <= index; count += 1) upstream.sendEvent(responseDone(`resp_${count}`));
    });
    const list = (worker) => at(worker).then((asked) => asked.sessions('?caller=found'));
    for (let worker = 0; worker < workers; worker += 1) {
      const records = await until('the usage of all', async () => {
        const records = await list(worker);
        return records.reduce((sum, { usage }) => sum + usage.responses, 0) === 6 && records;
      });
      assert.equal(records.length, workers);
      for (const { id } of records) assert.equal((await (await at(worker)).session(id))[0], 200);
    }
    for (const { client } of sessions) client.destroy();
    for (let worker = 0; worker < workers; worker += 1) {
      await until('all to be closed', async () => (await list(worker)).every(({ status }) => status === 'closed'));
    }
  });

  test('each worker stops a session of any', async () => {
    for (let asked = 0; asked < workers; asked += 1) {
      const sessions = await onEachWorker(rig, 'stopped');
      const records = await (await at(asked)).sessions('?caller=stopped&status=open');
      assert.equal(records.length, workers);
      for (const { id } of records) {
        const [status, record] = await (await at(asked)).stop(id);
        assert.deepEqual([status, record.status], [202, 'stopping']);
      }
      await allTold(sessions);
      for (const { id } of records) {
        assert.deepEqual((await operator(gateway).closed(id)).close, {
          by: 'gateway', code: 4410, reason: 'session_stopped',
        });
      }
    }
  });

  test("all of a caller's are stopped at once, at whatever worker", async () => {
    const sessions = await onEachWorker(rig, 'all');
    const stopped = await (await at(1)).stopAll('?caller=all');
    assert.equal(stopped.length, workers);
    await allTold(sessions);
    await operator(gateway).listed(workers, '?caller=all&status=closed');
  });

  test('the last 1,000 that have ended are listed, and no more', async () => {
    const { sessions, listed } = operator(gateway);
    const [running] = await onEachWorker(rig, 'found');
    const before = await sessions('?status=closed');
    const left = Array.from({ length: 1_050 }, (_, index) => index);
    const visitor = async () => {
      while (left.pop() !== undefined) {
        const { client } = await open({ token: tokenOf('many') });
        client.destroy();
      }
    };
    await Promise.all(Array.from({ length: 10 }, visitor));
    await until('the last to be over', async () => (await sessions('?caller=many&status=open')).length === 0);
    const ended = await listed(1_000, '?status=closed');
    assert.ok(ended.every(({ caller }) => caller === 'many'), 'the oldest are gone');
    const gone = before.map(({ id }) => id).find((id) => !ended.some((record) => record.id === id));
    assert.equal((await operator(gateway).ask('GET', `/sessions/${gone}`)).status, 404);
    assert.equal((await sessions('?caller=found&status=open')).length, workers, 'what runs is listed beside them');
    running.client.destroy();
    await listed(1_000, '?status=closed');
    const [newest] = (await sessions('?status=closed')).filter(({ caller }) => caller === 'found');
    assert.ok(newest, 'one more has ended, and is among them');
  });
});

describe('an internal listener', () => {
  const setups = { 'in the same VM': internal, 'in a VM of its own of the same `vm_id`': apart };
  for (const [name, setup] of Object.entries(setups)) {
    const { gateway } = setup;
    test(`${name} controls the sessions of the public one, which knows of no control`, async () => {
      const sessions = await onEachWorker(setup, 'public');
      const { listed, stopAll, usage } = operator(gateway, { to: 'internal' });
      const records = await listed(workers, '?caller=public');
      assert.ok(records.every(({ status }) => status === 'open'));
      await until('the sessions to be counted', async () => {
        const { sessions: count } = (await usage()).find(({ caller }) => caller === 'public');
        return count === workers;
      });
      const refused = await operator(gateway).ask('GET', '/sessions');
      assert.equal(refused.json().error.code, 'invalid_gateway_token');
      assert.deepEqual(idsOf(await stopAll('?caller=public')), idsOf(records));
      await allTold(sessions);
      await listed(workers, '?caller=public&status=closed');
    });

    test(`${name} counts with the public one what a caller may`, async () => {
      const sessions = await onEachWorker(setup, 'public');
      const headers = [['authorization', `Bearer ${tokenOf('public')}`]];
      const answer = await gateway.send(upgradeRequest({ headers }), { to: 'internal' });
      assert.equal(answer.json().error.code, 'session_limit_exceeded');
      for (const { client } of sessions) client.destroy();
      await operator(gateway, { to: 'internal' }).listed(0, '?status=open');
    });
  }

  onlyIn('wasm', test)('of another `vm_id` sees and counts nothing of them', async () => {
    const { gateway } = apart;
    const sessions = await onEachWorker(apart, 'public');
    await operator(gateway, { to: 'internal' }).listed(workers, '?status=open');
    assert.deepEqual(await operator(gateway, { to: 'elsewhere' }).sessions(), []);
    const { client } = await apart.open({ token: tokenOf('public') }, { to: 'elsewhere' });
    for (const one of [client, ...sessions.map((session) => session.client)]) one.destroy();
  });

  test('shows its token nowhere', () => assertNowhere(internal.gateway, [controlToken]));
});
