// One worker that many clients make hold memory, and ten good sessions that must not notice.
import assert from 'node:assert/strict';
import http from 'node:http';
import { afterEach } from 'node:test';
import { useFor } from './hooks.mjs';
import { assertSound, authorized, chatRequest, route, statisticLabel, statisticPrefix, until } from './index.mjs';
import { mintEnv, mintPaths } from './minting.mjs';
import { sessionCreated, useSessions } from './sessions.mjs';
import { frame, opcodes, textMessages } from './websocket.mjs';

const mebibyte = 1 << 20;

/** What the streams of one worker may hold. */
export const limit = 64 * mebibyte;

/** How many sessions talk. */
export const sessions = 10;

/**
 * A gateway of one worker for this file. After each test all memory must have been given back, a new request must work,
 * and the filter must not have failed.
 */
export function useMemory() {
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

  const held = () => gateway.envoy.stat(`${statisticPrefix}memory_bytes`);

  /** How many requests were refused with this code, whoever sent them. */
  async function rejected(code) {
    const { stats } = await (await gateway.envoy.admin('/stats?format=json&filter=rejected_total')).json();
    const refused = stats.filter(({ name }) => name.includes(statisticLabel('code', code)));
    return refused.reduce((sum, { value }) => sum + value, 0);
  }

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
    }, 100).unref();
    return {
      async stop() {
        clearInterval(timer);
        for (const { client, upstream } of all) {
          upstream.sendEvent(sessionCreated());
          const got = (peer) => textMessages(peer.frames()).length;
          await until('all events to arrive', () => got(client) === rounds + 1 && got(upstream) === rounds, {
            timeoutMs: 90_000,
          });
          assert.equal(client.hasEnded(), false);
        }
        assert.ok(rounds > 10, `${rounds} rounds`);
        for (const { client } of all) client.destroy();
      },
    };
  }

  afterEach(async () => {
    await until('the memory to be given back', async () => (await held()) === 0, { timeoutMs: 90_000 });
    const answer = await gateway.send(chatRequest({ headers: authorized }));
    assert.equal(answer.status, 200);
    await assertSound(gateway.envoy);
  });

  return {
    gateway,
    open,
    scripted,
    rejected,
    talk,
    /** How many bytes all streams hold. */
    held,
    /** How many requests are under way, those of sessions among them. */
    active: () => gateway.envoy.stat('http.http.downstream_rq_active'),
  };
}

/** The head of a request with a body. */
export function head(path) {
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
  await new Promise((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve));
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
