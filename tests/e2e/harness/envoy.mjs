// A real Envoy, started with a bootstrap and ended by pid.
import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { envoyBinary, nativeDirectory } from './paths.mjs';
import { startProcess } from './process.mjs';
import { until } from './wait.mjs';

const startTimeoutMs = 30_000;

/** A private directory for one Envoy's files; configurations may hold secrets. */
export function scratchDirectory() {
  return mkdtempSync(join(tmpdir(), 'realtime-byok-'));
}

/**
 * Starts Envoy and waits until it is ready.
 *
 * `directory` receives the bootstrap and the access log and is removed by `stop`. `logLevel` is Envoy's
 * own, `componentLogLevel` a list such as `wasm:trace`, `drainSeconds` how long what drains may stay. A start that fails throws with Envoy's log.
 */
export async function startEnvoy(
  bootstrap,
  { directory = scratchDirectory(), env = {}, logLevel = 'info', componentLogLevel, concurrency = 1, drainSeconds } = {},
) {
  const adminAddressPath = join(directory, 'admin');
  const envoy = startProcess(
    envoyBinary(),
    [
      '--config-path',
      writeBootstrap(directory, bootstrap),
      '--admin-address-path',
      adminAddressPath,
      '--disable-hot-restart',
      '--concurrency',
      String(concurrency),
      '--file-flush-interval-msec',
      '10',
      '--log-level',
      logLevel,
      ...(componentLogLevel ? ['--component-log-level', componentLogLevel] : []),
      ...(drainSeconds === undefined ? [] : ['--drain-time-s', String(drainSeconds)]),
    ],
    { env: withSearchPath(env) },
  );
  const stop = async () => {
    await envoy.stop();
    rmSync(directory, { recursive: true, force: true });
  };

  let adminPort = null;
  const admin = (path, options) => fetch(`http://127.0.0.1:${adminPort}${path}`, options);
  try {
    await until(
      'Envoy to be ready',
      async () => {
        if (envoy.exit()) throw new Error(`Envoy ended at once: ${JSON.stringify(envoy.exit())}`);
        adminPort ??= readPort(adminAddressPath);
        return adminPort !== null && (await isReady(admin));
      },
      { timeoutMs: startTimeoutMs },
    );
  } catch (error) {
    await stop();
    throw new Error(`${error.message}\n${envoy.output()}`);
  }

  return {
    pid: envoy.pid,
    directory,
    stop,
    exit: envoy.exit,
    /** All that Envoy has logged so far. */
    log: envoy.output,
    admin,
    /** The port that the listener of this name is bound to. */
    port: async (name) => {
      const { listener_statuses: statuses = [] } = await (await admin('/listeners?format=json')).json();
      const status = statuses.find((one) => one.name === name);
      if (!status) throw new Error(`Envoy has no listener ${name}`);
      return status.local_address.socket_address.port_value;
    },
    /** The value of one counter or gauge, 0 while it does not exist. */
    stat: async (name) => {
      const text = await (await admin(`/stats?filter=^${escape(name)}$`)).text();
      const line = text.split('\n').find((one) => one.startsWith(`${name}: `));
      return line === undefined ? 0 : Number(line.slice(name.length + 2));
    },
    /** The sum of all counters and gauges whose names match. */
    statsSum: async (regex) => {
      const text = await (await admin(`/stats?filter=${encodeURIComponent(regex)}`)).text();
      return text.split('\n').filter(Boolean).reduce((sum, line) => sum + Number(line.split(': ').at(-1)), 0);
    },
    /** Every access-log entry so far. */
    accessLog: () => readAccessLog(directory),
    /** The access-log entry of the request that carried this `x-case`; waits for it. */
    accessLogOf: (id) =>
      until(`the access log of case ${id}`, () => readAccessLog(directory).find((entry) => entry.case === id), {
        timeoutMs: 5_000,
        intervalMs: 5,
      }),
  };
}

/** Loads a bootstrap without serving: `{ ok, output }`. Runs the module's own start-up and configuration. */
export async function validateBootstrap(bootstrap, { env = {}, directory = scratchDirectory() } = {}) {
  try {
    return await validateFile(writeBootstrap(directory, bootstrap), { env });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Loads an Envoy configuration file without serving: `{ ok, output }`. */
export async function validateFile(path, { env = {}, cwd } = {}) {
  const envoy = startProcess(
    envoyBinary(),
    ['--mode', 'validate', '--config-path', path, '--disable-hot-restart', '--log-level', 'info'],
    { env: withSearchPath(env), cwd },
  );
  const { code } = await envoy.finished();
  return { ok: code === 0, output: envoy.output() };
}

/** Where Envoy looks for dynamic modules. */
const withSearchPath = (env) => ({ ENVOY_DYNAMIC_MODULES_SEARCH_PATH: nativeDirectory(), ...env });

function writeBootstrap(directory, bootstrap) {
  const path = join(directory, 'envoy.yaml');
  writeFileSync(path, JSON.stringify(bootstrap), { mode: 0o600 });
  return path;
}

function readPort(adminAddressPath) {
  if (!existsSync(adminAddressPath)) return null;
  const port = Number(readFileSync(adminAddressPath, 'utf8').split(':').at(-1));
  return port > 0 ? port : null;
}

async function isReady(admin) {
  try {
    return (await admin('/ready')).status === 200;
  } catch {
    return false;
  }
}

function readAccessLog(directory) {
  const path = join(directory, 'access.log');
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8');
  // The last line may be half written.
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  return complete
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

function escape(text) {
  return encodeURIComponent(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
}
