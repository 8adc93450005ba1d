// Bodies: streamed where nothing asks for their model, held where something does, and what Envoy's limits do.
import assert from 'node:assert/strict';
import net from 'node:net';
import test, { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  authorized,
  chatRequest,
  delayMs,
  nextCase,
  onlyIn,
  requestBytes,
  restRequest,
  route,
  until,
  useRig,
} from './harness/index.mjs';

const policies = {
  free: { provider: 'openai' },
  ruled: { provider: 'openai', models: ['gpt-5*'], aliases: { five: 'gpt-5' } },
  'a-rather-long-name': { provider: 'openai', aliases: { 'gpt-5': 'gpt-5-2025-08-07-with-a-much-longer-name' } },
};
const routes = Object.keys(policies).map((name) => route({ name, prefix: `/${name}/` }));

const { forwarded, denied, gateway, recorder } = useRig({ changes: { policies }, routes });
const withheld = useRig({ changes: { policies }, allowOnHeadersStopIteration: false, routes });

/** Opens a connection, sends the head of a request and returns what is needed to go on by hand. */
async function begin(request) {
  const id = nextCase();
  const socket = net.connect(gateway.port, '127.0.0.1');
  const received = [];
  socket.on('data', (chunk) => received.push(chunk));
  socket.on('error', () => {});
  socket.write(requestBytes({ ...request, headers: [...request.headers, ['x-case', id]] }));
  return { id, socket, text: () => Buffer.concat(received).toString('latin1') };
}

const chunked = [
  ['transfer-encoding', 'chunked'],
  ['content-type', 'application/json'],
];
const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const lastChunk = '0\r\n\r\n';

describe('a body that nothing asks about', () => {
  test('streams: its beginning reaches the upstream before its end exists', async () => {
    const { id, socket, text } = await begin(
      restRequest({ method: 'POST', target: '/free/v1', headers: [...authorized, ...chunked] }),
    );
    socket.write(chunk('{"model":'));
    await until('the request at the upstream', () => recorder.requestsOf(id).length === 1);
    socket.write(chunk('not even JSON') + lastChunk);
    await until('the answer', () => text().includes('{"recorded":true}'));
    assert.equal(recorder.requestsOf(id)[0].body.toString(), '{"model":not even JSON');
    socket.destroy();
  });
  test('may be of any size', async () => {
    const body = Buffer.alloc(5 * 1024 * 1024, 'x');
    const { seen } = await forwarded(restRequest({ target: '/free/v1', headers: authorized, body }));
    assert.ok(seen.body.equals(body));
  });
});

describe('a body whose model is asked for', () => {
  test('is held until it is whole', async () => {
    const { id, socket, text } = await begin(
      restRequest({ method: 'POST', target: '/ruled/v1', headers: [...authorized, ...chunked] }),
    );
    for (const piece of ['{"mo', 'del":"fi', 've","x":"']) {
      socket.write(chunk(piece));
      await sleep(30);
      assert.deepEqual(recorder.requestsOf(id), [], 'nothing goes on yet');
    }
    socket.write(chunk('y"}') + lastChunk);
    await until('the answer', () => text().includes('{"recorded":true}'));
    assert.equal(recorder.requestsOf(id)[0].body.toString(), '{"model":"gpt-5","x":"y"}');
    socket.destroy();
  });
  test('that came byte by byte is read all the same', async () => {
    const { id, socket, text } = await begin(
      restRequest({ method: 'POST', target: '/ruled/v1', headers: [...authorized, ...chunked] }),
    );
    socket.setNoDelay(true);
    for (const byte of '{"model":"five"}') {
      socket.write(chunk(byte));
      await sleep(2);
    }
    socket.write(lastChunk);
    await until('the answer', () => text().includes('{"recorded":true}'));
    assert.equal(recorder.requestsOf(id)[0].body.toString(), '{"model":"gpt-5"}');
    socket.destroy();
  });
  test('grows and shrinks with the right length', async () => {
    for (const [target, model, want] of [
      ['/ruled/v1', 'five', 'gpt-5'],
      ['/a-rather-long-name/v1', 'gpt-5', 'gpt-5-2025-08-07-with-a-much-longer-name'],
      ['/a-rather-long-name/v1', 'openai/gpt-5', 'gpt-5-2025-08-07-with-a-much-longer-name'],
      ['/ruled/v1', 'openai/gpt-5', 'gpt-5'],
    ]) {
      const { seen } = await forwarded(chatRequest({ target, headers: authorized, model }));
      assert.equal(JSON.parse(seen.body).model, want);
      assert.equal(seen.header('content-length'), String(seen.body.length));
    }
  });
  test('may be some hundred kilobytes', async () => {
    const { seen } = await forwarded(
      chatRequest({ target: '/ruled/v1', headers: authorized, model: 'five', text: 'x'.repeat(700_000) }),
    );
    assert.equal(JSON.parse(seen.body).messages[0].content.length, 700_000);
  });
  test('over HTTP/2', async () => {
    const answer = await gateway.sendHttp2({
      method: 'POST',
      target: '/ruled/v1',
      headers: [...authorized, ['content-type', 'application/json']],
      body: '{"model":"five"}',
    });
    assert.equal(answer.status, 200);
    assert.equal(recorder.requestsOf(answer.case)[0].body.toString(), '{"model":"gpt-5"}');
  });
  test("that goes beyond Envoy's buffer is refused by Envoy, and reaches no one", async () => {
    const answer = await gateway.send(
      chatRequest({ target: '/ruled/v1', headers: authorized, text: 'x'.repeat(3_000_000) }),
    );
    assert.equal(answer.status, 413);
    assert.deepEqual(recorder.requestsOf(answer.case), []);
    await forwarded(chatRequest({ target: '/ruled/v1', headers: authorized }));
  });
  test('whose client goes away leaves nothing behind', async () => {
    const { id, socket } = await begin(
      restRequest({ method: 'POST', target: '/ruled/v1', headers: [...authorized, ...chunked] }),
    );
    socket.write(chunk('{"model":'));
    await sleep(50);
    socket.destroy();
    await gateway.envoy.accessLogOf(id);
    assert.deepEqual(recorder.requestsOf(id), []);
    await forwarded(chatRequest({ target: '/ruled/v1', headers: authorized }));
  });
  test('of a request that is refused anyway is not waited for', async () => {
    const { socket, text } = await begin(
      restRequest({ method: 'POST', target: '/ruled/v1', headers: [['cf-aig-authorization', 'wrong'], ...chunked] }),
    );
    await until('the refusal', () => text().includes('invalid_gateway_token'));
    socket.destroy();
  });
});

onlyIn('wasm', describe)('where Envoy withholds bodies', () => {
  test('a request that needs its body is answered within 5 s, and the log names the flag', async () => {
    const started = Date.now();
    const answer = await withheld.denied(
      chatRequest({ target: '/ruled/v1', headers: authorized }),
      'body_unavailable',
    );
    assert.ok(Date.now() - started < 5_000 + delayMs, `took ${Date.now() - started} ms`);
    assert.equal(answer.status, 500);
    const lines = withheld.gateway.envoy
      .log()
      .split('\n')
      .filter((line) => line.includes('allow_on_headers_stop_iteration'));
    assert.ok(
      lines.some((line) => /\[(warning|error|critical)\]/.test(line)),
      'a warning or an error names it',
    );
  });
  test('also when the body is still on its way', async () => {
    const started = Date.now();
    await withheld.denied(
      restRequest({
        method: 'POST',
        target: '/ruled/v1',
        headers: [...authorized, ...chunked],
        body: chunk('{"model":'),
      }),
      'body_unavailable',
    );
    assert.ok(Date.now() - started < 5_000 + delayMs);
  });
  test('requests that need none are served', async () => {
    await withheld.forwarded(chatRequest({ target: '/free/v1', headers: authorized }));
    await withheld.forwarded(restRequest({ target: '/ruled/v1/models', headers: authorized }));
  });
  test('what is refused at the headers is refused as everywhere', () =>
    withheld.denied(chatRequest({ target: '/ruled/v1' }), 'missing_gateway_token'));
});

test('trailers do not disturb a body that is read', async () => {
  const { seen } = await forwarded(
    restRequest({
      method: 'POST',
      target: '/ruled/v1',
      headers: [...authorized, ...chunked, ['trailer', 'x-sum']],
      body: `${chunk('{"model":"five"}')}0\r\nx-sum: 1\r\n\r\n`,
    }),
  );
  assert.equal(seen.body.toString(), '{"model":"gpt-5"}');
  await denied(
    restRequest({
      method: 'POST',
      target: '/ruled/v1',
      headers: [...authorized, ...chunked],
      body: `${chunk('{"model":"gpt-4"}')}0\r\nx-sum: 1\r\n\r\n`,
    }),
    'model_not_allowed',
  );
});
