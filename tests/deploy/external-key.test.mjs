// external-key/: the key from a file, changed while Envoy runs, never seen by the filter.
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chatRequest, scratchDirectory, startRecorder, until, upgradeRequest } from '../e2e/harness/index.mjs';
import { frame, opcodes } from '../e2e/harness/websocket.mjs';
import { deployText, environment, placed } from './files.mjs';
import { startProvider, startShipped } from './stand.mjs';

const token = ['authorization', `Bearer ${environment.WEB_APP_TOKEN}`];

let directory;
let keys;
let recorder;
let provider;
let gateway;

/** Puts a key into place as `mv` does. */
function putKey(key) {
  const staged = join(directory, 'staged-key');
  writeFileSync(staged, key, { mode: 0o600 });
  renameSync(staged, join(keys, 'openai'));
}

const keyUpdates = () => gateway.envoy.stat('sds.openai-key.update_success');

async function rotate(change) {
  const before = await keyUpdates();
  change();
  await until('Envoy to read the key', async () => (await keyUpdates()) > before);
}

before(async () => {
  directory = scratchDirectory();
  keys = join(directory, 'keys');
  mkdirSync(keys);
  putKey('sk-first-key\n');
  const sds = join(directory, 'openai.yaml');
  writeFileSync(sds, placed(deployText('external-key/openai.sds.yaml'), { '/etc/envoy/keys': keys }));
  recorder = await startRecorder();
  provider = await startProvider(recorder.port);
  gateway = await startShipped('external-key/envoy.yaml', provider, {
    places: { '/etc/envoy/sds/openai.yaml': sds, '/etc/envoy/keys': keys },
  });
});
after(async () => {
  await gateway?.stop();
  await provider?.stop();
  await recorder?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** The credential lines that reached the provider. */
function credentials(answer) {
  const [request] = recorder.requestsOf(answer.case);
  assert.ok(request, 'nothing reached the provider');
  return request.headerAll('authorization');
}

async function open(headers = [token]) {
  const answer = await gateway.send(upgradeRequest({ headers }));
  assert.equal(answer.status, 101);
  return answer;
}

test('the key in the file takes the place of the token, for REST and for WebSockets', async () => {
  const chat = await gateway.send(chatRequest({ headers: [token] }));
  assert.equal(chat.status, 200);
  assert.deepEqual(credentials(chat), ['Bearer sk-first-key']);
  const session = await open();
  session.socket.destroy();
  assert.deepEqual(credentials(session), ['Bearer sk-first-key']);
});

test('no token, no key', async () => {
  for (const request of [chatRequest(), upgradeRequest()]) {
    const answer = await gateway.send(request);
    assert.equal(answer.status, 401);
    assert.equal(answer.json().error.code, 'missing_gateway_token');
    assert.equal(recorder.requestsOf(answer.case).length, 0);
  }
});

test('a new key is used from the next request on, and open sessions stay', async () => {
  const { pid } = gateway.envoy;
  const session = await open([token, ['x-reply', 'frames']]);
  let closed = false;
  session.socket.on('close', () => (closed = true));
  session.socket.resume();
  await rotate(() => putKey('sk-second-key'));
  const chat = await gateway.send(chatRequest({ headers: [token] }));
  assert.deepEqual(credentials(chat), ['Bearer sk-second-key']);
  const echoed = new Promise((resolve) => session.socket.once('data', resolve));
  session.socket.write(frame(opcodes.text, 'still here', { mask: true }));
  assert.deepEqual(await echoed, frame(opcodes.text, 'still here'));
  assert.equal(closed, false);
  session.socket.destroy();
  assert.equal(gateway.envoy.exit(), null);
  assert.equal(gateway.envoy.pid, pid);
});

test('a Secret mounted by Kubernetes rotates too: by the swap of a symbolic link', async () => {
  for (const version of ['one', 'two']) {
    mkdirSync(join(keys, version));
    writeFileSync(join(keys, version, 'openai'), `sk-mounted-${version}`);
  }
  symlinkSync('one', join(keys, '..data'));
  const link = join(directory, 'link');
  symlinkSync('..data/openai', link);
  await rotate(() => renameSync(link, join(keys, 'openai')));
  assert.deepEqual(credentials(await gateway.send(chatRequest({ headers: [token] }))), ['Bearer sk-mounted-one']);

  symlinkSync('two', join(keys, '..data_tmp'));
  await rotate(() => renameSync(join(keys, '..data_tmp'), join(keys, '..data')));
  assert.deepEqual(credentials(await gateway.send(chatRequest({ headers: [token] }))), ['Bearer sk-mounted-two']);
});

test('without a key nothing is sent, and the client is not told that its token is wrong', async () => {
  await rotate(() => putKey(''));
  const answer = await gateway.send(chatRequest({ headers: [token] }));
  assert.equal(answer.status, 503);
  assert.equal(answer.header('content-type'), 'application/json');
  assert.equal(answer.json().error.code, 'provider_key_unavailable');
  assert.equal(recorder.requestsOf(answer.case).length, 0);
  await rotate(() => putKey('sk-last-key'));
  assert.deepEqual(credentials(await gateway.send(chatRequest({ headers: [token] }))), ['Bearer sk-last-key']);
});

test('no key shows in the log, the configuration or the statistics', async () => {
  const dump = await (await gateway.envoy.admin('/config_dump')).text();
  const stats = await (await gateway.envoy.admin('/stats')).text();
  for (const text of [gateway.envoy.log(), dump, stats]) assert.doesNotMatch(text, /sk-\w+-(key|one|two)/);
});
