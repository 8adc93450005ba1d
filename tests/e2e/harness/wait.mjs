import { setTimeout as sleep } from 'node:timers/promises';

/** What a busy machine may add to a time that is promised. */
export const delayMs = 10_000;

/**
 * Calls `probe` until it returns something truthy, and returns that.
 *
 * Throws, naming `what`, after `timeoutMs`. What `probe` throws ends the wait at once.
 */
export async function until(what, probe, { timeoutMs = 30_000, intervalMs = 20 } = {}) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const result = await probe();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await sleep(intervalMs);
  }
}
