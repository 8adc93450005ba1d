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

/** Sends `size` bytes of a message that is longer. */
async function leaveUnfinished(client, size) {
  const bytes = frame(opcodes.text, Buffer.alloc(size, ' '), { mask: Buffer.alloc(4), length: mebibyte - 1 });
  client.write(bytes);
  await until('the message to be sent', () => client.socket.writableLength === 0 || client.hasEnded());
}

test('what unfinished messages took serves longer ones', { timeout: 120_000 }, async () => {
  const bystander = await open();
  const together = 240 * mebibyte;
  // Sessions hold powers of two: nearly as much as they have been sent.
  for (const size of [126, 254, 510, 1020].map((kibibytes) => kibibytes << 10)) {
    const others = [];
    while (others.length * size < together && !bystander.client.hasEnded()) {
      const more = await Promise.all(Array.from({ length: 16 }, () => open()));
      others.push(...more);
      await Promise.all(more.map(({ client }) => leaveUnfinished(client, size)));
    }
    for (const { client } of others) client.destroy();
  }
  bystander.upstream.sendEvent(sessionCreated());
  await bystander.client.frameCame(opcodes.text);
  assert.equal(bystander.client.hasEnded(), false);
  bystander.client.destroy();
});

test('a thousand messages that never end leave the other sessions alone', { timeout: 60_000 }, async () => {
  const bystander = await open();
  const others = [];
  while (others.length < clients && !bystander.client.hasEnded()) {
    const one = await open();
    others.push(one);
    await leaveUnfinished(one.client, 200 << 10);
  }
  bystander.upstream.sendEvent(sessionCreated());
  await bystander.client.frameCame(opcodes.text);
  assert.equal(bystander.client.hasEnded(), false);
  for (const { client } of [bystander, ...others]) client.destroy();
});
