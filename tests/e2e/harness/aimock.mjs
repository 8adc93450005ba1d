// @copilotkit/aimock: OpenAI's API, served by software that nobody here wrote, with its own check of the key.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository } from './paths.mjs';
import { startProcess } from './process.mjs';
import { until } from './wait.mjs';

const commandLine = join(repository, 'tests/node_modules/@copilotkit/aimock/dist/cli.js');

/** What every test may ask, over REST and over the realtime WebSocket. */
export const defaultFixtures = [
  { match: { userMessage: 'hello' }, response: { content: 'Hello! How can I help you today?' } },
];

/**
 * Starts aimock on a free port. It takes only `keys` as credentials; without any it checks none.
 */
export async function startAimock({ keys = [], fixtures = defaultFixtures } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'realtime-byok-aimock-'));
  const fixturePath = join(directory, 'fixtures.json');
  writeFileSync(fixturePath, JSON.stringify({ fixtures }));
  const aimock = startProcess(
    process.execPath,
    [commandLine, '--port', '0', '--host', '127.0.0.1', '--fixtures', fixturePath],
    { env: keys.length === 0 ? {} : { AIMOCK_API_KEYS: keys.join(',') } },
  );
  const stop = async () => {
    await aimock.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  let port;
  try {
    port = await until('aimock to listen', () => {
      if (aimock.exit()) throw new Error('aimock ended at once');
      const match = /listening on http:\/\/[^:]+:(\d+)/.exec(aimock.output());
      return match && Number(match[1]);
    });
  } catch (error) {
    await stop();
    throw new Error(`${error.message}\n${aimock.output()}`);
  }
  const control = (path, options) =>
    fetch(`http://127.0.0.1:${port}/__aimock${path}`, {
      ...options,
      headers: keys.length === 0 ? {} : { authorization: `Bearer ${keys[0]}` },
    });
  return {
    port,
    stop,
    log: aimock.output,
    /** Its journal: `[{ method, path, headers, body, response, service? }…]`, key headers redacted. */
    journal: async () => {
      const answer = await (await control('/journal')).json();
      return Array.isArray(answer) ? answer : (answer.entries ?? answer.requests);
    },
  };
}
