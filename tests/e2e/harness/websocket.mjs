// WebSocket frames byte by byte, so that both ends of a session can say anything, RFC 6455 or not.
import { randomBytes } from 'node:crypto';
import { until } from './wait.mjs';

export const opcodes = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa };

const mask = 0x80;
const fin = 0x80;

/**
 * One frame's bytes. `mask` is true for a random key, or the key; `lengthBytes` (0, 2, 8) writes the length in more
 * bytes than it needs, `length` lies about it.
 */
export function frame(opcode, payload = '', options = {}) {
  const content = Buffer.from(payload);
  const { isFinal = true, reserved = 0, length = content.length } = options;
  const lengthBytes = options.lengthBytes ?? shortest(length);
  const first = (isFinal ? fin : 0) | (reserved << 4) | opcode;
  const second = (options.mask ? mask : 0) | { 0: Number(length), 2: 126, 8: 127 }[lengthBytes];
  const extended = Buffer.alloc(lengthBytes);
  if (lengthBytes === 2) extended.writeUInt16BE(Number(length));
  if (lengthBytes === 8) extended.writeBigUInt64BE(BigInt(length));
  if (!options.mask) return Buffer.concat([Buffer.of(first, second), extended, content]);
  const key = options.mask === true ? randomBytes(4) : options.mask;
  return Buffer.concat([Buffer.of(first, second), extended, key, masked(content, key)]);
}

/** A Close frame's payload. */
export function closePayload(code, reason = '') {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(code);
  return Buffer.concat([bytes, Buffer.from(reason)]);
}

/** The frames of a message that is cut at these offsets. */
export function fragments(opcode, payload, cuts, options = {}) {
  const content = Buffer.from(payload);
  const ends = [...cuts, content.length];
  return ends.map((end, index) =>
    frame(index === 0 ? opcode : opcodes.continuation, content.subarray(ends[index - 1] ?? 0, end), {
      ...options,
      isFinal: index === ends.length - 1,
    }),
  );
}

/** The whole frames in `bytes`, unmasked: `[{ isFinal, opcode, payload }…]`, and what is left over as `rest`. */
export function parseFrames(bytes) {
  const frames = [];
  let position = 0;
  for (;;) {
    const found = parseFrame(bytes.subarray(position));
    if (found === null) return { frames, rest: bytes.subarray(position) };
    frames.push(found.frame);
    position += found.size;
  }
}

/**
 * One end of an open WebSocket, with every byte that came. `isClient` masks what `send` sends. Nothing is answered by
 * itself.
 */
export function peer(socket, head, { isClient }) {
  const chunks = head.length > 0 ? [head] : [];
  let hasEnded = false;
  const end = () => (hasEnded = true);
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('end', end).on('close', end).on('error', end);
  socket.resume();
  const received = () => Buffer.concat(chunks);
  const frames = () => parseFrames(received()).frames;
  const wait = (what, probe, options) =>
    until(`${isClient ? 'the client' : 'the upstream'} to get ${what}`, probe, { intervalMs: 5, ...options });
  return {
    socket,
    received,
    frames,
    hasEnded: () => hasEnded,
    /** Writes bytes as they are. */
    write: (bytes) => socket.write(bytes),
    /** Writes one frame; `options` as `frame` takes them. */
    send: (opcode, payload, options) => socket.write(frame(opcode, payload, { mask: isClient, ...options })),
    /** Writes one event as a text message. */
    sendEvent: (event) => socket.write(frame(opcodes.text, JSON.stringify(event), { mask: isClient })),
    /** The events of the whole text messages that came, which must be JSON. */
    events: () => textMessages(frames()).map((text) => JSON.parse(text)),
    /** Waits for this many bytes. */
    bytesCame: (count) => wait(`${count} bytes`, () => received().length >= count),
    /** Waits for a frame of this kind and returns it. */
    frameCame: (opcode) => wait(`a frame ${opcode}`, () => frames().find((one) => one.opcode === opcode)),
    /** Waits for the connection's end. */
    ended: (options) => wait('its end', () => hasEnded, options),
    destroy: () => socket.destroy(),
  };
}

/** The whole text messages among frames, in order. */
export function textMessages(frames) {
  const messages = [];
  let open = null;
  for (const { opcode, isFinal, payload } of frames) {
    if (opcode === opcodes.text || opcode === opcodes.binary) open = { opcode, parts: [] };
    if (opcode > opcodes.binary || open === null) continue;
    open.parts.push(payload);
    if (!isFinal) continue;
    if (open.opcode === opcodes.text) messages.push(Buffer.concat(open.parts).toString('utf8'));
    open = null;
  }
  return messages;
}

/** Code and reason of a Close frame; 1005 without. */
export function closeOf({ payload }) {
  return payload.length < 2
    ? { code: 1005, reason: '' }
    : { code: payload.readUInt16BE(0), reason: payload.toString('utf8', 2) };
}

function parseFrame(bytes) {
  if (bytes.length < 2) return null;
  const lengthBytes = { 126: 2, 127: 8 }[bytes[1] & 0x7f] ?? 0;
  const isMasked = (bytes[1] & mask) !== 0;
  const start = 2 + lengthBytes + (isMasked ? 4 : 0);
  if (bytes.length < start) return null;
  const length = lengthBytes === 0 ? bytes[1] & 0x7f : Number(readUInt(bytes, lengthBytes));
  if (bytes.length < start + length) return null;
  const content = bytes.subarray(start, start + length);
  const payload = isMasked ? masked(content, bytes.subarray(start - 4, start)) : content;
  const one = { isFinal: (bytes[0] & fin) !== 0, reserved: (bytes[0] >> 4) & 7, opcode: bytes[0] & 0xf, payload };
  return { frame: one, size: start + length };
}

function readUInt(bytes, size) {
  return size === 2 ? bytes.readUInt16BE(2) : bytes.readBigUInt64BE(2);
}

function masked(content, key) {
  return Buffer.from(content.map((byte, index) => byte ^ key[index % 4]));
}

function shortest(length) {
  if (length < 126) return 0;
  return length < 65_536 ? 2 : 8;
}
