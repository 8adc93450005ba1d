// Parts that live as long as a test file: started before its tests, ended after them.
import { after, afterEach, before } from 'node:test';
import { startAimock } from './aimock.mjs';
import { startGateway } from './gateway.mjs';
import { startRecorder } from './recorder.mjs';

/** A recorder for this file; the returned object works from the first `before` hook on. */
export function useRecorder() {
  return useFor(() => startRecorder());
}

/** An aimock for this file. `options` as `startAimock` takes them. */
export function useAimock(options) {
  return useFor(() => startAimock(options));
}

/**
 * A gateway for this file. `options` is what `startGateway` takes, or a function of nothing that returns it,
 * called once the parts that were asked for earlier run. Envoy's log of a failing test is printed.
 */
export function useGateway(options) {
  const gateway = useFor(() => startGateway(typeof options === 'function' ? options() : options));
  let printed = 0;
  afterEach((context) => {
    const log = gateway.envoy?.log() ?? '';
    if (context.passed === false && log.length > printed) {
      console.error(`--- Envoy's log for: ${context.name}\n${log.slice(printed).slice(-20_000)}\n---`);
    }
    printed = log.length;
  });
  return gateway;
}

const parts = [];

/**
 * A part of this file: what `start` resolves to, ended by its `stop`.
 *
 * One hook starts all parts, in the order they were asked for: hooks of their own would start together.
 */
export function useFor(start) {
  const part = {};
  parts.push({ part, start });
  if (parts.length === 1) {
    before(startAll);
    after(stopAll);
  }
  return part;
}

async function startAll() {
  for (const { part, start } of parts) Object.assign(part, await start());
}

async function stopAll() {
  for (const { part } of parts.toReversed()) await part.stop?.();
}
