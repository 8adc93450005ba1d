// JSON held against the types of the official SDK, by the TypeScript compiler.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository } from '../paths.mjs';
import { startProcess } from '../process.mjs';

const modules = join(repository, 'tests/node_modules');

/** The SDK's types by short names, each with the file that declares it. */
const sdkTypes = {
  ClientSecretCreateResponse: 'realtime/client-secrets',
  ClientSecretCreateParams: 'realtime/client-secrets',
  RealtimeSessionCreateRequest: 'realtime/realtime',
  RealtimeTranscriptionSessionCreateRequest: 'realtime/realtime',
  RealtimeTranslationSessionCreateRequest: 'realtime/realtime',
  RealtimeTranslationClientSecretCreateResponse: 'realtime/realtime',
  CallCreateParams: 'realtime/calls',
  LiveCreateParams: 'live/live',
  LiveCreateResponse: 'live/live',
  MediaSessionConfig: 'live/live',
  ServerEvent: 'live/live',
  RealtimeTranslationServerEvent: 'realtime/realtime',
  SessionCreateParams: 'beta/realtime/sessions',
  SessionCreateResponse: 'beta/realtime/sessions',
  TranscriptionSession: 'beta/realtime/transcription-sessions',
  TranscriptionSessionCreateParams: 'beta/realtime/transcription-sessions',
};

/**
 * What the compiler has against `checks`, or ''. A check is `{ type, value }`: the value has the type and no member
 * beside it; with `besides`, a type in TypeScript, those members too; or `{ type, names }`: the type has exactly
 * these members.
 */
export async function typeErrors(checks) {
  const directory = mkdtempSync(join(tmpdir(), 'realtime-byok-types-'));
  const source = join(directory, 'checks.mts');
  writeFileSync(source, sourceOf(checks), { mode: 0o600 });
  try {
    const compiler = startProcess(process.execPath, [
      join(modules, 'typescript/bin/tsc'),
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--target',
      'es2022',
      '--module',
      'nodenext',
      '--types',
      '',
      source,
    ]);
    const { code } = await compiler.finished();
    return code === 0 ? '' : compiler.output();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function sourceOf(checks) {
  const imports = Object.entries(sdkTypes).map(
    ([type, file]) => `import type { ${type} } from '${modules}/openai/resources/${file}.mjs';`,
  );
  const statements = checks.map(({ type, value, besides, names }, index) =>
    names === undefined
      ? `export const check${index}: ${type}${besides ? ` & ${besides}` : ''} = ${JSON.stringify(value)};`
      : `export const check${index}: Same<${names.map((name) => `'${name}'`).join(' | ')}, keyof ${type}> = true;`,
  );
  const same = 'type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;';
  return [...imports, same, ...statements].join('\n');
}
