// The three ways through one Envoy: without a filter, with Lua, with this filter.
import { lua, realtimeByok } from './envoy.mjs';
import { median, medianRatio } from './statistics.mjs';

/** The filters to compare, by name. */
export const contenders = () => ({ 'no filter': null, Lua: lua(), 'this filter': realtimeByok('compared') });

/** What comparing them says: a line for people, and the rows `<name>_cpu_vs_lua` and `<name>_cpu_vs_none`. */
export function compared(name, results) {
  const mine = results['this filter'];
  const says = Object.entries(results)
    .map(([filter, values]) => `${filter} ${median(values).toFixed(1)} µs`)
    .join(' · ');
  const againstLua = medianRatio(mine, results.Lua);
  return {
    says,
    rows: [
      { name: `${name}_cpu_vs_lua`, value: round(againstLua), unit: 'ratio', aim: '<= 1.0', holds: againstLua <= 1 },
      { name: `${name}_cpu_vs_none`, value: round(medianRatio(mine, results['no filter'])), unit: 'ratio', aim: null, holds: true },
    ],
  };
}

/** Three digits behind the point: more would be noise. */
export function round(value) {
  return Math.round(value * 1000) / 1000;
}
