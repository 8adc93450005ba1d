// HTTP/1.1 over a bare socket: the request goes out byte for byte, the answer comes back line for line.
import net from 'node:net';
import tls from 'node:tls';

const answerTimeoutMs = 30_000;

/**
 * The bytes of a request. `headers` is a list of `[name, value]`; values are latin-1 strings or Buffers, so
 * that any octet can be sent. `content-length` is added for a body that brings no framing of its own.
 */
export function requestBytes({ method = 'GET', target = '/', headers = [], body }) {
  const content = body === undefined ? Buffer.alloc(0) : Buffer.from(body);
  const framed = headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  const all = body === undefined || framed ? headers : [...headers, ['content-length', String(content.length)]];
  const lines = all.map(([name, value]) => Buffer.concat([latin1(`${name}: `), latin1(value), latin1('\r\n')]));
  return Buffer.concat([
    latin1(`${method} `),
    latin1(target),
    latin1(' HTTP/1.1\r\n'),
    ...lines,
    latin1('\r\n'),
    content,
  ]);
}

/**
 * Sends bytes and reads one answer:
 * `{ status, headers: [[name, value]…], header(name), headerAll(name), body, json() }`.
 *
 * An answer of 101 carries the open `socket` (paused, with what came after the head in `rest`); the caller
 * resumes and destroys it. `bodiless` says that no body follows (HEAD); `socket` is a connection that is already there.
 * Rejects when the peer closes, or stays silent, before a whole answer.
 */
export function exchange(port, bytes, options = {}) {
  const { secure = false, bodiless = false, timeoutMs = answerTimeoutMs } = options;
  return new Promise((resolve, reject) => {
    const socket = options.socket ?? connect(port, secure);
    let received = Buffer.alloc(0);
    const finish = (settle, value) => {
      clearTimeout(timer);
      socket.removeAllListeners('data');
      socket.removeAllListeners('close');
      settle(value);
    };
    const fail = (reason) => {
      finish(reject, new Error(`${reason}; received ${JSON.stringify(received.toString('latin1').slice(0, 400))}`));
      socket.destroy();
    };
    const timer = setTimeout(() => fail(`no whole answer within ${timeoutMs} ms`), timeoutMs);
    const read = (closed) => {
      const answer = parseAnswer(received, { closed, bodiless });
      if (answer === null) return;
      if (answer.status === 101) {
        socket.pause();
        finish(resolve, { ...answer, socket });
      } else {
        finish(resolve, answer);
        socket.destroy();
      }
    };
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      read(false);
    });
    socket.on('close', () => {
      read(true);
      fail('the connection closed before a whole answer');
    });
    socket.write(bytes);
  });
}

function connect(port, secure) {
  return secure
    ? tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    : net.connect({ host: '127.0.0.1', port });
}

/** Headers and helpers of an answer, from its lines; also used for HTTP/2. */
export function answer(status, headers, body) {
  const headerAll = (name) =>
    headers.filter(([one]) => one.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  return {
    status,
    headers,
    headerAll,
    /** The value of the first line of this name, or undefined. */
    header: (name) => headerAll(name)[0],
    body,
    json: () => JSON.parse(body.toString('utf8')),
  };
}

function parseAnswer(bytes, state) {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [statusLine, ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const status = Number(statusLine.split(' ')[1]);
  const rest = bytes.subarray(end + 4);
  if (status >= 100 && status < 200 && status !== 101) return parseAnswer(rest, state);

  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const head = answer(status, headers, Buffer.alloc(0));
  if (status === 101) return { ...head, rest };
  const body = parseBody(head, rest, state);
  return body === null ? null : answer(status, headers, body);
}

function parseBody(head, rest, { closed, bodiless }) {
  if (bodiless || head.status === 204 || head.status === 304) return Buffer.alloc(0);
  const length = head.header('content-length');
  if (length !== undefined) return rest.length < Number(length) ? null : rest.subarray(0, Number(length));
  if (/chunked/i.test(head.header('transfer-encoding') ?? '')) return dechunk(rest);
  return closed ? rest : null;
}

function dechunk(bytes) {
  const parts = [];
  let position = 0;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', position);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(bytes.subarray(position, lineEnd).toString('latin1'), 16);
    const start = lineEnd + 2;
    if (bytes.length < start + size + 2) return null;
    if (size === 0) return Buffer.concat(parts);
    parts.push(bytes.subarray(start, start + size));
    position = start + size + 2;
  }
}

function latin1(value) {
  return Buffer.isBuffer(value) ? value : Buffer.from(value, 'latin1');
}
