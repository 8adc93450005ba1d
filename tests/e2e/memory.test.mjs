// Requests of many clients that wait for their bodies: beyond a worker's memory account more are refused, and everything is
// given back.
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openHttp2 } from './harness/http2_frames.mjs';
import { assertDenial, authorized, onlyIn, restRequest, until } from './harness/index.mjs';
import { head, limit, sessions, useMemory } from './harness/memory.mjs';

const forNewWork = (limit * 3) / 4;
const streamsOfConnection = 100;

const { gateway, active, held, rejected, talk } = useMemory();
const overloaded = () => rejected('overloaded');

onlyIn('wasm', test)('many requests whose bodies never begin, where none has ever come', { timeout: 200_000 }, async () => {
  const session = await talk();
  const connections = await Promise.all(Array.from({ length: 8 }, () => openHttp2(gateway.port)));
  try {
    for (const connection of connections) {
      for (let stream = 0; stream < 100; stream += 1) connection.request(head('/ruled/v1/responses'));
    }
    await until('many to be answered', async () => (await rejected('body_unavailable')) > 200, { timeoutMs: 90_000 });
    await session.stop();
  } finally {
    for (const connection of connections) connection.destroy();
  }
});

test('25,000 requests with 51 KB of headers that wait for their bodies', { timeout: 500_000 }, async () => {
  // A body comes, and from then on others may take their time.
  await gateway.send(restRequest({ target: '/ruled/v1/responses', headers: authorized, json: { model: 'gpt-5' } }));
  const session = await talk();
  const before = await overloaded();
  const connections = [];
  try {
    for (let count = 0; count < 25_000; count += streamsOfConnection) {
      const connection = await openHttp2(gateway.port);
      connections.push(connection);
      for (let stream = 0; stream < streamsOfConnection; stream += 1) {
        connection.request(head('/ruled/v1/chat/completions'), { paddings: 13 });
      }
      await sleep(1);
    }
    const refused = await until('all to be held or refused', async () => {
      const count = (await overloaded()) - before;
      return count + (await active()) - sessions === 25_000 ? count : null;
    }, { timeoutMs: 300_000, intervalMs: 200 });
    assert.ok(refused > 23_500, `${refused} are refused`);
    const bytes = await held();
    assert.ok(bytes > forNewWork - 100_000 && bytes < limit, `${bytes} bytes are held`);
    const padding = ['x-padding', 'x'.repeat(54_000)];
    const request = restRequest({ target: '/ruled/v1/responses', headers: [...authorized, padding], json: { model: 'gpt-5' } });
    const answer = await gateway.send(request);
    assertDenial(answer, 'overloaded');
    assert.deepEqual(answer.headerAll('retry-after'), ['1']);
    await session.stop();
  } finally {
    for (const connection of connections) connection.destroy();
  }
});
