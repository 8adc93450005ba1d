// How long Envoy takes from its start to its first answer: without a filter, with this one in both of its hosts, and with an old module.
import { modules } from '../measure/comparison.mjs';
import { start } from '../measure/ready.mjs';
import { median, medianAdded } from '../measure/statistics.mjs';

export const title = "From Envoy's start to its first answer";

const rounds = 21;
const aim = 700;
const nativeAim = 30;

export async function measure({ old }) {
  const filters = Object.entries({ 'no filter': null, ...modules(old) });
  const results = Object.fromEntries(filters.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, filter] of round % 2 === 0 ? filters : filters.toReversed()) {
      results[name].push(await start(filter));
    }
  }
  return compared(results);
}

function compared(results) {
  const of = (name, time) => results[name].map((one) => one[time]);
  const added = (time, to = 'no filter', name = 'this filter') => Math.round(medianAdded(of(name, time), of(to, time)));
  const native = added('wall', 'no filter', 'dynamic module');
  const row = (name, value) => ({ name, value, unit: 'ms', aim: null, holds: true });
  const says = (name) => `${name} ${Math.round(median(of(name, 'wall')))} ms (${Math.round(median(of(name, 'cpu')))} of CPU)`;
  return {
    says: Object.keys(results).map(says).join(' · '),
    rows: [
      { ...row('ready_added_ms', added('wall')), aim: `<= ${aim}`, holds: added('wall') <= aim },
      row('ready_added_cpu_ms', added('cpu')),
      { ...row('ready_native_added_ms', native), aim: `<= ${nativeAim}`, holds: native <= nativeAim },
      ...(results['old module'] ? [row('ready_added_to_old_ms', added('wall', 'old module'))] : []),
    ],
  };
}
