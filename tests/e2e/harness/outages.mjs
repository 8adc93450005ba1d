// Upstreams that do not do their part.
import { once } from 'node:events';
import net from 'node:net';
import { useFor } from './hooks.mjs';

/** A port of this file that takes connections and never says anything. */
export function useSilence() {
  return useFor(async () => {
    const sockets = new Set();
    const server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket)).on('error', () => {}).resume();
    });
    await listening(server);
    return {
      port: server.address().port,
      stop: () => {
        for (const socket of sockets) socket.destroy();
        return new Promise((resolve) => server.close(resolve));
      },
    };
  });
}

/** A port of this file at which nobody listens. */
export function useNobody() {
  return useFor(async () => {
    const server = net.createServer();
    await listening(server);
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return { port };
  });
}

async function listening(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}
