// `make bench`: measures files of rows/ in turn, says what came out, and writes target/bench/summary.json.
//
//   node benches/envoy/run.mjs [--old MODULE] [ROW…]
//
// Without a ROW it measures all. With `--old` the rows that can also measure that module, in turns with the one that was
// built, so that both meet the same machine.
//
// A file of rows/ exports `title` and `measure({ old })`, which resolves to `{ says, rows }`: a line for people, and the
// rows `{ name, value, unit, aim, holds }`. A row that misses its aim says so; it is no failure.
import { execFileSync } from 'node:child_process';
import { accessSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { envoyBinary, repository } from '../../tests/e2e/harness/index.mjs';

const summaryPath = join(repository, 'target/bench/summary.json');

const { values: given, positionals } = parseArgs({ options: { old: { type: 'string' } }, allowPositionals: true });
const old = given.old === undefined ? undefined : resolve(given.old);
if (old !== undefined) accessSync(old);
const rows = positionals.length > 0 ? positionals : allRows();

const [, version] = /\/(\d+\.\d+\.\d+)\//.exec(execFileSync(envoyBinary(), ['--version'], { encoding: 'utf8' })) ?? [];
console.log(`Envoy ${version}, one worker, on ${availableParallelism()} cores with a load of ${loadavg()[0].toFixed(1)}.`);
console.log('CPU time of Envoy per request or exchange, not wall time; medians over interleaved rounds.');

const summary = [];
for (const row of rows) {
  const { title, measure } = await import(`./rows/${row}.mjs`);
  console.log(`\n${title}`);
  const measured = await measure({ old });
  console.log(`  ${measured.says}`);
  for (const one of measured.rows) console.log(`  ${line(one)}`);
  summary.push(...measured.rows);
}
mkdirSync(dirname(summaryPath), { recursive: true });
writeFileSync(summaryPath, `${JSON.stringify(summary, null, 2)}\n`);
console.log(`\nWritten to ${relative(process.cwd(), summaryPath)}`);

function allRows() {
  const files = readdirSync(new URL('rows/', import.meta.url)).filter((name) => name.endsWith('.mjs'));
  return files.map((name) => name.replace('.mjs', '')).sort();
}

function line({ name, value, unit, aim, holds }) {
  const verdict = aim === null ? '' : `aim ${aim}: ${holds ? 'holds' : 'missed'}`;
  return `${name.padEnd(26)} ${`${value} ${unit}`.padEnd(16)} ${verdict}`.trimEnd();
}
