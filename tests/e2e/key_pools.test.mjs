// Keys of a pool that the provider refuses: they rest, the others serve, and Envoy's own retries do not change a request's key.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { authorized, basicEnv, chatRequest, route, statisticLabel, upgradeRequest } from './harness/index.mjs';
import { useFor, useGateway } from './harness/hooks.mjs';
import { until } from './harness/wait.mjs';

const keys = { good: 'sk-good-3Vb7nMq1', dead: 'sk-dead-8Kx2wRt5', spare: 'sk-spare-5Jh9cZf4' };
const nameOf = (header) => Object.keys(keys).find((name) => header === `Bearer ${keys[name]}`);

/** A provider that takes all keys but those that are `refused`: name to what it answers, `[status, json]`. */
const provider = useFor(async () => {
  const refused = new Map();
  const seen = [];
  const server = http.createServer((request, response) => {
    const name = nameOf(request.headers.authorization);
    seen.push(name);
    const [status, body] = refused.get(name) ?? [200, { object: 'list', data: [] }];
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.on('upgrade', (request, socket) => {
    const name = nameOf(request.headers.authorization);
    seen.push(name);
    const [status] = refused.get(name) ?? [101];
    const lines = status === 101
      ? ['HTTP/1.1 101 Switching Protocols', 'upgrade: websocket', 'connection: upgrade', 'sec-websocket-accept: x']
      : [`HTTP/1.1 ${status} Refused`, 'content-length: 0'];
    socket.on('error', () => {});
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (status !== 101) socket.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    refused,
    /** What has come since the last time. */
    taken: () => seen.splice(0),
    stop: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
});

const pool = Object.keys(keys).map((name) => ({ name, key: { value: keys[name] } }));
const configuration = (changes = {}) => ({
  providers: { openai: { kind: 'openai', keys: pool, cool_down: '1s', ...changes } },
  callers: { 'web-app': { tokens: [{ env: 'TOKEN' }] } },
  policies: { default: { provider: 'openai' } },
});
const retried = route({ prefix: '/v1/retried', rewrite: '/v1' });
retried.route.retry_policy = {
  retry_on: 'retriable-status-codes',
  num_retries: 3,
  retriable_status_codes: [401, 403, 429],
};
const gateway = useGateway(() => ({
  env: { ...basicEnv, TOKEN: authorized[0][1] },
  configuration: configuration(),
  upstreams: { upstream: provider.port },
  discovered: true,
  routes: [retried, route({})],
}));

const get = (target = '/v1/models') => gateway.send({ method: 'GET', target, headers: [['host', 'gateway.test'], ...authorized] });
const logged = (text) => gateway.envoy.log().split('\n').filter((line) => line.includes(text)).length;

/** Begins anew: all keys are taken, and none rests. */
async function anew(changes) {
  provider.refused.clear();
  await gateway.replaceFilter({ configuration: configuration({ ...changes, project: `proj_${Math.random()}`.replace('.', '') }) });
  provider.taken();
}

for (const [status, code] of [[401, 502], [403, 502], [429, 429]]) {
  test(`a key that is refused with ${status} rests, and the client notices the first refusal alone`, async () => {
    await anew({ cool_down: '10m' });
    provider.refused.set('dead', [status, { error: { message: 'no', type: 'requests', code: 'rate_limit_exceeded' } }]);
    const before = logged(`refused its key dead with ${status}`);
    const answers = [];
    for (let count = 0; count < 60; count += 1) answers.push((await get()).status);
    assert.deepEqual(answers.filter((one) => one !== 200), [code], 'one refusal');
    assert.equal(provider.taken().filter((name) => name === 'dead').length, 1);
    await until('the log line', () => logged(`refused its key dead with ${status}`) === before + 1);
    assert.ok(!gateway.envoy.log().includes(keys.dead), 'the key is in no log');
  });
}

test('so does one whose handshakes are refused', async () => {
  for (const status of [401, 429]) {
    await anew({ cool_down: '10m' });
    provider.refused.set('dead', [status, {}]);
    const answers = [];
    for (let count = 0; count < 40; count += 1) {
      const answer = await gateway.send(upgradeRequest({ headers: authorized }));
      answer.socket?.destroy();
      answers.push(answer.status);
    }
    assert.equal(answers.filter((one) => one !== 101).length, 1, `${status}: ${answers}`);
    assert.equal(provider.taken().filter((name) => name === 'dead').length, 1);
  }
});

test('a 429 that is the request\'s own fault rests no key', async () => {
  await anew({ cool_down: '10m' });
  const body = { error: { message: 'Request too large for gpt-5', type: 'tokens', code: 'rate_limit_exceeded' } };
  for (const name of Object.keys(keys)) provider.refused.set(name, [429, body]);
  for (let count = 0; count < 30; count += 1) {
    const answer = await gateway.send(chatRequest({ headers: authorized }));
    assert.equal(answer.json().error.message, body.error.message, 'the client gets the provider\'s words');
  }
  assert.deepEqual(new Set(provider.taken()), new Set(Object.keys(keys)));
});

test('the last key never rests', async () => {
  await anew({ cool_down: '10m' });
  for (const name of Object.keys(keys)) provider.refused.set(name, [401, {}]);
  for (let count = 0; count < 30; count += 1) assert.equal((await get()).status, 502);
  const [first, second, ...rest] = [...new Set(provider.taken().reverse())];
  provider.refused.delete(first);
  assert.equal((await get()).status, 200);
  assert.deepEqual(provider.taken(), [first], `the others rest: ${[second, ...rest]}`);
});

test('a key that has rested is tried again, and one that is taken again serves', async () => {
  await anew();
  provider.refused.set('dead', [401, {}]);
  await until('the key to be refused', async () => (await get()).status === 502);
  provider.refused.clear();
  provider.taken();
  await until('the key to be tried again', async () => {
    await get();
    return provider.taken().includes('dead');
  });
  await until('the log line', () => logged('takes its key dead again') > 0);
});

test('the metric has the key\'s name', async () => {
  await until('the metric', async () => {
    const { stats } = await (await gateway.envoy.admin('/stats?format=json&filter=key_rests_total')).json();
    const ofKey = stats.filter(({ name }) => name.includes(statisticLabel('key', 'dead')));
    return ofKey.reduce((sum, { value }) => sum + value, 0) >= 3;
  });
});

test('Envoy\'s own retries send the same key again: filters run once for a request', async () => {
  await anew({ cool_down: '10m' });
  provider.refused.set('dead', [401, {}]);
  const answer = await until('a refusal', async () => {
    provider.taken();
    const one = await get('/v1/retried/models');
    return one.status === 502 ? one : null;
  });
  assert.equal(answer.json().error.code, 'provider_key_rejected');
  assert.deepEqual(provider.taken(), ['dead', 'dead', 'dead', 'dead']);
});
