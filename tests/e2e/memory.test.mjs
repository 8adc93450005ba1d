// What many clients make one worker hold at the same time: beyond its memory account new work is refused, ten good sessions
// notice nothing, and everything is given back.
import assert from 'node:assert/strict';
import http from 'node:http';
import test, { afterEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { useFor } from './harness/hooks.mjs';
import { openHttp2 } from './harness/http2_frames.mjs';
import { assertDenial, authorized, chatRequest, restRequest, route, until } from './harness/index.mjs';
import { mintEnv, mintPaths } from './harness/minting.mjs';
import { assertEnded, sessionCreated, useSessions } from './harness/sessions.mjs';
import { frame, opcodes, textMessages } from './harness/websocket.mjs';

const mebibyte = 1 << 20;
/** What the streams of one worker may hold, and what of that is for new work. */
const limit = 64 * mebibyte;
const forNewWork = (limit * 3) / 4;
const streamsOfConnection = 100;
const sessions = 10;

const scripted = useFor(startScripted);
const { gateway, open } = useSessions({
  logLevel: 'warning',
  concurrency: 1,
  env: mintEnv,
  upstreams: () => ({ scripted: scripted.port }),
  routes: [
    ...[mintPaths.current, '/v1/responses', '/v1/chat/completions'].map((prefix) => route({ prefix, cluster: 'scripted' })),
    route({ name: 'ruled', prefix: '/ruled' }),
    route({}),
  ],
  changes: {
    client_secrets: { mode: 'sealed', sealing_keys: [{ env: 'REALTIME_SEALING_KEY' }] },
    policies: {
      default: { provider: 'openai', lock: ['instructions'] },
      ruled: { provider: 'openai', models: ['gpt*'] },
    },
  },
});

const held = () => gateway.envoy.stat('wasmcustom.realtime_byok.memory_bytes');
const overloaded = () => gateway.envoy.stat('wasmcustom.realtime_byok.code=.=overloaded;.;rejected_total');
const active = () => gateway.envoy.stat('http.http.downstream_rq_active');

/** Ten sessions that talk ten times a second, until `stop`; then none may have ended, or have missed anything. */
async function talk() {
  const all = await Promise.all(Array.from({ length: sessions }, () => open()));
  let rounds = 0;
  const delta = JSON.stringify({ delta: 'A'.repeat(20_000), type: 'response.output_audio.delta' });
  const said = JSON.stringify({ type: 'session.update', session: { voice: 'ash', tools: 'x'.repeat(900) } });
  const timer = setInterval(() => {
    rounds += 1;
    for (const { client, upstream } of all) {
      upstream.write(frame(opcodes.text, delta));
      client.write(frame(opcodes.text, said, { mask: true }));
    }
  }, 100);
  return {
    async stop() {
      clearInterval(timer);
      for (const { client, upstream } of all) {
        upstream.sendEvent(sessionCreated());
        const got = (peer) => textMessages(peer.frames()).length;
        await until('all events to arrive', () => got(client) === rounds + 1 && got(upstream) === rounds, {
          timeoutMs: 20_000,
        });
        assert.equal(client.hasEnded(), false);
      }
      assert.ok(rounds > 10, `${rounds} rounds`);
      for (const { client } of all) client.destroy();
    },
  };
}

afterEach(async () => {
  await until('the memory to be given back', async () => (await held()) === 0, { timeoutMs: 30_000 });
  const answer = await gateway.send(chatRequest({ headers: authorized }));
  assert.equal(answer.status, 200);
  const log = gateway.envoy.log();
  assert.doesNotMatch(log, /Uncaught RuntimeError|Function: proxy_on|Proxy-Wasm plugin in-VM backtrace|panicked at/);
  const { stats } = await (await gateway.envoy.admin('/stats?format=json&filter=vm_reload')).json();
  for (const { name, value } of stats) assert.equal(value, 0, name);
});

test('many requests whose bodies never begin, where none has ever come', { timeout: 60_000 }, async () => {
  const session = await talk();
  const rejected = () => gateway.envoy.stat('wasmcustom.realtime_byok.code=.=body_unavailable;.;rejected_total');
  const connections = await Promise.all(Array.from({ length: 8 }, () => openHttp2(gateway.port)));
  for (const connection of connections) {
    for (let stream = 0; stream < 100; stream += 1) connection.request(head('/ruled/v1/responses'));
  }
  await until('many to be answered', async () => (await rejected()) > 200, { timeoutMs: 30_000 });
  await session.stop();
  for (const connection of connections) connection.destroy();
});

test('25,000 requests with 51 KB of headers that wait for their bodies', { timeout: 120_000 }, async () => {
  // A body comes, and from then on others may take their time.
  await gateway.send(restRequest({ target: '/ruled/v1/responses', headers: authorized, json: { model: 'gpt-5' } }));
  const session = await talk();
  const before = await overloaded();
  const connections = [];
  for (let count = 0; count < 25_000; count += streamsOfConnection) {
    const connection = await openHttp2(gateway.port);
    connections.push(connection);
    for (let stream = 0; stream < streamsOfConnection; stream += 1) {
      connection.request(head('/ruled/v1/chat/completions'), { paddings: 13 });
    }
    await sleep(1);
  }
  const refused = await until('all to be held or refused', async () => {
    const count = (await overloaded()) - before;
    return count + (await active()) - sessions === 25_000 ? count : null;
  }, { timeoutMs: 60_000, intervalMs: 200 });
  assert.ok(refused > 23_500, `${refused} are refused`);
  const bytes = await held();
  assert.ok(bytes > forNewWork - 100_000 && bytes < limit, `${bytes} bytes are held`);
  const padding = ['x-padding', 'x'.repeat(54_000)];
  const request = restRequest({ target: '/ruled/v1/responses', headers: [...authorized, padding], json: { model: 'gpt-5' } });
  const answer = await gateway.send(request);
  assertDenial(answer, 'overloaded');
  assert.deepEqual(answer.headerAll('retry-after'), ['1']);
  await session.stop();
  for (const connection of connections) connection.destroy();
});

test('2,000 streams that take nothing of their answers of 1 MB', { timeout: 120_000 }, async () => {
  const session = await talk();
  const connections = [];
  for (let count = 0; count < 2_000; count += streamsOfConnection) {
    const connection = await openHttp2(gateway.port, { window: 0 });
    connections.push(connection);
    for (let stream = 0; stream < streamsOfConnection; stream += 1) {
      const [path, body] = [
        ['/v1/chat/completions', '{"model":"gpt-5","stream":true}'],
        ['/v1/responses', '{"model":"gpt-5"}'],
      ][stream % 2];
      connection.request([...head(path), ['x-long', '1']], { body });
    }
  }
  await until('all to be answered', () => scripted.long() === 2_000, { timeoutMs: 60_000 });
  await sleep(3_000);
  assert.ok((await held()) < limit);
  await session.stop();
  for (const connection of connections) connection.destroy();
});

test('answers that are gathered, and then a message that needs more', { timeout: 60_000 }, async () => {
  const session = await talk();
  const writers = await Promise.all(Array.from({ length: 8 }, () => open()));
  const connections = await Promise.all(Array.from({ length: 4 }, () => openHttp2(gateway.port)));
  for (const connection of connections) {
    for (let stream = 0; stream < 80; stream += 1) connection.request(head(mintPaths.current), { body: '{}' });
  }
  const answers = await until('all to be with the upstream', () => (scripted.minting().length === 320 ? scripted.minting() : null));
  const gather = async (some, size) => {
    const before = await overloaded();
    for (const answer of some) {
      answer.write(Buffer.alloc(size, ' '));
      await sleep(2);
    }
    await sleep(1_500);
    return (await overloaded()) - before;
  };
  assert.ok((await gather(answers.slice(0, 80), mebibyte - 1)) > 10, 'the first to find no room');
  assert.ok((await gather(answers.slice(80), 6_000)) > 0, 'nor for little');
  const bytes = await held();
  assert.ok(bytes > limit - 16_000 && bytes < limit + 16_000, `${bytes} bytes are held`);
  const long = JSON.stringify({ type: 'session.update', session: { model: 'x'.repeat(2_000) } });
  const message = frame(opcodes.text, long, { mask: true });
  for (const { client } of writers) client.write(message.subarray(0, 1_900));
  await sleep(500);
  const { client, upstream } = writers.at(-1);
  upstream.sendEvent(sessionCreated());
  await assertEnded(client, 1009, 'overloaded');
  await session.stop();
  for (const { client: writer } of writers) writer.destroy();
  for (const connection of connections) connection.destroy();
});

/** The head of a request with a body. */
function head(path) {
  return [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'gateway.test'],
    ['content-type', 'application/json'],
    ...authorized,
  ];
}

/** An upstream whose answers are long where `x-long` asks for that, and never end where a client secret is asked for. */
async function startScripted() {
  const usage = '"usage":{"input_tokens":9,"output_tokens":4,"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}';
  const body = Buffer.from(`{"object":"response","output":"${'x'.repeat(mebibyte)}",${usage}}`);
  const event = `data: {"choices":[{"delta":{"content":"${'x'.repeat(10_000)}"}}]}\n\n`;
  const events = Buffer.from(`${event.repeat(100)}data: {"choices":[],${usage}}\n\ndata: [DONE]\n\n`);
  const minting = [];
  let long = 0;
  const server = http.createServer((incoming, response) => {
    incoming.resume();
    const isStream = incoming.url === '/v1/chat/completions';
    response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json' });
    if (incoming.url === mintPaths.current) {
      response.flushHeaders();
      minting.push(response);
    } else if (incoming.headers['x-long']) {
      long += 1;
      response.end(isStream ? events : body);
    } else {
      response.end('{}');
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    /** How many long answers were asked for. */
    long: () => long,
    /** The answers to mint requests, in order. */
    minting: () => minting,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
