// HTTP/2 with prior knowledge, for extended CONNECT (RFC 8441) and for plain requests.
import http2 from 'node:http2';
import { once } from 'node:events';
import { answer } from './http1.mjs';

const answerTimeoutMs = 30_000;

/**
 * Sends one request over a connection of its own and reads the answer.
 *
 * `headers` is a list of `[name, value]`. With `connect: 'websocket'` it is an extended CONNECT; a 200 to it
 * leaves the stream open as `stream`, and the caller calls `close()`.
 */
export async function exchangeHttp2(port, { method = 'GET', target = '/', headers = [], body, connect, authority }) {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  try {
    await once(session, 'remoteSettings');
    const stream = session.request(
      {
        ':method': connect ? 'CONNECT' : method,
        ':scheme': 'http',
        ':path': target,
        ':authority': authority ?? `127.0.0.1:${port}`,
        ...(connect ? { ':protocol': connect } : {}),
        ...grouped(headers),
      },
      { endStream: !connect && body === undefined },
    );
    stream.setTimeout(answerTimeoutMs, () => stream.destroy(new Error('no answer in time')));
    if (body !== undefined) stream.end(body);
    const [head, , rawHeaders] = await once(stream, 'response');
    const status = head[':status'];
    const lines = pairs(rawHeaders).filter(([name]) => !name.startsWith(':'));
    if (connect && status === 200) {
      return { ...answer(status, lines, Buffer.alloc(0)), stream, close: () => session.destroy() };
    }
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    session.destroy();
    return answer(status, lines, Buffer.concat(chunks));
  } catch (error) {
    session.destroy();
    throw error;
  }
}

function grouped(headers) {
  const byName = {};
  for (const [name, value] of headers) (byName[name] ??= []).push(value);
  return Object.fromEntries(
    Object.entries(byName).map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  );
}

function pairs(flat) {
  const result = [];
  for (let index = 0; index < flat.length; index += 2) result.push([flat[index], flat[index + 1]]);
  return result;
}
