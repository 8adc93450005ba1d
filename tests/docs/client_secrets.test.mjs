// What the page on client secrets shows: each way to mint one, by the official SDKs and by curl, through a real Envoy.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { certificate, providerKey, repository, tokens, useGateway, workDirectory } from '../e2e/harness/index.mjs';
import { useOpenai } from '../e2e/harness/openai.mjs';
import { newSealingKey, open, openCallId } from '../e2e/harness/sealing.mjs';
import { curls, examples, fences, table } from './markdown.mjs';

const page = 'docs/client-secrets.md';
const sealingKey = newSealingKey();
const env = { OPENAI_API_KEY: providerKey, WEB_APP_TOKEN: tokens.web, REALTIME_SEALING_KEY: sealingKey };
const [{ value: configuration }] = examples(page, 'plugin configuration');
const openai = useOpenai();
const gateway = useGateway(() => ({ upstreams: { upstream: openai.port }, env, configuration, tls: true }));

const [typescript] = fences(page, 'ts');
const [python] = fences(page, 'python');
const atGateway = (text) => text.replaceAll('gateway.example.com', `localhost:${gateway.securePort}`);

/** What a program prints; rejects with what it complains about. */
async function run(command, args, cwd) {
  const trust = { NODE_EXTRA_CA_CERTS: certificate.chain, SSL_CERT_FILE: certificate.chain };
  const options = { cwd, timeout: 60_000, env: { PATH: process.env.PATH, GATEWAY_TOKEN: tokens.web, ...trust } };
  return (await promisify(execFile)(command, args, options)).stdout.trim();
}

/** It is what all three ask for, and the provider heard nothing of the `gateway` object. */
function assertMinted(secret) {
  const claims = open(secret, sealingKey);
  assert.equal(claims.user, 'u_123');
  assert.equal(claims.max_duration_ms, 300_000);
  assert.equal(claims.origin, 'https://app.example.com');
  assert.equal(claims.max_sessions, 1);
  assert.equal(claims.lock, 'instructions');
  assert.ok(!openai.requests().at(-1).text().includes('u_123'));
}

describe('a client secret', () => {
  let directory;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'realtime-byok-docs-'));
    symlinkSync(join(repository, 'tests/node_modules'), join(directory, 'node_modules'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** What the compiler says of a program; '' when it has made `program.mjs` of it. */
  async function compiled(text) {
    writeFileSync(join(directory, 'program.mts'), `const { GATEWAY_TOKEN = '' } = process.env;\n${text}`);
    const options = ['--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext', '--types', 'node'];
    const args = [join(directory, 'node_modules/typescript/bin/tsc'), ...options, 'program.mts'];
    return run(process.execPath, args, directory).catch((error) => error.stdout);
  }

  const inPython = (text) =>
    run(join(workDirectory, 'venv/bin/python'), ['-c', `import os\nGATEWAY_TOKEN = os.environ["GATEWAY_TOKEN"]\n${text}`]);

  test('is minted by curl', async () => {
    const [command, ...more] = curls(page, env);
    assert.deepEqual(more, []);
    assertMinted((await gateway.send(command)).json().value);
  });

  test('is minted by the official SDK, whose types take the TypeScript', async () => {
    assert.equal(await compiled(atGateway(typescript.text)), '');
    assertMinted(await run(process.execPath, ['program.mjs'], directory));
  });

  test('cannot be asked for in a literal: TS2353', async () => {
    const [declaration, literal] = /^const request = (\{\n.*?^\});\n/ms.exec(typescript.text);
    const text = typescript.text.replace(declaration, '').replace('create(request)', `create(${literal})`);
    assert.match(await compiled(text), /error TS2353: .*'gateway'/);
  });

  test('is minted by the official SDK for Python', async () => {
    assertMinted(await inPython(atGateway(python.text)));
  });

  test('takes no argument `gateway` in Python', async () => {
    const text = python.text.replace('extra_body={"gateway": gateway}', 'gateway=gateway');
    await assert.rejects(inPython(text), /unexpected keyword argument 'gateway'/);
  });
});

test('the `gateway` object has the members of the table', async () => {
  const [command] = curls(page, env);
  const answer = await gateway.send({ ...command, body: '{"gateway":{"color":"red"}}' });
  const { code, param, message } = answer.json().error;
  assert.deepEqual([answer.status, code, param], [400, 'invalid_gateway_object', 'gateway.color']);
  const known = /^Known are (.*)\.$/.exec(message)[1].split(/, | and /);
  assert.deepEqual(table(page, '| member | value | meaning |').map(([member]) => member).sort(), known.sort());
});

test('the layout is the one that secrets have', async () => {
  const [command] = curls(page, env);
  const secret = (await gateway.send(command)).json().value;
  const bytes = Buffer.from(secret.replace(/^ek_/, ''), 'base64url');
  const text = readFileSync(join(repository, page), 'utf8');
  const offsets = Array.from(text.matchAll(/^\| (\d+) \| (\d+) \|/gm), ([, offset, length]) => [Number(offset), Number(length)]);
  assert.deepEqual(offsets, [[0, 1], [1, 4], [5, 24]]);
  assert.equal(bytes[0], 1);
  assert.ok(secret.length < 1024, `${secret.length} letters`);
});

test('the call of the example is what its id says', () => {
  const [{ text }] = fences(page, 'text');
  assert.deepEqual(openCallId(text.trim(), 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='), {
    caller: 'web-app',
    provider: 'openai',
    policy: 'voice',
    began_at: 1_756_310_400,
    id: 'live_68af296e8e40',
  });
});
