// Says how large a module is, and its sections: node tools/size.mjs MODULE
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const names = ['custom', 'type', 'import', 'function', 'table', 'memory', 'global', 'export', 'start', 'element', 'code', 'data', 'data count'];

const module = readFileSync(process.argv[2]);
for (const { name, size } of sections(module)) console.log(`${name.padEnd(12)} ${kilobytes(size)}`);
console.log(`${'in all'.padEnd(12)} ${kilobytes(module.length)}, ${kilobytes(gzipSync(module).length).trim()} by gzip`);

/** The sections behind the eight bytes of magic and version: a number, a length in LEB128, the content. */
function* sections(bytes) {
  for (let at = 8; at < bytes.length; ) {
    const name = names[bytes[at]];
    const { value, next } = leb128(bytes, at + 1);
    yield { name, size: next + value - at };
    at = next + value;
  }
}

function leb128(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7, at += 1) {
    value += (bytes[at] & 0x7f) * 2 ** shift;
    if (bytes[at] < 0x80) return { value, next: at + 1 };
  }
}

function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(1).padStart(7)} KB`;
}
