// The gateway under test: one Envoy, its listeners, and the filter in front of the upstreams.
import { join } from 'node:path';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { bootstrap, cluster, discoveredFilter, ecdsFile, filterOfHost, ldsFile, listener } from './config.mjs';
import { scratchDirectory, startEnvoy, validateBootstrap } from './envoy.mjs';
import { exchange, requestBytes } from './http1.mjs';
import { exchangeHttp2 } from './http2.mjs';
import { until } from './wait.mjs';

let cases = 0;

/**
 * Starts Envoy with the filter.
 *
 * - `upstreams`: cluster name to port; the default route goes to `upstream`
 * - `configuration`, `encoding`, `allowOnHeadersStopIteration`, `failurePolicy`, `hostEnvKeys`: the filter, as
 *   `wasmFilter` takes them; `filter: false` leaves it out; `hostEnvKeys` defaults to the names in `env`
 * - `env`: the environment of Envoy
 * - `routes`, `filtersBefore`, `filtersAfter`, `hcm`: parts of the listener, as `listener` takes them
 * - `tls: true` adds a second listener, `https`, with the self-signed certificate
 * - `others`: further listeners by name, each with what it changes of these options
 * - `dynamic: true` loads the listeners from a file, which `replaceListeners` then swaps
 * - `discovered: true` loads the filter of each listener from a file of its own (ECDS), which `replaceFilter` then swaps
 * - `pluginName`: the name of the plugin, and of its filter
 * - `logLevel`, `componentLogLevel`, `concurrency`, `drainSeconds`: as `startEnvoy` takes them
 */
export async function startGateway(options) {
  const directory = scratchDirectory();
  const listeners = listenersOf(options, directory);
  if (options.discovered) writeFilters(options, directory, 1);
  const clusters = clustersOf(options);
  const ldsPath = options.dynamic ? join(directory, 'lds.json') : undefined;
  let version = 1;
  if (ldsPath) writeFileSync(ldsPath, JSON.stringify(ldsFile(listeners, version)), { mode: 0o600 });
  const envoy = await startEnvoy(bootstrap(ldsPath ? { clusters, ldsPath } : { listeners, clusters }), {
    directory,
    env: options.env,
    logLevel: options.logLevel,
    componentLogLevel: options.componentLogLevel,
    concurrency: options.concurrency,
    drainSeconds: options.drainSeconds,
  });
  const ports = {};
  for (const { name } of listeners) {
    ports[name] = await until(`listener ${name}`, () => envoy.port(name).catch(() => null));
  }

  return {
    envoy,
    port: ports.http,
    securePort: ports.https,
    stop: envoy.stop,
    /**
     * Sends a request (`upgradeRequest`, `restRequest`, or any value for `requestBytes`) with an `x-case` of
     * its own, and returns the answer with that `case`. It goes to the listener `to`, or over `socket`.
     */
    async send(request, sending = {}) {
      const { secure = false, to = secure ? 'https' : 'http', timeoutMs, after = Buffer.alloc(0), socket } = sending;
      const id = nextCase();
      const bytes = requestBytes({ ...request, headers: [...request.headers, ['x-case', id]] });
      const answer = await exchange(ports[to], Buffer.concat([bytes, after]), {
        secure,
        socket,
        timeoutMs,
        bodiless: request.method === 'HEAD',
      });
      return { ...answer, case: id };
    },
    /** The same over HTTP/2; `request` as `exchangeHttp2` takes it. */
    async sendHttp2(request) {
      const id = nextCase();
      const answer = await exchangeHttp2(ports.http, {
        ...request,
        headers: [...(request.headers ?? []), ['x-case', id]],
      });
      return { ...answer, case: id };
    },
    /**
     * Replaces the listeners by what `changes` makes of the options. Resolves to `accepted` or `rejected`,
     * as Envoy counts it.
     */
    async replaceListeners(changes) {
      const outcomes = async () => ({
        accepted: await envoy.stat('listener_manager.lds.update_success'),
        rejected: await envoy.stat('listener_manager.lds.update_rejected'),
      });
      const before = await outcomes();
      const next = listenersOf({ ...options, ...changes }, directory);
      version += 1;
      const staged = join(directory, 'lds.next');
      writeFileSync(staged, JSON.stringify(ldsFile(next, version)), { mode: 0o600 });
      renameSync(staged, ldsPath);
      return until('Envoy to judge the listeners', async () => {
        const now = await outcomes();
        if (now.rejected > before.rejected) return 'rejected';
        return now.accepted > before.accepted ? 'accepted' : null;
      });
    },
    /** Replaces the filters of all listeners by what `changes` makes of the options, and waits until Envoy has taken them. */
    async replaceFilter(changes) {
      const taken = () => envoy.statsSum('extension_config_discovery.*update_success$');
      const before = await taken();
      version += 1;
      const count = writeFilters({ ...options, ...changes }, directory, version);
      await until('Envoy to take the filters', async () => (await taken()) >= before + count);
    },
    /** The port of a listener now; a replaced listener may have moved. */
    currentPort: (name = 'http') => envoy.port(name),
  };
}

/** Whether Envoy would start with these options: `{ ok, output }`. */
export async function validateGateway(options) {
  const directory = scratchDirectory();
  return validateBootstrap(bootstrap({ listeners: listenersOf(options, directory), clusters: clustersOf(options) }), {
    env: options.env,
    directory,
  });
}

/** An identifier that no other request of this process has. */
export function nextCase() {
  cases += 1;
  return `case-${process.pid}-${cases}`;
}

function listenersOf({ others = {}, ...options }, directory) {
  return [
    listenerOf('http', options, directory),
    ...(options.tls ? [listenerOf('https', options, directory, { tls: true })] : []),
    ...Object.entries(others).map(([name, changes]) => listenerOf(name, { ...options, ...changes }, directory)),
  ];
}

function listenerOf(name, options, directory, { tls = false } = {}) {
  const { routes, filtersBefore, filtersAfter, hcm } = options;
  const whole = options.filter === false ? null : filterOf(options);
  const filter = options.discovered ? discoveredFilter(whole, ecdsDirectory(name, directory)) : whole;
  return listener({ name, directory, filter, tls, ...defined({ routes, filtersBefore, filtersAfter, hcm }) });
}

function filterOf(options) {
  const { configuration, encoding, allowOnHeadersStopIteration, failurePolicy, module, vmId, pluginName } = options;
  const { env = {}, hostEnvKeys = Object.keys(env) } = options;
  const of = { configuration, encoding, allowOnHeadersStopIteration, failurePolicy, hostEnvKeys, module, vmId, pluginName };
  return filterOfHost(defined(of));
}

const ecdsDirectory = (listenerName, directory) => join(directory, `ecds-${listenerName}`);

/** Puts the filters of all listeners in place, each by a rename, and says how many there are. */
function writeFilters({ others = {}, ...options }, directory, version) {
  const filters = [
    ['http', options],
    ...(options.tls ? [['https', options]] : []),
    ...Object.entries(others).map(([name, changes]) => [name, { ...options, ...changes }]),
  ];
  for (const [name, of] of filters) {
    const own = ecdsDirectory(name, directory);
    mkdirSync(own, { recursive: true });
    const staged = join(own, 'next');
    writeFileSync(staged, JSON.stringify(ecdsFile(filterOf(of), version)), { mode: 0o600 });
    renameSync(staged, join(own, 'ecds.json'));
  }
  return filters.length;
}

function clustersOf({ upstreams = {}, clusters = [] }) {
  return [...Object.entries(upstreams).map(([name, port]) => cluster(name, port)), ...clusters];
}

function defined(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
