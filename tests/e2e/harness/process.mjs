// Child processes that cannot outlive the test that started them.
import { spawn } from 'node:child_process';

// The child's standard input is a pipe that only this process holds. When this process ends, in whatever
// way, the pipe closes and the watcher ends the child, whose pid `$$` stays the same through `exec`.
const leash = 'exec 3<&0; (cat <&3; kill $$) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null';

const termGraceMs = 5_000;

/**
 * Starts `command` and keeps what it prints.
 *
 * `env` is the child's whole environment beside PATH and HOME, so that nothing of the machine's own leaks in.
 */
export function startProcess(command, args, { env = {}, cwd } = {}) {
  const child = spawn('/bin/sh', ['-c', leash, 'sh', command, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {});

  const chunks = [];
  child.stdout.on('data', (chunk) => chunks.push(chunk));
  child.stderr.on('data', (chunk) => chunks.push(chunk));

  let exit = null;
  const exited = new Promise((resolve) => {
    child.once('error', (error) => resolve((exit = { code: null, signal: null, error })));
    child.once('exit', (code, signal) => {
      child.stdin.destroy();
      resolve((exit = { code, signal }));
    });
  });
  const closed = new Promise((resolve) => child.once('close', resolve));

  return {
    pid: child.pid,
    /** Both output streams so far, in the order they came. */
    output: () => Buffer.concat(chunks).toString('utf8'),
    /** `{ code, signal }` once it has ended, else null. */
    exit: () => exit,
    exited,
    /** Resolves when it has ended and all it printed was read. */
    async finished() {
      const result = await exited;
      if (!result.error) await closed;
      return result;
    },
    async stop() {
      if (exit) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), termGraceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}
