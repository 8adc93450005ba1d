// How many instructions the filter takes for what it does once, natively, by callgrind: a number that does not depend
// on how busy the machine is. What Envoy's side of a hostcall takes is not counted.
//
// node benches/instructions.mjs [bench binary]: without one, it is built. Prints a table, and JSON with --json.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SCENARIOS = ['handshake', 'end', 'created', 'done', 'delta', 'append', 'append_locked', 'update_locked', 'retrieve',
  'rest', 'rest_ruled', 'mint', 'tick'];
// Scenarios that begin with a handshake, which is not theirs.
const SESSIONS = ['end', 'created', 'done', 'delta', 'append', 'append_locked', 'update_locked'];
const EXPORTS = ['context_create', 'request_headers', 'request_body', 'request_trailers', 'response_headers',
  'response_body', 'response_trailers', 'tick', 'log', 'done', 'delete'].map((name) => `proxy_on_${name}`);
const [FEW, MANY] = [20, 120];

const folder = mkdtempSync(join(tmpdir(), 'instructions-'));
const [given] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const binary = given ?? build();
const results = {};
for (const scenario of SCENARIOS) {
  const [few, many] = [FEW, MANY].map((rounds) => counted(scenario, rounds));
  results[scenario] = Math.round((many - few) / (MANY - FEW));
}
rmSync(folder, { recursive: true });
print();

function build() {
  const settings = { OPT_LEVEL: '3', LTO: 'off', CODEGEN_UNITS: '1', STRIP: 'none', DEBUG: '1', PANIC: 'unwind' };
  const env = { ...process.env };
  for (const [name, value] of Object.entries(settings)) env[`CARGO_PROFILE_BENCH_${name}`] = value;
  const out = execFileSync('cargo', ['bench', '--bench', 'instructions', '--no-run', '--message-format=json',
    ...(process.env.PACKAGE ?? '-p realtime-byok-proxy-wasm').split(' ').filter(Boolean)],
  { env, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] });
  const artifacts = out.trim().split('\n').map((line) => JSON.parse(line));
  return artifacts.findLast((artifact) => artifact.target?.name === 'instructions' && artifact.executable).executable;
}

// Instructions below each export, without those below the hostcalls that it made.
function counted(scenario, rounds) {
  const file = join(folder, `${scenario}.${rounds}`);
  execFileSync('valgrind', ['--quiet', '--tool=callgrind', `--callgrind-out-file=${file}`, '--compress-strings=no',
    '--compress-pos=no', '--dump-instr=no', ...EXPORTS.map((name) => `--toggle-collect=${name}`),
    binary, scenario, String(rounds)],
  { stdio: ['ignore', 'ignore', 'inherit'] });
  return read(readFileSync(file, 'utf8'));
}

function read(text) {
  let total = 0;
  let [caller, callee] = ['', ''];
  let isCall = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('fn=')) caller = line.slice(3);
    else if (line.startsWith('cfn=')) callee = line.slice(4);
    else if (line.startsWith('calls=')) isCall = true;
    else if (/^\d/.test(line)) {
      const cost = Number(line.split(' ')[1]);
      if (EXPORTS.includes(caller)) total += cost;
      if (isCall && isHostcall(callee) && !isHostcall(caller)) total -= cost;
      isCall = false;
    }
  }
  return total;
}

function isHostcall(name) {
  return name === 'getrandom' || /^proxy_(?!on_|wasm)/.test(name);
}

function print() {
  for (const scenario of SESSIONS) results[scenario] -= results.handshake;
  if (process.argv.includes('--json')) return console.log(JSON.stringify(results));
  for (const [scenario, count] of Object.entries(results)) {
    console.log(`${scenario.padEnd(14)} ${count.toLocaleString('en').padStart(12)}`);
  }
}
