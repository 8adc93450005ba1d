// What it costs in place: a page's WebSocket handshake, from a new connection to the upstream's 101.
import { cluster, route } from '../../tests/e2e/harness/index.mjs';
import { compared, contenders } from '../measure/comparison.mjs';
import { WebSocketServer } from '../measure/dependencies.mjs';
import { startVariants } from '../measure/envoy.mjs';
import { handshakeLoad } from '../measure/load.mjs';
import { cpuPerRequest } from '../measure/rounds.mjs';

export const title = 'A WebSocket handshake with an upstream, connections included';

export async function measure() {
  const upstream = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => upstream.once('listening', resolve));
  try {
    return await against(upstream.address().port);
  } finally {
    for (const socket of upstream.clients) socket.terminate();
    await new Promise((resolve) => upstream.close(resolve));
  }
}

async function against(upstreamPort) {
  const { envoy, variants } = await startVariants(contenders(), {
    routes: [route({})],
    clusters: [cluster('upstream', upstreamPort)],
  });
  try {
    return compared('upgrade', await cpuPerRequest(envoy.pid, variants, (port) => handshakeLoad(port, 200), { rounds: 31 }));
  } finally {
    await envoy.stop();
  }
}
