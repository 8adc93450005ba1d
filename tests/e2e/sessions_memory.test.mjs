// What many clients leave unfinished together: a worker's memory is bounded, and nobody else's session ends of it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { until } from './harness/index.mjs';
import { sessionCreated, useSessions } from './harness/sessions.mjs';
import { frame, opcodes } from './harness/websocket.mjs';

// Envoy gives a VM one gibibyte.
const clients = 1100;
const mebibyte = 1 << 20;

const policies = { default: { provider: 'openai', lock: ['instructions'] } };
const { open } = useSessions({ changes: { policies }, concurrency: 1 });

test('a thousand messages that never end leave the other sessions alone', { timeout: 60_000 }, async () => {
  const bystander = await open();
  const unfinished = frame(opcodes.text, Buffer.alloc(mebibyte - 1000, ' '), {
    mask: Buffer.alloc(4),
    length: mebibyte - 1,
  });
  const others = [];
  while (others.length < clients && !bystander.client.hasEnded()) {
    const one = await open();
    others.push(one);
    one.client.write(unfinished);
    await until('the message to be sent', () => one.client.socket.writableLength === 0 || one.client.hasEnded());
  }
  bystander.upstream.sendEvent(sessionCreated());
  await bystander.client.frameCame(opcodes.text);
  assert.equal(bystander.client.hasEnded(), false);
  for (const { client } of [bystander, ...others]) client.destroy();
});
