// Answers to mint requests that went wrong on the way.
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const tooLong = ' '.repeat(1 << 20);
const json = { 'content-type': 'application/json' };

/**
 * Sends a mint answer, spoiled as the request's `x-reply` asks:
 *
 * | x-reply | answer |
 * |---|---|
 * | `gzip`, `br` | compressed so, whatever the request accepts |
 * | `not-gzip` | plain JSON that claims to be compressed |
 * | `text` | 200 with HTML |
 * | `array` | 200 with JSON that is no object |
 * | `no-secret` | without the secret |
 * | `no-expiry` | without its expiry |
 * | `twice` | the secret stands in the session as well |
 * | `long`, `long-chunked` | over 1 MiB, with `content-length` or in chunks |
 * | `bomb` | 10 MiB of white space, compressed into a few KB |
 * | `chunked` | in chunks that come one by one |
 * | `cut` | the connection ends in the middle |
 * | `empty` | 200 with no body |
 * | `late MS` | after so many milliseconds |
 */
export const mintFaults = {
  gzip: (answer, response) =>
    response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(gzipSync(JSON.stringify(answer))),
  br: (answer, response) =>
    response.writeHead(200, { ...json, 'content-encoding': 'br' }).end(brotliCompressSync(JSON.stringify(answer))),
  'not-gzip': (answer, response) =>
    response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(JSON.stringify(answer)),
  text: (answer, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<html>${secretOf(answer).value}</html>`),
  array: (answer, response) => response.writeHead(200, json).end(JSON.stringify([answer])),
  'no-secret': (answer, response) => {
    delete secretOf(answer).value;
    response.writeHead(200, json).end(JSON.stringify(answer));
  },
  'no-expiry': (answer, response) => {
    delete secretOf(answer).expires_at;
    response.writeHead(200, json).end(JSON.stringify(answer));
  },
  twice: (answer, response) => {
    (answer.session ?? answer).instructions = `Use ${secretOf(answer).value}.`;
    response.writeHead(200, json).end(JSON.stringify(answer));
  },
  long: (answer, response) => response.writeHead(200, json).end(JSON.stringify(answer) + tooLong),
  'long-chunked': (answer, response) => {
    response.writeHead(200, json);
    response.write(JSON.stringify(answer));
    response.end(tooLong);
  },
  bomb: (answer, response) =>
    response
      .writeHead(200, { ...json, 'content-encoding': 'gzip' })
      .end(gzipSync(JSON.stringify(answer) + tooLong.repeat(10))),
  chunked: async (answer, response) => {
    response.writeHead(200, json);
    const text = JSON.stringify(answer);
    for (let start = 0; start < text.length; start += 100) {
      response.write(text.slice(start, start + 100));
      await sleep(5);
    }
    response.end();
  },
  cut: (answer, response) => {
    const text = JSON.stringify(answer);
    response.writeHead(200, { ...json, 'content-length': text.length });
    response.write(text.slice(0, -20), () => setTimeout(() => response.destroy(), 50));
  },
  empty: (answer, response) => response.writeHead(200, json).end(),
  late: async (answer, response, milliseconds) => {
    await sleep(Number(milliseconds));
    response.writeHead(200, json).end(JSON.stringify(answer));
  },
};

/** The object of an answer that holds its secret, in either shape. */
function secretOf(answer) {
  return answer.client_secret ?? answer;
}
