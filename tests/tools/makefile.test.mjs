// The Makefile, as somebody meets it who types `make`.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { repository } from '../e2e/harness/index.mjs';

test('make alone shows every target', () => {
  const makefile = readFileSync(join(repository, 'Makefile'), 'utf8');
  const targets = [...makefile.matchAll(/^\.PHONY: (.+)$/gm)].flatMap(([, names]) => names.split(' '));
  assert.ok(targets.includes('e2e'));
  const shown = execFileSync('make', { cwd: repository, encoding: 'utf8' });
  const listed = [...shown.matchAll(/^ {2}make (\S+) +\S/gm)].map(([, name]) => name);
  assert.deepEqual(listed.toSorted(), targets.toSorted());
});
