// Programs as a user would write them, run as a user would run them.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { certificate, workDirectory } from '../e2e/harness/index.mjs';

const timeoutMs = 60_000;

/**
 * Runs a program of `programs/`, which trusts the gateway's certificate by the means of its language. `env` is all that
 * it sees beside PATH and HOME. Returns the JSON value that it prints; rejects with what it complains about.
 */
export function runProgram(name, env, { nodeOptions = [] } = {}) {
  const path = fileURLToPath(new URL(`programs/${name}`, import.meta.url));
  const [command, args, trust] = name.endsWith('.py')
    ? [join(workDirectory, 'venv/bin/python'), [path], { SSL_CERT_FILE: certificate.chain }]
    : [process.execPath, [...nodeOptions, path], { NODE_EXTRA_CA_CERTS: certificate.chain }];
  if (!existsSync(command)) throw new Error(`${command} is missing: run \`make setup\``);
  const options = { env: { PATH: process.env.PATH, HOME: process.env.HOME, ...trust, ...env }, timeout: timeoutMs };
  return new Promise((resolve, reject) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error || stdout === '') reject(new Error(`${name} failed: ${error?.message ?? 'no output'}\n${stderr}`));
      else resolve({ ...JSON.parse(stdout), complaints: stderr });
    });
  });
}
