// Conversations are aimock's: WebSockets are handed over to it, data channels relayed, other requests passed on.
import http from 'node:http';
import net from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';

const server = new WebSocketServer({ noServer: true, handleProtocols: (offered) => offered.values().next().value });

/**
 * As `handOver`, message by message: what aimock says of a response's `usage`, which is nothing, is replaced by this.
 */
export function interpret({ incoming, entry, socket, head, aimock, usage }) {
  const { search } = new URL(entry.target, 'http://upstream');
  server.handleUpgrade(incoming, socket, head, (client) => {
    const upstream = new WebSocket(`ws://127.0.0.1:${aimock.port}/v1/realtime${search}`, {
      headers: { authorization: `Bearer ${aimock.key}` },
    });
    const up = queued((text) => upstream.send(text), false);
    client.on('message', (data) => up.send(data.toString())).on('close', () => upstream.close());
    upstream.on('open', up.open).on('error', () => client.terminate()).on('close', () => client.close());
    upstream.on('message', (data) => {
      const event = JSON.parse(data);
      if (event.type === 'response.done') event.response.usage = usage;
      client.send(JSON.stringify(event));
    });
  });
}

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

/** Sends a request on to aimock with aimock's own key, and its answer back. */
export function passOn({ entry, response, aimock }) {
  const own = ['authorization', 'content-length', 'transfer-encoding', 'connection', 'host'];
  const lines = entry.headers.filter(([name]) => !own.includes(name.toLowerCase()));
  const headers = {
    ...Object.fromEntries(lines),
    authorization: `Bearer ${aimock.key}`,
    'content-length': entry.body.length,
  };
  const onward = { host: '127.0.0.1', port: aimock.port, method: entry.method, path: entry.target, headers };
  const request = http.request(onward, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  request.on('error', (error) => response.destroy(error));
  request.end(entry.body);
}

/** Joins a data channel with a conversation of its own. Returns a function that ends it. */
export function relay(channel, aimock, model) {
  const socket = new WebSocket(`ws://127.0.0.1:${aimock.port}/v1/realtime?model=${encodeURIComponent(model)}`, {
    headers: { authorization: `Bearer ${aimock.key}` },
  });
  const up = queued((text) => socket.send(text), false);
  const down = queued((text) => channel.isOpen() && channel.sendMessage(text), channel.isOpen());
  socket.on('open', up.open);
  socket.on('message', (data) => down.send(data.toString('utf8')));
  socket.on('error', () => {});
  channel.onOpen(down.open);
  channel.onMessage((message) => up.send(message.toString()));
  return () => socket.terminate();
}

/** What is sent before the other side is open waits for it. */
function queued(send, isOpen) {
  const waiting = [];
  let ready = isOpen;
  return {
    send: (text) => (ready ? send(text) : waiting.push(text)),
    open() {
      ready = true;
      for (const text of waiting.splice(0)) send(text);
    },
  };
}
