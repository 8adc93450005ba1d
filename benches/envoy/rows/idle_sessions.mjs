// What an idle session holds in the VM: how far its memory grows with ten thousand of them, each a page's WebSocket that
// has said something, had a response, and is silent now.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { modulePath } from '../../../tests/e2e/harness/index.mjs';
import { append, created, done, responseTokens } from '../measure/conversation.mjs';
import { Sender } from '../measure/dependencies.mjs';
import { configuration, environment, token } from '../measure/envoy.mjs';
import { Vm } from '../measure/vm.mjs';

export const title = 'Idle sessions in the VM';

const sessions = 10_000;
/** So many are opened in a second, and at once. */
const atOnce = 100;
const aim = 1536;

export async function measure({ old }) {
  const mine = grow(modulePath());
  const before = old === undefined ? '' : `; the old module's, ${grow(old).each} bytes each`;
  return {
    says: `${sessions} of them make it grow from ${mebibytes(mine.empty)} to ${mebibytes(mine.full)} MiB${before}`,
    rows: [{ name: 'idle_session_bytes', value: mine.each, unit: 'bytes', aim: `<= ${aim}`, holds: mine.each <= aim }],
  };
}

/** How far a module's memory grows: bytes when `empty`, when `full` of sessions, and for `each`. */
function grow(path) {
  const vm = new Vm(new WebAssembly.Module(readFileSync(path)), configuration(), environment);
  const empty = vm.memory;
  const open = [];
  while (open.length < sessions) {
    open.push(...openSome(vm));
    vm.tick();
  }
  const full = vm.memory;
  assertMetered(vm, open);
  return { empty, full, each: Math.round((full - empty) / sessions) };
}

function openSome(vm) {
  const contexts = Array.from({ length: atOnce }, () => vm.request(handshake()));
  for (const context of contexts) {
    vm.response(context, { ':status': '101', upgrade: 'websocket', 'sec-websocket-protocol': 'realtime' });
  }
  for (const context of contexts) vm.responseBody(context, frame(created(), false));
  for (const context of contexts) vm.requestBody(context, frame(append, true));
  for (const context of contexts) vm.responseBody(context, frame(done(), false));
  return contexts;
}

/** What Chromium sends for a page that uses the official SDK. */
function handshake() {
  return [
    [':authority', 'gateway.example.com'],
    [':path', '/v1/realtime?model=gpt-realtime'],
    [':method', 'GET'],
    [':scheme', 'https'],
    ['connection', 'Upgrade'],
    ['pragma', 'no-cache'],
    ['cache-control', 'no-cache'],
    ['user-agent', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36'],
    ['upgrade', 'websocket'],
    ['origin', 'https://app.example.com'],
    ['sec-websocket-version', '13'],
    ['accept-encoding', 'gzip, deflate, br, zstd'],
    ['accept-language', 'en-GB,en;q=0.9'],
    ['sec-websocket-key', randomBytes(16).toString('base64')],
    ['sec-websocket-extensions', 'permessage-deflate; client_max_window_bits'],
    ['sec-websocket-protocol', `realtime, openai-insecure-api-key.${token}, openai-agents-sdk.0.20.0`],
    ['x-forwarded-for', '192.0.2.1'],
    ['x-forwarded-proto', 'https'],
    ['x-request-id', randomUUID()],
  ];
}

function frame(text, isMasked) {
  const options = { fin: true, rsv1: false, opcode: 1, mask: isMasked, readOnly: true };
  return Buffer.concat(Sender.frame(Buffer.from(text), options));
}

/** They were followed: each has counted its response. */
function assertMetered(vm, open) {
  for (const context of open) {
    const logged = new Map();
    vm.end(context, (name, value) => logged.set(name, value));
    assert.equal(logged.get('realtime_byok.tokens'), String(responseTokens));
  }
}

function mebibytes(bytes) {
  return (bytes / (1 << 20)).toFixed(1);
}
