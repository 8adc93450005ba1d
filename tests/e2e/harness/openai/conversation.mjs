// The conversation itself is aimock's: WebSockets are handed over to it, data channels relayed.
import net from 'node:net';
import { WebSocket } from 'ws';

/** Replays a handshake to aimock with aimock's own key, and joins the two sockets. */
export function handOver({ entry, socket, head, aimock, model }) {
  const url = new URL(entry.target, 'http://upstream');
  if (model !== undefined && !url.searchParams.has('model')) url.searchParams.set('model', model);
  const lines = entry.headers.filter(([name]) => name.toLowerCase() !== 'authorization');
  const upstream = net.connect({ host: '127.0.0.1', port: aimock.port }, () => {
    upstream.write(
      [
        `GET /v1/realtime${url.search} HTTP/1.1`,
        ...lines.map(([name, value]) => `${name}: ${value}`),
        `authorization: Bearer ${aimock.key}`,
        '\r\n',
      ].join('\r\n'),
      'latin1',
    );
    upstream.write(head);
    socket.pipe(upstream).pipe(socket);
  });
  const end = () => {
    socket.destroy();
    upstream.destroy();
  };
  upstream.on('error', end).on('close', end);
  socket.on('error', end).on('close', end);
}

/** Joins a data channel with a conversation of its own. Returns a function that ends it. */
export function relay(channel, aimock, model) {
  const socket = new WebSocket(`ws://127.0.0.1:${aimock.port}/v1/realtime?model=${encodeURIComponent(model)}`, {
    headers: { authorization: `Bearer ${aimock.key}` },
  });
  const waiting = [];
  socket.on('open', () => waiting.splice(0).forEach((text) => socket.send(text)));
  socket.on('message', (data) => {
    if (channel.isOpen()) channel.sendMessage(data.toString('utf8'));
  });
  socket.on('error', () => {});
  channel.onMessage((message) => {
    const text = message.toString();
    if (socket.readyState === WebSocket.OPEN) socket.send(text);
    else waiting.push(text);
  });
  return () => socket.terminate();
}
