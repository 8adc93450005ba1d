// An upstream that writes down exactly what arrives, for what aimock does not check.
import { createHash } from 'node:crypto';
import http from 'node:http';
import { frame, parseFrames } from './websocket.mjs';

const websocketGuid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const lateMs = 500;

/**
 * Starts the recorder on a free port.
 *
 * A request says in `x-reply` how it wants to be answered, so that tests can share one recorder:
 *
 * | x-reply | answer |
 * |---|---|
 * | none | 101 without a subprotocol, or 200 with JSON |
 * | `select NAME` | 101 that selects the subprotocol NAME, offered or not |
 * | `refuse STATUS` | that status, with a body and a header that quote the credentials received |
 * | `refuse-late STATUS` | the same, 500 ms later: time for bytes of the client to reach the gateway |
 * | `quote STATUS` | that status, with header lines that quote the target and the credentials received, and are the provider's own |
 * | `sse` | 200 with three server-sent events |
 * | `json STATUS` | that status with JSON |
 * | `frames` | 101; then the payload of every frame, unmasked |
 *
 * After any other 101 every byte is echoed.
 */
export async function startRecorder() {
  const requests = [];
  const sockets = new Set();
  const server = http.createServer({ maxHeaderSize: 512 * 1024 });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  server.on('request', async (incoming, response) => {
    const entry = record(incoming);
    requests.push(entry);
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    entry.body = Buffer.concat(chunks);
    replyToRest(entry, response);
  });
  server.on('upgrade', (incoming, socket, head) => {
    const entry = record(incoming);
    requests.push(entry);
    replyToUpgrade(entry, socket, head);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    port: server.address().port,
    /** Everything that has arrived, in order. */
    requests: () => [...requests],
    /** What arrived of the request that carried this `x-case`. */
    requestsOf: (id) => requests.filter((entry) => entry.header('x-case') === id),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** One recorded request: latin-1 strings, so that every octet shows. */
export function record(incoming) {
  const headers = [];
  for (let index = 0; index < incoming.rawHeaders.length; index += 2) {
    headers.push([incoming.rawHeaders[index], incoming.rawHeaders[index + 1]]);
  }
  const headerAll = (name) => headers.filter(([one]) => one.toLowerCase() === name).map(([, value]) => value);
  return {
    method: incoming.method,
    target: incoming.url,
    /** Header lines as they came: `[[name, value]…]`. */
    headers,
    /** The lines of one header, in order. */
    headerAll,
    /** The first line of a header, or undefined. */
    header: (name) => headerAll(name)[0],
    /** The offered subprotocols, unparsed, or undefined. */
    subprotocols: () => {
      const lines = headerAll('sec-websocket-protocol');
      return lines.length === 0 ? undefined : lines.join('|');
    },
    body: Buffer.alloc(0),
    /** Every byte of it that a credential could hide in. */
    text() {
      const lines = headers.map(([name, value]) => `${name}: ${value}`);
      return [this.target, ...lines, '', this.body.toString('latin1')].join('\n');
    },
  };
}

function replyToRest(entry, response) {
  const [kind, argument] = replyOf(entry);
  if (kind === 'refuse') {
    const { headers, body } = refusal(entry);
    response.writeHead(Number(argument), headers).end(body);
  } else if (kind === 'quote') {
    const lines = quotes(entry);
    for (const name of new Set(lines.map(([name]) => name))) {
      response.setHeader(name, lines.filter(([other]) => other === name).map(([, value]) => value));
    }
    response.writeHead(Number(argument)).end(argument === '204' ? undefined : '{}');
  } else if (kind === 'sse') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const number of [1, 2, 3]) response.write(`data: {"event":${number}}\n\n`);
    response.end('data: [DONE]\n\n');
  } else {
    response.writeHead(Number(argument ?? 200), { 'content-type': 'application/json' }).end('{"recorded":true}');
  }
}

function replyToUpgrade(entry, socket, head) {
  const [kind, argument] = replyOf(entry);
  if (kind === 'refuse') return refuseUpgrade(entry, socket, argument);
  if (kind === 'quote' && argument !== '101') {
    const lines = [...quotes(entry), ['content-length', '0'], ['connection', 'close']];
    return socket.end(`HTTP/1.1 ${argument} Quoted\r\n${lines.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n`);
  }
  if (kind === 'refuse-late') return setTimeout(() => refuseUpgrade(entry, socket, argument), lateMs);
  const key = entry.header('sec-websocket-key');
  if (key === undefined) {
    return socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  }
  const accept = createHash('sha1')
    .update(key + websocketGuid)
    .digest('base64');
  const lines = ['upgrade: websocket', 'connection: Upgrade', `sec-websocket-accept: ${accept}`];
  if (kind === 'quote') lines.push(...quotes(entry).map(([name, value]) => `${name}: ${value}`));
  if (kind === 'select') lines.push(`sec-websocket-protocol: ${argument}`);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
  if (head.length > 0) socket.write(head);
  return kind === 'frames' ? echoFrames(socket) : socket.pipe(socket);
}

function echoFrames(socket) {
  let left = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    const { frames, rest } = parseFrames(Buffer.concat([left, chunk]));
    left = rest;
    for (const { opcode, payload } of frames) socket.write(frame(opcode, payload));
  });
}

function refuseUpgrade(entry, socket, status) {
  const { headers, body } = refusal(entry);
  const lines = Object.entries({ ...headers, 'content-length': body.length, connection: 'close' });
  socket.end(
    `HTTP/1.1 ${status} Refused\r\n${lines.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n${body}`,
  );
}

/** Header lines that quote what it received, as redirects and links do, and those that are about the provider's account. */
function quotes(entry) {
  const credential = credentials(entry);
  return [
    ['location', `https://elsewhere.test${entry.target}`],
    ['link', `<https://elsewhere.test/?k=${encodeURIComponent(credential)}>; rel=next`],
    ['link', '<https://elsewhere.test/>; rel=prev'],
    ['x-echo', credential],
    ['set-cookie', '__cf_bm=1; Secure'],
    ['set-cookie', 'upstream=1'],
    ['openai-organization', 'org-of-the-gateway'],
    ['openai-project', 'proj_of_the_gateway'],
    ['x-kept', '1'],
  ];
}

function credentials(entry) {
  const names = ['authorization', 'api-key', 'x-api-key', 'x-goog-api-key', 'x-custom-key'];
  return names.flatMap((name) => entry.headerAll(name)).join(' ');
}

/** Quotes what it received, as real providers do with part of the key. */
function refusal(entry) {
  const quoted = credentials(entry);
  return {
    headers: {
      'content-type': 'application/json',
      'www-authenticate': 'Bearer realm="upstream"',
      'x-upstream-note': `refused ${quoted}`,
      'set-cookie': 'upstream=1',
    },
    body: JSON.stringify({ error: { message: `Incorrect API key provided: ${quoted}`, code: 'upstream_text' } }),
  };
}

function replyOf(entry) {
  const reply = entry.header('x-reply') ?? '';
  const space = reply.indexOf(' ');
  return space < 0 ? [reply] : [reply.slice(0, space), reply.slice(space + 1)];
}
