// The rig itself, on Envoy without the filter: what the other files lean on must hold by itself.
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  chatRequest, restRequest, startGateway, startProcess, until, upgradeRequest, useAimock, useGateway, useRecorder,
} from './harness/index.mjs';

const recorder = useRecorder();
const aimock = useAimock({ keys: ['sk-rig'] });
const gateway = useGateway(() => ({
  filter: false,
  upstreams: { upstream: recorder.port },
  tls: true,
}));

test('the recorder sees header lines in order and with their bytes', async () => {
  const sent = upgradeRequest({
    protocols: ['a, b', 'c'],
    headers: [
      ['x-raw', 'caf\xe9'],
      ['x-two', '1'],
      ['x-two', '2'],
    ],
  });
  const answer = await gateway.send({ ...sent, headers: [...sent.headers, ['x-reply', 'select b']] });
  assert.equal(answer.status, 101);
  assert.equal(answer.header('sec-websocket-protocol'), 'b');
  const [seen] = recorder.requestsOf(answer.case);
  assert.equal(seen.subprotocols(), 'a, b|c');
  assert.equal(seen.header('x-raw'), 'caf\xe9');
  assert.deepEqual(seen.headerAll('x-two'), ['1', '2']);
  answer.socket.destroy();
});

test('bytes pass both ways after the 101', async () => {
  const answer = await gateway.send(upgradeRequest(), { after: Buffer.from('early') });
  const received = [answer.rest];
  answer.socket.on('data', (chunk) => received.push(chunk));
  answer.socket.resume();
  answer.socket.write('later');
  await until('the echo', () => Buffer.concat(received).toString() === 'earlylater');
  answer.socket.destroy();
});

test('refusals arrive with their bodies, over TLS too', async () => {
  for (const secure of [false, true]) {
    const answer = await gateway.send(
      restRequest({
        headers: [
          ['x-reply', 'refuse 401'],
          ['authorization', 'Bearer quoted'],
        ],
      }),
      { secure },
    );
    assert.equal(answer.status, 401);
    assert.match(answer.body.toString(), /quoted/);
  }
});

test('extended CONNECT reaches the upstream as an upgrade without a key', async () => {
  const answer = await gateway.sendHttp2({ connect: 'websocket', target: '/v1/realtime' });
  // Envoy gives the HTTP/1.1 side no sec-websocket-key (envoy#8547), which the recorder refuses.
  assert.equal(answer.status, 400);
  const [seen] = recorder.requestsOf(answer.case);
  assert.equal(seen.method, 'GET');
  assert.equal(seen.header('upgrade'), 'websocket');
});

test('the access log names every request', async () => {
  const answer = await gateway.send(chatRequest());
  const entry = await gateway.envoy.accessLogOf(answer.case);
  assert.equal(entry.status, 200);
  assert.equal(entry.details, 'via_upstream');
  assert.equal(entry.upstream, `127.0.0.1:${recorder.port}`);
});

test('aimock takes its key only', async () => {
  const ask = (key) =>
    fetch(`http://127.0.0.1:${aimock.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-5', messages: [{ role: 'user', content: 'hello' }] }),
    });
  assert.equal((await ask('sk-other')).status, 401);
  const answer = await ask('sk-rig');
  assert.equal((await answer.json()).choices[0].message.content, 'Hello! How can I help you today?');
  const journal = await aimock.journal();
  assert.equal(journal.at(-1).path, '/v1/chat/completions');
  assert.equal(journal.at(-1).body.model, 'gpt-5');
});

test('a configuration that Envoy refuses fails the start with its log', async () => {
  await assert.rejects(startGateway({ filter: false, hcm: { no_such_field: 1 } }), /no_such_field/);
});

test('a child process ends with the one that started it', async () => {
  const script = `
    const { startProcess } = await import('${new URL('./harness/process.mjs', import.meta.url)}');
    console.log(startProcess('sleep', ['600']).pid);
    setInterval(() => {}, 1000);`;
  const parent = startProcess(process.execPath, ['--input-type=module', '-e', script]);
  const pid = Number(await until('the pid', () => /^\d+$/m.exec(parent.output())?.[0]));
  assert.doesNotThrow(() => process.kill(pid, 0));
  process.kill(parent.pid, 'SIGKILL');
  await until('the child to end', () => !isAlive(pid));
});

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
