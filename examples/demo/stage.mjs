// What every scene plays on: the gateway, the upstream behind it, the tokens, and what was seen of both sides.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, scratchDirectory, startEnvoy } from '../../tests/e2e/harness/index.mjs';
import { startOpenai } from '../../tests/e2e/harness/openai.mjs';
import { responseUsage } from '../../tests/e2e/harness/usage.mjs';
import { demoBootstrap, demoEnvironment } from './gateway.mjs';

/** What aimock answers. */
const fixtures = [
  { match: { userMessage: 'hello' }, response: { content: 'Hello! I never saw a key of yours.' } },
];

/**
 * Starts everything. `real` is `{ host, key }` for the real API, else null for aimock.
 *
 * The stage has `url` (`wss:`, at a Cloudflare-style path, as in the ticket), `baseUrl` (`https:`, for REST),
 * `controlUrl` and `metricsUrl`, the `webAppToken`, `backendToken` and `controlToken` of this run, the `providerKey`, what the `upstream` is called, and
 * `received()`: the heads of the requests that reached the upstream so far, or null where TLS hides them. `directUrl` is
 * the upstream's own, for what happens without the gateway; null where a token must not be shown to it.
 */
export async function startStage(real) {
  const parts = [];
  const stop = async () => {
    for (const part of parts.toReversed()) await part.stop();
  };
  try {
    const providerKey = real?.key ?? `sk-demo-${random()}`;
    const tokens = {
      webAppToken: `gt-web-${random()}`,
      backendToken: `gt-backend-${random()}`,
      controlToken: `gt-control-${random()}`,
    };
    const sealingKey = randomBytes(32).toString('base64');
    // aimock counts no tokens.
    const mock = real ? null : await startOpenai({ keys: [providerKey], fixtures, usage: responseUsage });
    if (mock) parts.push(mock);
    const adminPort = await freePort();
    const envoy = await startEnvoy(demoBootstrap(real ? { host: real.host } : { port: mock.port }, { adminPort }), {
      directory: scratchDirectory(),
      env: demoEnvironment({ providerKey, sealingKey, ...tokens }),
    });
    parts.push(envoy);
    const origin = `localhost:${await envoy.port('gateway')}`;
    const controlUrl = `http://127.0.0.1:${await envoy.port('control')}/realtime-byok`;
    return {
      ...tokens,
      providerKey,
      upstream: real ? real.host : 'aimock',
      url: `wss://${origin}/v1/acme/voice/openai?model=gpt-realtime`,
      baseUrl: `https://${origin}/v1`,
      controlUrl,
      metricsUrl: `http://127.0.0.1:${await envoy.port('metrics')}/stats/prometheus`,
      directUrl: mock && `ws://127.0.0.1:${mock.port}/v1/realtime?model=gpt-realtime`,
      received: () => mock?.requests().map(head) ?? null,
      /** Asks the control API: `{ status, body }`. */
      async control(method, path) {
        const headers = { authorization: `Bearer ${tokens.controlToken}` };
        const answer = await fetch(controlUrl + path, { method, headers });
        return { status: answer.status, body: await answer.json() };
      },
      /** The gateway's own account of its last request. */
      lastLogged: () => lastLogged(envoy),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What of a request its scenes show. */
function head({ method, target, headers }) {
  return { line: `${method} ${target}`, headers: headers.map(([name, value]) => [name.toLowerCase(), value]) };
}

/** The access log is written a moment after the answer. */
async function lastLogged(envoy) {
  await sleep(200);
  const entry = envoy.log().split('\n').findLast((line) => line.startsWith('{'));
  return entry === undefined ? undefined : JSON.parse(entry);
}

function random() {
  return randomBytes(12).toString('hex');
}
