import { once } from 'node:events';
import { createServer } from 'node:net';

/** A port of loopback's that is free now, for what has to be told one before it listens. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
