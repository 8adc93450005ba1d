// One Envoy with a listener for each variant, so that all of them share its process and its one worker.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  bootstrap, listener, modulePath, nativeFilter, repository, scratchDirectory, sha256, startEnvoy, wasmFilter,
} from '../../../tests/e2e/harness/index.mjs';

const wasmAs = join(repository, 'tests/node_modules/binaryen/bin/wasm-as');

export const token = 'gt-bench-7Qe2xVb9Lw3pRs7T';
const providerKey = 'sk-bench-2Fg5hYu89Lw3pRs7Tz6yHj3';

/** The environment of Envoy, for the filter and for the Lua script. */
export const environment = { OPENAI_API_KEY: providerKey, GATEWAY_TOKEN: token };

/** A route that Envoy answers itself. */
export const directResponse = {
  match: { prefix: '/' },
  direct_response: { status: 200, body: { inline_string: '{}' } },
};

/** The configuration of a gateway with this many callers; the one that calls is the last of them. */
export function configuration({ callers = 1 } = {}) {
  const others = Array.from({ length: callers - 1 }, (_, index) => [
    `caller-${index}`,
    { tokens: [{ sha256: sha256(`gt-bench-other-${index}`) }] },
  ]);
  return {
    providers: { openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' } } },
    callers: Object.fromEntries([...others, ['web-app', { tokens: [{ sha256: sha256(token) }] }]]),
    policies: { default: { provider: 'openai' } },
  };
}

/** The filter, or another `module` of it, in a VM of its own. */
export function realtimeByok(vmId, { module = modulePath(), ...options } = {}) {
  return wasmFilter({ configuration: configuration(options), hostEnvKeys: ['OPENAI_API_KEY'], vmId, module });
}

/** The filter as a dynamic module. */
export function native(options = {}) {
  return nativeFilter({ configuration: configuration(options), pluginName: 'native' });
}

/** A module of this folder, written by hand, in a VM of its own. */
export function handWritten(wat, directory = scratchDirectory()) {
  const module = join(directory, `${wat}.wasm`);
  execFileSync(process.execPath, [wasmAs, fileURLToPath(new URL(wat, import.meta.url)), '-o', module]);
  return wasmFilter({ configuration: '', module, vmId: wat });
}

/** Envoy's Lua filter with a script of this folder; by default, one that does the same job. */
export function lua(script = 'exchange.lua') {
  return {
    name: 'envoy.filters.http.lua',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua',
      default_source_code: { inline_string: readFileSync(new URL(script, import.meta.url), 'utf8') },
    },
  };
}

/**
 * Starts an Envoy with one worker. `filters` is `{ variant: filter or null }`. Returns `{ envoy, variants }`, where
 * each variant is `{ name, port }`. `filtersBefore` stand in front of each, `hcm` are further settings of every connection
 * manager.
 */
export async function startVariants(
  filters,
  { routes = [directResponse], clusters = [], filtersBefore = [], hcm = { access_log: [] } } = {},
) {
  const directory = scratchDirectory();
  const listeners = Object.entries(filters).map(([name, filter]) =>
    listener({ name, directory, routes, filter, filtersBefore, hcm }),
  );
  const envoy = await startEnvoy(bootstrap({ listeners, clusters }), { directory, env: environment, concurrency: 1 });
  const variants = [];
  for (const name of Object.keys(filters)) variants.push({ name, port: await envoy.port(name) });
  return { envoy, variants };
}
