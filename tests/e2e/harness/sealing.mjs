// Sealed secrets and ids of calls, made and opened here by the documented layout alone: a prefix and base64url of
// version ‖ key id ‖ nonce ‖ XChaCha20-Poly1305(claims). An implementation beside the filter's, for what a gateway would
// not make.
import { createHash, randomBytes } from 'node:crypto';
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';

const currentVersion = 1;
const idLength = 4;
const nonceLength = 24;

/** The claims in the order of their tags, from 1; a number is one that is written as such. */
const claims = [
  ['caller', String],
  ['provider', String],
  ['policy', String],
  ['issued_at', Number],
  ['expires_at', Number],
  ['model', String],
  ['user', String],
  ['origin', String],
  ['max_duration_ms', Number],
  ['max_tokens', Number],
  ['max_cost_micro_usd', Number],
  ['upstream', String],
  ['max_sessions', Number],
  ['lock', String],
  ['transcription_model', String],
  ['key', String],
];

/** The same for the id of a call. */
const callClaims = [
  ['caller', String],
  ['provider', String],
  ['policy', String],
  ['began_at', Number],
  ['id', String],
  ['user', String],
  ['key', String],
  ['max_duration_ms', Number],
  ['tally', String],
  ['kept_until', Number],
  ['max_tokens', Number],
  ['max_cost_micro_usd', Number],
];

const secretDomain = 'realtime-byok client secret';

/** A new sealing key, as a configuration holds it. */
export function newSealingKey() {
  return randomBytes(32).toString('base64');
}

/** Seals `values`, named as `claims` names them; `version` and `more`, bytes after the claims, are for what is void. */
export function seal(values, key, { version = currentVersion, more = Buffer.alloc(0) } = {}) {
  return `ek_${sealed(Buffer.concat([encodeClaims(values, claims), more]), key, secretDomain, version)}`;
}

/** Seals the id of a call, whose claims are named as `callClaims` names them. */
export function sealCallId(values, key) {
  const prefix = values.id.startsWith('live_') ? 'live_' : 'rtc_';
  return prefix + sealed(encodeClaims(values, callClaims), key, callDomain(prefix));
}

function sealed(plaintext, key, domain, version = currentVersion) {
  const nonce = randomBytes(nonceLength);
  const bytes = cipher(key, nonce, domain, version).encrypt(plaintext);
  return Buffer.concat([Buffer.of(version), keyId(key), nonce, bytes]).toString('base64url');
}

/** Opens a sealed secret, whatever its time. Throws if it was not sealed by this key. */
export function open(secret, key) {
  return decodeClaims(opened(secret.slice('ek_'.length), key, secretDomain), claims);
}

/** Opens the id of a call. Throws if it was not sealed by this key. */
export function openCallId(id, key) {
  const [prefix] = /^(?:rtc|live)_/.exec(id);
  return decodeClaims(opened(id.slice(prefix.length), key, callDomain(prefix)), callClaims);
}

function opened(text, key, domain) {
  const body = Buffer.from(text, 'base64url').subarray(1 + idLength);
  const plaintext = cipher(key, body.subarray(0, nonceLength), domain).decrypt(body.subarray(nonceLength));
  return Buffer.from(plaintext);
}

function callDomain(prefix) {
  return `realtime-byok call id ${prefix}`;
}

function keyId(key) {
  const digest = createHash('sha256').update('realtime-byok sealing key id').update(Buffer.from(key, 'base64'));
  return digest.digest().subarray(0, idLength);
}

function cipher(key, nonce, domain, version = currentVersion) {
  const associated = Buffer.concat([Buffer.from(domain), Buffer.of(version), keyId(key)]);
  return xchacha20poly1305(Buffer.from(key, 'base64'), nonce, associated);
}

function encodeClaims(values, claims) {
  return Buffer.concat(
    claims.flatMap(([name, type], index) => {
      if (values[name] === undefined) return [];
      const tag = Buffer.of(index + 1);
      if (type === Number) return [tag, varint(values[name])];
      const text = Buffer.from(values[name]);
      return [tag, varint(text.length), text];
    }),
  );
}

function decodeClaims(bytes, claims) {
  const values = {};
  let position = 0;
  const readVarint = () => {
    let number = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[position++];
      number += (byte & 0x7f) * scale;
      if (byte < 0x80) return number;
    }
  };
  while (position < bytes.length) {
    const [name, type] = claims[bytes[position++] - 1];
    const number = readVarint();
    if (type === Number) {
      values[name] = number;
    } else {
      values[name] = bytes.toString('utf8', position, position + number);
      position += number;
    }
  }
  return values;
}

function varint(number) {
  const bytes = [];
  let rest = number;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.of(...bytes, rest);
}
