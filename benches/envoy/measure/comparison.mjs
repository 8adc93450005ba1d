// The ways through one Envoy that are compared: no filter, Lua, this filter in both of its hosts, and with `old` an older
// module of it.
import { lua, native, realtimeByok } from './envoy.mjs';
import { median, medianAdded, medianRatio, middleHalf } from './statistics.mjs';

/** A module that changed nothing differs by no more from the old one in a run that is long enough. */
const noise = 1.03;

/** The filters to compare, by name. */
export const contenders = ({ old }) => ({ 'no filter': null, Lua: lua(), ...modules(old) });

/** This filter, and the old module where there is one, each in a VM of its own; and the dynamic module. */
export const modules = (old) => ({
  'this filter': realtimeByok('this'),
  'dynamic module': native(),
  ...(old === undefined ? {} : { 'old module': realtimeByok('old', { module: old }) }),
});

/** What comparing `contenders` says: a line for people, and the rows of `ratios`. */
export function compared(name, results, aims = {}) {
  return { says: says(results), rows: ratios(name, results, aims) };
}

/** The median of each variant. */
export function says(results) {
  return Object.entries(results)
    .map(([variant, values]) => `${variant} ${median(values).toFixed(1)} µs`)
    .join(' · ');
}

/**
 * The rows `<name>_cpu_vs_none`, `_cpu_vs_lua`, `_added_vs_lua` (what each adds to no filter), `_native_vs_none` and
 * `_native_added_vs_lua` of the dynamic module, and where an old module was measured `_cpu_vs_old` and `_added_vs_old`. `aims` are upper limits by the row's ending.
 */
export function ratios(name, results, aims = {}) {
  const { 'no filter': none, Lua, 'this filter': mine, 'dynamic module': dynamic, 'old module': old } = results;
  const values = {
    cpu_vs_none: medianRatio(mine, none),
    ...(Lua && { cpu_vs_lua: medianRatio(mine, Lua), added_vs_lua: medianAdded(mine, none) / medianAdded(Lua, none) }),
    native_vs_none: medianRatio(dynamic, none),
    ...(Lua && { native_added_vs_lua: medianAdded(dynamic, none) / medianAdded(Lua, none) }),
    ...(old && { cpu_vs_old: medianRatio(mine, old), added_vs_old: medianAdded(mine, none) / medianAdded(old, none) }),
  };
  const limits = { cpu_vs_old: noise, ...aims };
  return Object.entries(values).map(([ending, value]) => ratio(`${name}_${ending}`, value, limits[ending]));
}

/** The row of a ratio that is to be at most `limit`. */
export function ratio(name, value, limit) {
  const aim = limit === undefined ? null : `<= ${limit}`;
  return { name, value: round(value), unit: 'ratio', aim, holds: limit === undefined || value <= limit };
}

/** Between which ratios the middle half of the rounds lies. */
export function spread(a, b) {
  return middleHalf(a, b).map((value) => value.toFixed(3)).join(' to ');
}

/** Three digits behind the point: more would be noise. */
export function round(value) {
  return Math.round(value * 1000) / 1000;
}
