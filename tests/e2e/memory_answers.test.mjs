// Answers that many clients make a worker read or gather at the same time.
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openHttp2 } from './harness/http2_frames.mjs';
import { until } from './harness/index.mjs';
import { head, limit, useMemory } from './harness/memory.mjs';

const streamsOfConnection = 100;

const { gateway, held, scripted, talk } = useMemory();

test('2,000 streams that take nothing of their answers of 1 MB', { timeout: 500_000 }, async () => {
  const session = await talk();
  const connections = [];
  try {
    for (let count = 0; count < 2_000; count += streamsOfConnection) {
      const connection = await openHttp2(gateway.port, { window: 0 });
      connections.push(connection);
      for (let stream = 0; stream < streamsOfConnection; stream += 1) {
        const [path, body] = [
          ['/v1/chat/completions', '{"model":"gpt-5","stream":true}'],
          ['/v1/responses', '{"model":"gpt-5"}'],
        ][stream % 2];
        connection.request([...head(path), ['x-long', '1']], { body });
      }
    }
    await until('all to be answered', () => scripted.long() === 2_000, { timeoutMs: 300_000 });
    await sleep(3_000);
    assert.ok((await held()) < limit);
    await session.stop();
  } finally {
    for (const connection of connections) connection.destroy();
  }
});
