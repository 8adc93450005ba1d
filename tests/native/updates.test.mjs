// Configurations that come while sessions run and requests are under way: none is cut, and each ends with its last stream.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useGateway } from '../e2e/harness/hooks.mjs';
import {
  assertSound, authorized, basicConfiguration, basicEnv, chatRequest, statisticPrefix, until,
} from '../e2e/harness/index.mjs';
import { openSession, useSocketUpstream } from '../e2e/harness/sessions.mjs';

const updates = 20;
const sockets = useSocketUpstream({ answer: (_, response) => response.end('{}') });
const configured = (count) =>
  basicConfiguration({ callers: { ...basicConfiguration().callers, [`new-${count}`]: { tokens: [{ env: 'OTHER_TOKEN' }] }, other: undefined } });
const gateway = useGateway(() => ({
  upstreams: { upstream: sockets.port },
  env: basicEnv,
  configuration: configured(0),
  discovered: true,
  concurrency: 2,
  logLevel: 'info',
  componentLogLevel: 'dynamic_modules:debug',
}));
const ended = () => gateway.envoy.log().split('realtime_byok: a configuration ends').length - 1;

test('an update under load loses nothing, and frees what it replaces with the last stream of that', async () => {
  const sessions = await Promise.all(
    Array.from({ length: 8 }, () => openSession({ gateway, upstream: sockets }, { target: '/v1/realtime?model=gpt-realtime' })),
  );
  let isDone = false;
  const statuses = [];
  const load = Array.from({ length: 8 }, async () => {
    while (!isDone) statuses.push((await gateway.send(chatRequest({ headers: authorized }))).status);
  });
  for (let count = 1; count <= updates; count += 1) {
    const before = statuses.length;
    await gateway.replaceFilter({ configuration: configured(count) });
    await until('requests under it', () => statuses.length > before + 8);
  }
  isDone = true;
  await Promise.all(load);
  assert.deepEqual([...new Set(statuses)], [200]);
  // The first has sessions, and the last is in force.
  await until('all others to end', () => ended() === updates - 1);

  for (const [at, { client, upstream }] of sessions.entries()) {
    upstream.sendEvent({ type: 'still.there', at });
    await until('what is said', () => client.events().some((event) => event.at === at));
  }
  const active = `${statisticPrefix}sessions_active.policy.default.kind.websocket`;
  await until('the sessions to be counted', async () => (await gateway.envoy.stat(active)) === sessions.length);
  assert.equal(ended(), updates - 1);
  for (const { client } of sessions) client.destroy();
  await until('the first to end', () => ended() === updates);
  await until('no session to be counted', async () => (await gateway.envoy.stat(active)) === 0);
  await assertSound(gateway.envoy);
});
