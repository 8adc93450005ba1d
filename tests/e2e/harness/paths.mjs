// Where the parts of the test rig are. Every one can be pointed elsewhere by an environment variable.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the checkout, without a trailing slash. */
export const repository = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

/** What set-up made and git ignores: the Python venv, the TLS certificate. */
export const workDirectory = join(repository, '.work');

/** The filter under test. */
export function modulePath() {
  return process.env.REALTIME_BYOK_WASM ?? join(repository, 'target/wasm32-wasip1/release/realtime_byok.wasm');
}

/** The directory of the native library, `librealtime_byok.so`. */
export function nativeDirectory() {
  return process.env.REALTIME_BYOK_NATIVE ?? join(repository, 'target/native');
}

/** Envoy's binary: `ENVOY_BIN`, or the one that `make` installed into the venv. */
export function envoyBinary() {
  if (process.env.ENVOY_BIN) return process.env.ENVOY_BIN;
  const libraries = join(workDirectory, 'venv/lib');
  const pythons = existsSync(libraries) ? readdirSync(libraries) : [];
  for (const python of pythons) {
    const binary = join(libraries, python, 'site-packages/envoy/_bin/envoy');
    if (existsSync(binary)) return binary;
  }
  throw new Error('Envoy is not installed: run `make setup`, or set ENVOY_BIN to its binary');
}

/** The self-signed certificate for `localhost` and `127.0.0.1`, and its key. */
export const certificate = {
  chain: join(workDirectory, 'tls/tls.crt'),
  key: join(workDirectory, 'tls/tls.key'),
};

/** Chromium's binary, or null: `CHROMIUM_BIN`, or what the PATH has. */
export function chromiumBinary() {
  if (process.env.CHROMIUM_BIN) return process.env.CHROMIUM_BIN;
  const directories = (process.env.PATH ?? '').split(':').filter(Boolean);
  const candidates = ['chromium', 'chromium-browser', 'google-chrome'].flatMap((name) =>
    directories.map((directory) => join(directory, name)),
  );
  return candidates.find((candidate) => existsSync(candidate)) ?? null;
}

/** A program of Prometheus's, or null: in `PROMETHEUS_BIN`, a directory; as `make setup` got it; or on the PATH. */
export function prometheusBinary(name) {
  const directories = [process.env.PROMETHEUS_BIN, join(workDirectory, 'prometheus/usr/bin')];
  directories.push(...(process.env.PATH ?? '').split(':'));
  const candidates = directories.filter(Boolean).map((directory) => join(directory, name));
  return candidates.find((candidate) => existsSync(candidate)) ?? null;
}
