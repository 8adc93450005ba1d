import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { deployPath } from './files.mjs';

/** A self-signed certificate by the shipped script: `{ directory, chain, key }`. */
export function selfSigned(parent, ...names) {
  mkdirSync(parent, { recursive: true });
  const directory = join(parent, names[0]);
  execFileSync(deployPath('tls.sh'), [directory, ...names]);
  return { directory, chain: join(directory, 'tls.crt'), key: join(directory, 'tls.key') };
}
