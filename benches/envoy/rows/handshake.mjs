// What it costs in place: a page's WebSocket handshake, from a new connection to the upstream's 101.
import { cluster, route } from '../../../tests/e2e/harness/index.mjs';
import { compared, contenders } from '../measure/comparison.mjs';
import { WebSocketServer } from '../measure/dependencies.mjs';
import { startVariants } from '../measure/envoy.mjs';
import { handshakeLoad } from '../measure/load.mjs';
import { cpuPerRequest } from '../measure/rounds.mjs';
import { assertExchanging } from '../measure/same_job.mjs';

export const title = 'A WebSocket handshake with an upstream, connections included';

export async function measure({ old }) {
  const upstream = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => upstream.once('listening', resolve));
  try {
    return await against(upstream, contenders({ old }));
  } finally {
    for (const socket of upstream.clients) socket.terminate();
    await new Promise((resolve) => upstream.close(resolve));
  }
}

async function against(upstream, filters) {
  const { envoy, variants } = await startVariants(filters, {
    routes: [route({})],
    clusters: [cluster('upstream', upstream.address().port)],
  });
  try {
    await assertExchanging(variants, upstream);
    const load = (port) => handshakeLoad(port, 200);
    return compared('handshake', await cpuPerRequest(envoy.pid, variants, load, { rounds: 31, warmUps: 5 }), {
      native_vs_none: 1.06,
    });
  } finally {
    await envoy.stop();
  }
}
