// HTTP/2 frames byte by byte (RFC 9113): thousands of requests with long headers cost their client next to nothing, and
// it takes no more of an answer than it wants.
import { once } from 'node:events';
import net from 'node:net';

const types = { data: 0x0, headers: 0x1, settings: 0x4, ping: 0x6 };
const flags = { endStream: 0x1, ack: 0x1, endHeaders: 0x4 };
const initialWindowSize = 0x4;
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** A value that fits into the dynamic table of RFC 7541 with its name: sent once, it then takes a byte. */
const padding = Buffer.alloc(3900, 'x');
const paddingName = 'x-padding';
const firstDynamicEntry = 62;

/**
 * A connection on which each request is a stream of its own.
 *
 * `window` is how many bytes of an answer the client takes. Nothing of what comes back is kept.
 */
export async function openHttp2(port, { window = 65_535 } = {}) {
  const socket = net.connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  socket.on('error', () => {});
  acknowledge(socket);
  const size = Buffer.alloc(6);
  size.writeUInt16BE(initialWindowSize);
  size.writeUInt32BE(window, 2);
  socket.write(Buffer.concat([preface, frame(types.settings, 0, 0, size)]));
  let stream = -1;
  let isPadded = false;
  return {
    /**
     * Sends a request: `headers` is a list of `[name, value]`, pseudo-headers among them; `paddings` is how many lines of
     * 3.9 KB come beside them. Without a `body` the request does not end.
     */
    request(headers, { paddings = 0, body } = {}) {
      stream += 2;
      const block = headers.map(([name, value]) => literal(0x00, name, value));
      for (let line = 0; line < paddings; line += 1) {
        block.push(isPadded ? Buffer.of(0x80 | firstDynamicEntry) : literal(0x40, paddingName, padding));
        isPadded = true;
      }
      const frames = [frame(types.headers, flags.endHeaders, stream, Buffer.concat(block))];
      if (body !== undefined) frames.push(frame(types.data, flags.endStream, stream, Buffer.from(body)));
      socket.write(Buffer.concat(frames));
    },
    hasEnded: () => socket.destroyed || socket.readableEnded,
    destroy: () => socket.destroy(),
  };
}

/** Reads what the server sends, and acknowledges its settings and pings, without which it would give up. */
function acknowledge(socket) {
  let pending = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
      const length = pending.readUIntBE(0, 3);
      const [type, flag] = [pending[3], pending[4]];
      const payload = pending.subarray(9, 9 + length);
      if (type === types.settings && !(flag & flags.ack)) socket.write(frame(types.settings, flags.ack, 0));
      if (type === types.ping && !(flag & flags.ack)) socket.write(frame(types.ping, flags.ack, 0, payload));
      pending = pending.subarray(9 + length);
    }
  });
}

function frame(type, flag, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flag, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header line as RFC 7541 section 6.2 has it, its name given as text: 0x40 adds it to the dynamic table, 0x00 does not. */
function literal(pattern, name, value) {
  return Buffer.concat([Buffer.of(pattern), text(name), text(value)]);
}

function text(value) {
  const bytes = Buffer.from(value);
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** RFC 7541 section 5.1, with a prefix of seven bits; the eighth says that there is no Huffman code. */
function integer(value) {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}
