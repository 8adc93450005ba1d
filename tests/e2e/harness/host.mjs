// The host that runs the filter, and what differs between the two beside how Envoy is given it.
import assert from 'node:assert/strict';

/** `wasm`, the module, or `native`, the library; `HOST` says. */
export const host = process.env.HOST ?? 'wasm';
assert.ok(['wasm', 'native'].includes(host), `HOST is wasm or native, and not ${host}`);

/** `test` or `describe`, for what only this host has: in the other there is no such test. */
export function onlyIn(name, register) {
  return host === name ? register : () => {};
}

/** What Envoy puts before the name of each of the filter's statistics. */
export const statisticPrefix = { wasm: 'wasmcustom.realtime_byok.', native: 'dynamicmodulescustom.realtime_byok.' }[host];

/** What Envoy's log calls the part of it that runs the filter. */
export const filterComponent = { wasm: 'wasm', native: 'dynamic_modules' }[host];

/** A label with its value, as Envoy has both in the name of a statistic. */
export function statisticLabel(label, value) {
  return { wasm: `${label}=.=${value};.;`, native: `.${label}.${value}` }[host];
}

/** Envoy runs, and the filter has never failed in it: no VM has trapped, and nothing has panicked. */
export async function assertSound(envoy) {
  const log = envoy.log();
  assert.doesNotMatch(log, /Uncaught RuntimeError|Function: proxy_on|Proxy-Wasm plugin in-VM backtrace|panicked at/);
  assert.doesNotMatch(log, /realtime_byok: a fault of its own|realtime_byok: a (host)?call .*failed/);
  assert.doesNotMatch(log, /\[critical\]/);
  if (host === 'wasm') {
    const { stats } = await (await envoy.admin('/stats?format=json&filter=vm_reload')).json();
    assert.ok(stats.some(({ name }) => name?.includes('vm_reload')));
    for (const { name, value } of stats.filter(({ name }) => name?.includes('vm_reload'))) assert.equal(value, 0, name);
  }
  assert.equal(envoy.exit(), null);
}
