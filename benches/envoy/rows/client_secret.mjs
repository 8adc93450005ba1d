// What opening a sealed client secret costs: the same handshake, once with a gateway token and once with a secret, in
// the same slot. What Envoy itself spends is taken off, so that the two checks are compared and not the connections.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cluster, route, wasmFilter } from '../../../tests/e2e/harness/index.mjs';
import { newSealingKey, seal } from '../../../tests/e2e/harness/sealing.mjs';
import { round } from '../measure/comparison.mjs';
import { WebSocketServer } from '../measure/dependencies.mjs';
import { configuration, startVariants, token } from '../measure/envoy.mjs';
import { handshakeLoad } from '../measure/load.mjs';
import { cpuPerRequest } from '../measure/rounds.mjs';
import { median } from '../measure/statistics.mjs';

export const title = 'A WebSocket handshake with a sealed client secret, beside one with a gateway token';

const sealingKey = newSealingKey();
const upstreamSecret = `ek_${randomBytes(16).toString('hex')}`;

/** All that a backend may say is in it. */
const clientSecret = seal(
  {
    caller: 'web-app',
    provider: 'openai',
    policy: 'default',
    issued_at: Math.floor(Date.now() / 1000),
    expires_at: Math.floor(Date.now() / 1000) + 3600,
    model: 'gpt-realtime',
    user: 'u_0123456789abcdef',
    max_duration_ms: 300_000,
    max_tokens: 20_000,
    max_cost_micro_usd: 1_000_000,
    upstream: upstreamSecret,
  },
  sealingKey,
);

const offers = {
  'no filter': ['realtime'],
  'gateway token': ['realtime', `openai-insecure-api-key.${token}`],
  'client secret': ['realtime', `openai-insecure-api-key.${clientSecret}`],
};

export async function measure() {
  const upstream = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => upstream.once('listening', resolve));
  try {
    return await against(upstream);
  } finally {
    for (const socket of upstream.clients) socket.terminate();
    await new Promise((resolve) => upstream.close(resolve));
  }
}

async function against(upstream) {
  const filter = wasmFilter({
    configuration: {
      ...configuration(),
      client_secrets: { mode: 'sealed', sealing_keys: [{ value: sealingKey }], max_ttl: '1h' },
    },
    hostEnvKeys: ['OPENAI_API_KEY'],
    vmId: 'client_secret',
  });
  const { envoy, variants } = await startVariants(
    { 'no filter': null, 'gateway token': filter, 'client secret': filter },
    { routes: [route({})], clusters: [cluster('upstream', upstream.address().port)] },
  );
  try {
    await assertOpened(variants, upstream);
    const load = (port, name) => handshakeLoad(port, 200, offers[name]);
    return compared(await cpuPerRequest(envoy.pid, variants, load, { rounds: 31 }));
  } finally {
    await envoy.stop();
  }
}

/** The secret is opened: what it holds goes on to the upstream. */
async function assertOpened(variants, upstream) {
  const { port } = variants.find(({ name }) => name === 'client secret');
  const arrival = new Promise((resolve) => upstream.once('connection', (_, request) => resolve(request.headers)));
  await handshakeLoad(port, 1, offers['client secret']);
  assert.equal((await arrival).authorization, `Bearer ${upstreamSecret}`);
}

function compared(results) {
  const medians = Object.fromEntries(Object.entries(results).map(([name, values]) => [name, median(values)]));
  const own = (name) => median(results[name].map((value, index) => value - results['no filter'][index]));
  const ratio = own('client secret') / own('gateway token');
  return {
    says: Object.entries(medians)
      .map(([name, value]) => `${name} ${value.toFixed(1)} µs`)
      .join(' · '),
    rows: [{ name: 'secret_cpu_vs_token', value: round(ratio), unit: 'ratio', aim: '<= 2.0', holds: ratio <= 2 }],
  };
}
