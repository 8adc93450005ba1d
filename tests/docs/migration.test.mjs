// The changes to clients that are shown: what stands there afterwards opens a session through the gateway.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { certificate, repository, tokens, workDirectory } from '../e2e/harness/index.mjs';
import { useClients } from '../clients/gateway.mjs';
import { fences, pages } from './markdown.mjs';

const clients = useClients();
const changes = pages.flatMap((name) => fences(name, 'diff'));

/** How each program, told by a word of its own, goes on until it prints an event of its session. */
const programs = [
  {
    name: 'the browser\'s own WebSocket',
    mark: 'openai-insecure-api-key',
    rest: 'socket.onmessage = ({ data }) => { console.log(JSON.parse(data).type); process.exit(); };',
  },
  {
    name: 'the official SDK in a browser',
    mark: 'openai/realtime/websocket',
    rest: 'realtime.on("event", ({ type }) => { console.log(type); process.exit(); });',
  },
  {
    name: 'the Agents SDK',
    mark: '@openai/agents-realtime',
    rest: 'session.on("transport_event", ({ type }) => { console.log(type); process.exit(); });',
  },
  { name: 'Python', mark: 'AsyncOpenAI' },
  {
    name: 'Node.js with ws',
    mark: 'from \'ws\'',
    rest: 'socket.on("message", (data) => { console.log(JSON.parse(data).type); process.exit(); });',
  },
];

/** The program after the change, at the gateway of this test. */
function after(text) {
  const lines = text.split('\n').filter((line) => !line.startsWith('-'));
  const authority = new URL(clients.baseUrl()).host;
  return lines.map((line) => line.slice(1)).join('\n').replaceAll('gateway.example.com', authority);
}

const javascript = (source, rest) => ({
  command: process.execPath,
  args: [
    ...('WebSocket' in globalThis ? [] : ['--experimental-websocket', '--no-warnings']),
    '--input-type=module',
    '--eval',
    `const { GATEWAY_TOKEN } = process.env;\n${source}\n${rest}`,
  ],
});

const python = (source) => ({
  command: join(workDirectory, 'venv/bin/python'),
  args: [
    '-c',
    [
      'import asyncio, os',
      'GATEWAY_TOKEN = os.environ["GATEWAY_TOKEN"]',
      'async def main():',
      ...source.replace('print(event.type)', 'return print(event.type)').split('\n').map((line) => `    ${line}`),
      'asyncio.run(main())',
    ].join('\n'),
  ],
});

test('every change is tried', () => {
  const named = changes.map(({ text }) => programs.filter(({ mark }) => text.includes(mark)).length);
  assert.deepEqual(named, changes.map(() => 1));
  assert.ok(programs.every(({ mark }) => changes.some(({ text }) => text.includes(mark))));
});

for (const { place, text } of changes) {
  const { name, rest } = programs.find(({ mark }) => text.includes(mark));
  test(`${name}, ${place}`, async () => {
    const { command, args } = rest === undefined ? python(after(text)) : javascript(after(text), rest);
    const env = {
      PATH: process.env.PATH,
      GATEWAY_TOKEN: tokens.web,
      NODE_EXTRA_CA_CERTS: certificate.chain,
      SSL_CERT_FILE: certificate.chain,
    };
    // The upstream opens a session for the provider's key only.
    const { stdout } = await promisify(execFile)(command, args, { cwd: join(repository, 'tests'), env, timeout: 60_000 });
    assert.match(stdout, /^session\.(created|updated)\n$/);
  });
}
