// Makes the module that cargo linked cheaper to call, and smaller: drops the callbacks that the filter does not use, which
// the SDK exports all the same and Envoy would call for every chunk of every stream, and lets Binaryen optimise the rest.
//
//   node tools/optimise.mjs LINKED [OPTIMISED]
//
// Without a second name the first file is replaced. cargo puts its own back at every build, so the result is kept beside
// it too, by the digest of what it was made from.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Everything else that the SDK exports is for TCP, gRPC, queues and foreign functions, or does nothing here.
const EXPORTS = [
  'memory',
  '_initialize',
  'proxy_abi_version_0_2_1',
  'proxy_on_memory_allocate',
  'proxy_on_context_create',
  'proxy_on_vm_start',
  'proxy_on_configure',
  'proxy_on_tick',
  'proxy_on_request_headers',
  'proxy_on_request_body',
  'proxy_on_request_trailers',
  'proxy_on_response_headers',
  'proxy_on_response_body',
  'proxy_on_response_trailers',
  'proxy_on_http_call_response',
  'proxy_on_log',
  'proxy_on_delete',
];

// What rustc emits for wasm32-wasip1, and every Envoy since 1.33 takes.
const FEATURES = ['bulk-memory', 'sign-ext', 'mutable-globals', 'nontrapping-float-to-int', 'reference-types', 'multivalue'];

// For speed: inlines the small functions that every header line and every frame passes through.
// `low-memory-unused`: what lies below 1024 is the far end of the stack, which nothing reads by a pointer to zero.
const OPTIMISATIONS = ['-O3', '--low-memory-unused'];

const [input, module = input] = process.argv.slice(2);
const binaryen = fileURLToPath(new URL('../tests/node_modules/binaryen/bin/', import.meta.url));
const linked = readFileSync(input);
const exported = WebAssembly.Module.exports(new WebAssembly.Module(linked)).map(({ name }) => name);
const digest = createHash('sha256').update(linked).update(readFileSync(fileURLToPath(import.meta.url))).digest('hex');
const kept = join(dirname(module), 'optimised', `${digest}.wasm`);

const missing = EXPORTS.filter((name) => !exported.includes(name));
if (missing.length > 0) {
  console.error(`optimise: the module does not export ${missing.join(', ')}`);
  process.exit(1);
}
if (exported.length === EXPORTS.length && input === module) {
  // cargo had nothing to put back.
  process.exit(0);
}
if (!existsSync(kept)) {
  rmSync(dirname(kept), { recursive: true, force: true });
  mkdirSync(dirname(kept), { recursive: true });
  const scratch = mkdtempSync(join(dirname(kept), 'scratch-'));
  const run = (tool, ...args) =>
    execFileSync(process.execPath, [join(binaryen, tool), ...args, ...FEATURES.map((name) => `--enable-${name}`)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  const nodes = EXPORTS.map((name) => ({ name, export: name }));
  const graph = [{ name: 'host', root: true, reaches: EXPORTS }, ...nodes];
  writeFileSync(join(scratch, 'graph.json'), JSON.stringify(graph));
  run('wasm-metadce', input, '--graph-file', join(scratch, 'graph.json'), '-o', join(scratch, 'used.wasm'));
  run('wasm-opt', join(scratch, 'used.wasm'), ...OPTIMISATIONS, '-o', join(scratch, 'optimised.wasm'));
  renameSync(join(scratch, 'optimised.wasm'), kept);
  rmSync(scratch, { recursive: true });
}
// A file of its own: cargo's is a hard link to one that it keeps.
rmSync(module, { force: true });
copyFileSync(kept, module);
console.log(`${module}: ${linked.length} bytes linked, ${statSync(module).size} optimised`);
