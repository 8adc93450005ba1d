// An Envoy that is started, asked once, and stopped.
import { rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  bootstrap, envoyBinary, freePort, listener, nativeDirectory, scratchDirectory, startProcess,
} from '../../../tests/e2e/harness/index.mjs';
import { cpuMicroseconds } from './cpu.mjs';
import { directResponse, environment, token } from './envoy.mjs';

const timeoutMs = 60_000;

/**
 * Starts an Envoy of one worker: `{ wall, cpu }`, the milliseconds to its answer to a request with a gateway token, and what
 * it ran meanwhile, which does not depend on what else the machine does.
 */
export async function start(filter) {
  const directory = scratchDirectory();
  const one = listener({ name: 'ready', directory, routes: [directResponse], filter, hcm: { access_log: [] } });
  const port = await freePort();
  one.address.socket_address.port_value = port;
  const path = join(directory, 'envoy.yaml');
  writeFileSync(path, JSON.stringify(bootstrap({ listeners: [one] })), { mode: 0o600 });
  const args = ['--config-path', path, '--disable-hot-restart', '--concurrency', '1', '--log-level', 'warn'];

  const started = performance.now();
  const envoy = startProcess(envoyBinary(), args, {
    env: { ENVOY_DYNAMIC_MODULES_SEARCH_PATH: nativeDirectory(), ...environment },
  });
  try {
    while (!(await isAnswered(port))) {
      if (envoy.exit() || performance.now() - started > timeoutMs) throw new Error(`Envoy is not ready:\n${envoy.output()}`);
      await sleep(2);
    }
    return { wall: performance.now() - started, cpu: cpuMicroseconds(envoy.pid) / 1000 };
  } finally {
    await envoy.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function isAnswered(port) {
  return new Promise((resolve) => {
    const request = http.get({ port, host: '127.0.0.1', path: '/v1/models', headers: { authorization: `Bearer ${token}` } });
    request.on('response', (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false));
  });
}
