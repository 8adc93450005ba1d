// What the page on metrics and logs says of the access log is what the shipped access log has.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { repository } from '../e2e/harness/index.mjs';
import { table } from './markdown.mjs';

test('every field of the access log is in the table', () => {
  const shipped = readFileSync(join(repository, 'envoy/envoy.yaml'), 'utf8').matchAll(/wasm\.realtime_byok\.(\w+):PLAIN/g);
  const rows = table('docs/observability.md', '| field | of a session | of a REST answer that was counted | of a refusal |');
  assert.deepEqual(rows.flatMap(([fields]) => fields.split(', ')).sort(), Array.from(shipped, ([, field]) => field).sort());
});
