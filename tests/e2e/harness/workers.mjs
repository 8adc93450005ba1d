// Envoy's workers. Linux spreads connections over them as it likes; this finds out which has got one.
import { once } from 'node:events';
import net from 'node:net';
import { until } from './wait.mjs';

/** How many connections each worker has taken so far, by its number. */
export async function connectionsByWorker({ envoy }) {
  const text = await (await envoy.admin('/stats?filter=worker_\\d%2B\\.downstream_cx_total')).text();
  const counts = [];
  for (const [, worker, count] of text.matchAll(/worker_(\d+)\.downstream_cx_total: (\d+)/g)) {
    counts[worker] = (counts[worker] ?? 0) + Number(count);
  }
  return counts;
}

/** A connection that the worker of this number has taken. Nothing else may connect meanwhile. */
export function connectionOn(gateway, worker, port = gateway.port) {
  return until(`a connection on worker ${worker}`, async () => {
    const before = await connectionsByWorker(gateway);
    const socket = net.connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    const taken = await until('the connection to be taken', async () => {
      const counts = await connectionsByWorker(gateway);
      const at = counts.findIndex((count, index) => count > before[index]);
      return at >= 0 && { at };
    });
    if (taken.at === worker) return socket;
    socket.destroy();
    return null;
  });
}
