// Variants of one thing, measured in turns.
import { cpuMicroseconds } from './cpu.mjs';

/**
 * Runs `load` against each variant in turn, `rounds` times after the warm-up, and returns Envoy's CPU per request by
 * variant: `{ name: [µs of each round…] }`. Every other round goes through them backwards.
 *
 * `variants` is `[{ name, port }]`; `load(port)` resolves to how many requests were answered.
 */
export async function cpuPerRequest(pid, variants, load, { rounds, warmUps = 3 }) {
  for (let warmUp = 0; warmUp < warmUps; warmUp += 1) {
    for (const { port } of variants) await load(port);
  }
  const results = Object.fromEntries(variants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const { name, port } of round % 2 === 0 ? variants : variants.toReversed()) {
      const before = cpuMicroseconds(pid);
      const requests = await load(port);
      results[name].push((cpuMicroseconds(pid) - before) / requests);
    }
  }
  return results;
}
