// A tap in front of the upstream: passes everything on, byte for byte, and keeps the head of what comes first.
import net from 'node:net';

/**
 * Starts the tap in front of `port`. `heads()` lists what has arrived, in order: `{ line, headers: [[name, value]…] }`,
 * of each connection the first request, which is the only one where a WebSocket follows.
 */
export async function startTap(port) {
  const heads = [];
  const sockets = new Set();
  const server = net.createServer((incoming) => {
    const outgoing = net.connect(port, '127.0.0.1');
    let received = Buffer.alloc(0);
    const read = (chunk) => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf('\r\n\r\n');
      if (end < 0) return;
      incoming.off('data', read);
      heads.push(parseHead(received.subarray(0, end).toString('latin1')));
    };
    incoming.on('data', read);
    for (const [one, other] of [[incoming, outgoing], [outgoing, incoming]]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    heads: () => [...heads],
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function parseHead(text) {
  const [line, ...headers] = text.split('\r\n');
  return {
    line,
    headers: headers.map((header) => {
      const colon = header.indexOf(':');
      return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()];
    }),
  };
}
