// CPU time of a process, as the kernel's scheduler counts it: nanoseconds, not wall time and not clock ticks.
import { readdirSync, readFileSync } from 'node:fs';

/** What all living threads of a process have run, in microseconds. */
export function cpuMicroseconds(pid) {
  const tasks = `/proc/${pid}/task`;
  const nanoseconds = readdirSync(tasks).reduce((sum, task) => sum + runTime(`${tasks}/${task}/schedstat`), 0);
  return nanoseconds / 1000;
}

function runTime(path) {
  try {
    return Number(readFileSync(path, 'utf8').split(' ')[0]);
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return 0; // The thread has just ended.
    throw error;
  }
}
