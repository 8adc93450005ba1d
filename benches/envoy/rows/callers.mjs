// Ten thousand callers: how long they take to load, and whether a request pays for them.
import { round } from '../measure/comparison.mjs';
import { realtimeByok, startVariants } from '../measure/envoy.mjs';
import { restLoad } from '../measure/load.mjs';
import { cpuPerRequest } from '../measure/rounds.mjs';
import { median, medianRatio } from '../measure/statistics.mjs';

export const title = 'Ten thousand callers against one';

const many = 10_000;
const starts = 5;

export async function measure() {
  const load = await loadMilliseconds();
  const results = await perRequest();
  const ratio = medianRatio(results.many, results.one);
  return {
    says:
      `they add ${Math.round(load)} ms to Envoy's start · ` +
      `a request costs ${median(results.one).toFixed(1)} µs with one, ${median(results.many).toFixed(1)} µs with ${many}`,
    rows: [
      { name: 'callers_10000_load_ms', value: Math.round(load), unit: 'ms', aim: '< 1000', holds: load < 1000 },
      { name: 'callers_10000_vs_1_cpu', value: round(ratio), unit: 'ratio', aim: '<= 1.05', holds: ratio <= 1.05 },
    ],
  };
}

/** What many callers add to the time in which Envoy becomes ready, its own parsing of a megabyte included. */
async function loadMilliseconds() {
  const added = [];
  for (let start = 0; start < starts; start += 1) {
    const one = await startMilliseconds(1);
    added.push((await startMilliseconds(many)) - one);
  }
  return median(added);
}

async function startMilliseconds(callers) {
  const filter = realtimeByok('start', { callers });
  const before = performance.now();
  const { envoy } = await startVariants({ filter });
  const elapsed = performance.now() - before;
  await envoy.stop();
  return elapsed;
}

async function perRequest() {
  const { envoy, variants } = await startVariants({
    one: realtimeByok('one'),
    many: realtimeByok('many', { callers: many }),
  });
  try {
    return await cpuPerRequest(envoy.pid, variants, (port) => restLoad(port, 1000), { rounds: 41, warmUps: 20 });
  } finally {
    await envoy.stop();
  }
}
