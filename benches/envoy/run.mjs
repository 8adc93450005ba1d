// `make bench`: measures every file of rows/ in turn, says what came out, and writes target/bench/summary.json.
//
// A file of rows/ exports `title` and `measure()`, which resolves to `{ says, rows }`: a line for people, and the rows
// `{ name, value, unit, aim, holds }`. A row that misses its aim says so; it is no failure.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { envoyBinary, repository } from '../../tests/e2e/harness/index.mjs';

const summaryPath = join(repository, 'target/bench/summary.json');

const [, version] = /\/(\d+\.\d+\.\d+)\//.exec(execFileSync(envoyBinary(), ['--version'], { encoding: 'utf8' })) ?? [];
console.log(`Envoy ${version}, one worker, on ${availableParallelism()} cores with a load of ${loadavg()[0].toFixed(1)}.`);
console.log('CPU time of Envoy per request or exchange, not wall time; medians over interleaved rounds.');

const summary = [];
for (const file of readdirSync(new URL('rows/', import.meta.url)).filter((name) => name.endsWith('.mjs')).sort()) {
  const { title, measure } = await import(`./rows/${file}`);
  console.log(`\n${title}`);
  const { says, rows } = await measure();
  console.log(`  ${says}`);
  for (const row of rows) console.log(`  ${line(row)}`);
  summary.push(...rows);
}
mkdirSync(dirname(summaryPath), { recursive: true });
writeFileSync(summaryPath, `${JSON.stringify(summary, null, 2)}\n`);
console.log(`\nWritten to ${relative(process.cwd(), summaryPath)}`);

function line({ name, value, unit, aim, holds }) {
  const verdict = aim === null ? '' : `aim ${aim}: ${holds ? 'holds' : 'missed'}`;
  return `${name.padEnd(26)} ${`${value} ${unit}`.padEnd(16)} ${verdict}`.trimEnd();
}
