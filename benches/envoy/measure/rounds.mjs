// Variants of one thing, measured in turns.
import { cpuMicroseconds } from './cpu.mjs';

/**
 * Runs `load` against each variant in turn, `rounds` times after as many `warmUps`, and returns Envoy's CPU per request by
 * variant: `{ name: [µs of each round…] }`. Every other round goes through them backwards.
 *
 * V8 compiles a function well only once it has run for long: 100,000 requests find most of a module there, and Lua too.
 *
 * `variants` is `[{ name, port }]`; `load(port, name)` resolves to how many requests were answered.
 */
export async function cpuPerRequest(pid, variants, load, { rounds, warmUps = 3 }) {
  for (let warmUp = 0; warmUp < warmUps; warmUp += 1) {
    for (const { name, port } of variants) await load(port, name);
  }
  const results = Object.fromEntries(variants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const { name, port } of round % 2 === 0 ? variants : variants.toReversed()) {
      const before = cpuMicroseconds(pid);
      const requests = await load(port, name);
      results[name].push((cpuMicroseconds(pid) - before) / requests);
    }
  }
  return results;
}
