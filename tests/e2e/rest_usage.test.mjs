// What REST exchanges use, as the access log tells it, while clients get their answers as they come.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import test, { describe } from 'node:test';
import OpenAI from 'openai';
import { useFor } from './harness/hooks.mjs';
import { chatRequest, nextCase, restRequest, route, sha256, tokens, until, useRig } from './harness/index.mjs';
import { useOpenai } from './harness/openai.mjs';
import { record } from './harness/recorder.mjs';

const model = 'gpt-5';
const messages = [{ role: 'user', content: 'hello' }];
const content = 'Hello! How can I help you today?';
const usage = { prompt_tokens: 2006, completion_tokens: 300, total_tokens: 2306 };

/** At these prices, in dollars per million tokens. */
const prices = { 'gpt-5*': { input_text: 1.25, output_text: 10 } };
const counted = { tokens: '2306', cost: '0.005508' };

/** Callers of their own for what they use up: each may use a little more than one answer does in a day. */
const limited = ['stream', 'json', 'upload', 'ambiguous', 'unseen'];
const tokenOf = (name) => `gt-limited-${name}`;

const openai = useOpenai({
  fixtures: [{ match: { userMessage: 'hello' }, response: { content, usage } }],
});
const scripted = useFor(startScripted);
const { gateway } = useRig({
  upstream: openai,
  upstreams: () => ({ scripted: scripted.port }),
  logLevel: 'info',
  changes: {
    prices,
    callers: {
      'web-app': { tokens: [{ sha256: sha256(tokens.web) }] },
      ...Object.fromEntries(
        limited.map((name) => [name, { tokens: [{ sha256: sha256(tokenOf(name)) }], limits: { tokens_per_day: 2307 } }]),
      ),
      dollars: { tokens: [{ sha256: sha256(tokenOf('dollars')) }], limits: { cost_usd_per_day: 1 } },
    },
    policies: {
      open: { provider: 'openai' },
      ruled: { provider: 'openai', models: ['gpt*'] },
      unmetered: { provider: 'openai', models: ['gpt*'], meter: false },
    },
  },
  routes: ['open', 'ruled', 'unmetered'].flatMap((policy) => [
    route({ name: `${policy}-scripted`, policy, prefix: `/${policy}/scripted/`, rewrite: '/', cluster: 'scripted' }),
    route({ name: policy, prefix: `/${policy}/`, rewrite: '/' }),
  ]),
});

/** An upstream whose answers are in the test's hands: `next(id)` is what came of a request, and its response. */
async function startScripted() {
  const came = new Map();
  const server = http.createServer(async (incoming, response) => {
    const entry = record(incoming);
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    entry.body = Buffer.concat(chunks);
    came.set(entry.header('x-case'), { seen: entry, response });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    next: (id) => until(`request ${id}`, () => came.get(id)),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The official SDK under a policy: `{ client, id }`; its requests carry that `x-case`. */
function sdk(policy, token = tokens.web) {
  const id = nextCase();
  const baseURL = `http://127.0.0.1:${gateway.port}/${policy}/v1`;
  return { id, client: new OpenAI({ apiKey: token, baseURL, maxRetries: 0, defaultHeaders: { 'x-case': id } }) };
}

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function logged(id) {
  const { session } = await gateway.envoy.accessLogOf(id);
  return Object.fromEntries(Object.entries(session).filter(([, value]) => value !== null && value !== '-'));
}

/** All of an answer's body. */
async function bodyOf(answer) {
  return (await answer.setEncoding('utf8').toArray()).join('');
}

const names = { caller: 'web-app', provider: 'openai' };

describe('the official SDK', () => {
  for (const policy of ['open', 'ruled']) {
    test(`a chat completion, ${policy}`, async () => {
      const { client, id } = sdk(policy);
      const completion = await client.chat.completions.create({ model, messages });
      assert.deepEqual(completion.usage, { ...completion.usage, ...usage });
      assert.deepEqual(await logged(id), { ...names, policy, model, ...counted });
    });
    test(`a streamed chat completion that asks for its usage, ${policy}`, async () => {
      const { client, id } = sdk(policy);
      const stream_options = { include_usage: true };
      const chunks = await all(await client.chat.completions.create({ model, messages, stream: true, stream_options }));
      assert.equal(chunks.at(-1).usage.total_tokens, usage.total_tokens);
      assert.deepEqual(await logged(id), { ...names, policy, model, ...counted });
    });
    for (const stream of [false, true]) {
      test(`a${stream ? ' streamed' : ''} response, ${policy}`, async () => {
        const { client, id } = sdk(policy);
        const answer = await client.responses.create({ model, input: 'hello', stream });
        const response = stream ? (await all(answer)).at(-1).response : answer;
        assert.equal(response.usage.total_tokens, usage.total_tokens);
        assert.deepEqual(await logged(id), { ...names, policy, model, ...counted });
      });
    }
  }
  test('a streamed chat completion that does not ask is counted, and sees no usage', async () => {
    const { client, id } = sdk('ruled');
    const chunks = await all(await client.chat.completions.create({ model, messages, stream: true }));
    assert.equal(chunks.map(({ choices }) => choices[0].delta.content ?? '').join(''), content);
    assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
    assert.deepEqual(JSON.parse(openai.requestsOf(id)[0].body).stream_options, { include_usage: true });
    assert.deepEqual(await logged(id), { ...names, policy: 'ruled', model, ...counted });
  });
  test('where its body is not read, it is not asked, and the log does not know', async () => {
    const { client, id } = sdk('open');
    const chunks = await all(await client.chat.completions.create({ model, messages, stream: true }));
    assert.ok(chunks.length > 1);
    assert.equal(JSON.parse(openai.requestsOf(id)[0].body).stream_options, undefined);
    assert.deepEqual(await logged(id), { ...names, policy: 'open' });
  });
  test('without metering nothing is asked, changed or counted', async () => {
    const { client, id } = sdk('unmetered');
    await all(await client.chat.completions.create({ model, messages, stream: true }));
    const [seen] = openai.requestsOf(id);
    assert.equal(JSON.parse(seen.body).stream_options, undefined);
    assert.notEqual(seen.header('accept-encoding'), 'identity');
    assert.deepEqual(await logged(id), {});
  });
});

const event = (chunk) => `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model, ...chunk })}\n\n`;
const choice = (content) => event({ choices: [{ delta: { content } }], usage: null });
const usageChunk = event({ choices: [], usage });
const done = 'data: [DONE]\n\n';

/** Sends a chat request to the scripted upstream: `{ id, seen, response, answer }`, the last a promise. */
async function scriptedChat(policy, { headers = [], ...request } = {}) {
  const id = nextCase();
  const authorized = [...headers, ['authorization', `Bearer ${tokens.web}`], ['x-case', id]];
  const { target, body, ...sent } = chatRequest({ model, headers: authorized, ...request });
  const onward = http.request({
    host: '127.0.0.1',
    port: gateway.port,
    path: `/${policy}/scripted${target}`,
    method: sent.method,
    headers: sent.headers.flat(),
  });
  onward.on('error', () => {});
  const answered = once(onward, 'response');
  onward.end(body);
  return { id, request: onward, answered, ...(await scripted.next(id)) };
}

describe('a stream', { concurrency: 8 }, () => {
  for (const policy of ['open', 'ruled', 'unmetered']) {
    test(`arrives while its upstream is still sending, ${policy}`, async () => {
      const { response, answered } = await scriptedChat(policy, { stream: true });
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      const [answer] = await answered;
      let got = '';
      answer.setEncoding('utf8').on('data', (text) => { got += text; });
      let sent = '';
      for (const word of ['one', 'two', 'three']) {
        sent += choice(word);
        response.write(choice(word));
        await until(`chunk ${word}`, () => got === sent, { intervalMs: 2 });
      }
      response.end(done);
      await once(answer, 'end');
      assert.equal(got, sent + done);
    });
  }

  test('loses the usage that was asked for in its place, however it is cut, and not a byte more', async () => {
    const { id, response, answered, seen } = await scriptedChat('ruled', { stream: true });
    assert.deepEqual(JSON.parse(seen.body).stream_options, { include_usage: true });
    // The last event lacks its empty line.
    const last = done.trimEnd();
    const whole = Buffer.from(`${choice('é')}: ping\n\n${choice('zwei')}${usageChunk}${last}`);
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-length': whole.length });
    for (let at = 0; at < whole.length; at += 9) {
      response.write(whole.subarray(at, at + 9));
      await new Promise((resolve) => { setTimeout(resolve, 2); });
    }
    response.end();
    const [answer] = await answered;
    assert.equal(answer.headers['content-length'], undefined);
    assert.equal(await bodyOf(answer), `${choice('é')}: ping\n\n${choice('zwei')}${last}`);
    assert.deepEqual(await logged(id), { ...names, policy: 'ruled', model, ...counted });
  });

  for (const choices of ['"choices":null,', '']) {
    test(`loses a chunk of usage with ${choices || 'no choices'} as well, and counts it`, async () => {
      const { id, response, answered } = await scriptedChat('ruled', { stream: true });
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const chunk = usageChunk.replace(/"choices":\[\],/, choices);
      assert.notEqual(chunk, usageChunk);
      response.end(choice('one') + chunk + done);
      const [answer] = await answered;
      assert.equal(await bodyOf(answer), choice('one') + done);
      assert.deepEqual(await logged(id), { ...names, policy: 'ruled', model, ...counted });
    });
  }

  test("counts Anthropic's cache as input, once", async () => {
    const told = { input_tokens: 12, cache_read_input_tokens: 2000, cache_creation_input_tokens: 500 };
    const start = { type: 'message_start', message: { id: 'msg_1', model, usage: { ...told, output_tokens: 1 } } };
    const delta = { type: 'message_delta', delta: {}, usage: { ...told, output_tokens: 9 } };
    const { id, response, answered } = await scriptedChat('ruled', { target: '/v1/messages' });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end([start, delta, { type: 'message_stop' }]
      .map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(''));
    const [answer] = await answered;
    await bodyOf(answer);
    assert.deepEqual(await logged(id), { ...names, policy: 'ruled', model, tokens: '2521', cost: '0.003230' });
  });

  test('that its upstream cuts counts what it told', async () => {
    const { id, response, answered } = await scriptedChat('ruled', { stream: true });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(choice('one') + usageChunk);
    const [answer] = await answered;
    answer.on('error', () => {});
    await once(answer, 'data');
    response.destroy();
    assert.deepEqual(await logged(id), { ...names, policy: 'ruled', model, ...counted });
  });

  test('that its client leaves is logged without what it did not tell', async () => {
    const { id, request, response, answered } = await scriptedChat('ruled', { stream: true });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(choice('one'));
    const [answer] = await answered;
    await once(answer, 'data');
    request.destroy();
    assert.deepEqual(await logged(id), { ...names, policy: 'ruled', model });
  });

  test('with a content coding is not read, and passes as it is', async () => {
    const headers = [['accept-encoding', 'gzip']];
    const { id, seen, response, answered } = await scriptedChat('ruled', { stream: true, headers });
    assert.deepEqual(seen.headerAll('accept-encoding'), ['identity']);
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }).end('not really');
    const [answer] = await answered;
    assert.equal(await bodyOf(answer), 'not really');
    assert.deepEqual(await logged(id), { ...names, policy: 'ruled', model });
  });
});

describe('a JSON answer', { concurrency: 8 }, () => {
  const completion = (fill = '') =>
    JSON.stringify({ id: 'c', object: 'chat.completion', model, choices: [], fill, usage });

  test('is counted in pieces, and passes as it is', async () => {
    const { id, response, answered } = await scriptedChat('open');
    const body = completion('é'.repeat(100_000));
    response.writeHead(200, { 'content-type': 'Application/JSON; charset=utf-8' });
    for (let at = 0; at < body.length; at += 10_000) response.write(body.slice(at, at + 10_000));
    response.end();
    const [answer] = await answered;
    assert.equal(await bodyOf(answer), body);
    assert.deepEqual(await logged(id), { ...names, policy: 'open', model, ...counted });
  });

  test('is counted behind a long text', async () => {
    const { id, response, answered } = await scriptedChat('open');
    const body = completion('x'.repeat(3 << 20));
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    const [answer] = await answered;
    assert.ok((await bodyOf(answer)) === body);
    assert.deepEqual(await logged(id), { ...names, policy: 'open', model, ...counted });
  });

  test('over a mebibyte of short members is counted', async () => {
    const { id, response, answered } = await scriptedChat('open');
    const body = completion(Object.fromEntries(Array.from({ length: 200_000 }, (_, index) => [index, index])));
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    const [answer] = await answered;
    assert.ok((await bodyOf(answer)) === body);
    assert.deepEqual(await logged(id), { ...names, policy: 'open', model, ...counted });
  });

  test('that only tells again what was counted before is not counted', async () => {
    for (const request of [
      restRequest({ method: 'GET', target: '/v1/chat/completions/c' }),
      restRequest({ target: '/v1/chat/completions/c', json: { metadata: {} } }),
    ]) {
      const id = nextCase();
      const url = `http://127.0.0.1:${gateway.port}/open/scripted${request.target}`;
      const headers = { ...Object.fromEntries(request.headers), authorization: `Bearer ${tokens.web}`, 'x-case': id };
      const answer = fetch(url, { method: request.method, body: request.body, headers });
      (await scripted.next(id)).response.writeHead(200, { 'content-type': 'application/json' }).end(completion());
      assert.deepEqual((await (await answer).json()).usage, usage);
      assert.deepEqual(await logged(id), {});
    }
  });

  test('of an error is no usage', async () => {
    const { id, response, answered } = await scriptedChat('open');
    response.writeHead(500, { 'content-type': 'application/json' }).end(completion());
    const [answer] = await answered;
    answer.resume();
    assert.deepEqual(await logged(id), { ...names, policy: 'open' });
  });
});

describe('a budget of the day', { concurrency: 4 }, () => {
  for (const name of ['stream', 'json']) {
    test(`is used up by answers, ${name}`, async () => {
      const ask = ({ client }) => client.chat.completions.create({ model, messages, stream: name === 'stream' });
      for (const count of [1, 2]) {
        const one = sdk('open', tokenOf(name));
        const answer = await ask(one);
        if (name === 'stream') assert.ok((await all(answer)).every((chunk) => chunk.choices.length === 1), `${count}`);
        assert.deepEqual(await logged(one.id), { ...names, caller: name, policy: 'open', model, ...counted });
      }
      const over = sdk('open', tokenOf(name));
      await assert.rejects(ask(over), { status: 429, code: 'budget_exceeded' });
      assert.deepEqual(openai.requestsOf(over.id), []);
    });
  }

  test('is not gone round by what cannot be counted', async () => {
    const [json, form] = ['application/json', 'multipart/form-data; boundary=x'];
    const asked = async (caller, path, type, body) => {
      const answer = await fetch(`http://127.0.0.1:${gateway.port}/open/v1/${path}`, {
        method: 'POST', headers: { 'content-type': type, authorization: `Bearer ${tokenOf(caller)}` }, body,
      });
      return [answer.status, (await answer.json()).error?.code];
    };
    const refused = [400, 'malformed_request'];
    for (const caller of ['unseen', 'dollars']) {
      for (const [path, type, body] of [
        ['responses', json, '{"model":"gpt-5","input":"hello","background":true}'],
        ['responses', json, '{"model":"gpt-5","input":"hello","backgr\\u006fund":true,"stream":true}'],
        ['images/generations', 'text/json', '{"model":"gpt-5"}'],
        ['batches', json, '{"input_file_id":"file_1"}'],
      ]) {
        assert.deepEqual(await asked(caller, path, type, body), refused, `${caller} ${path} ${body}`);
      }
    }
    assert.deepEqual(await asked('dollars', 'images/edits', form, '--x--'), refused);
    assert.deepEqual(await asked('dollars', 'responses', json, '{"model":"o3"}'), [403, 'model_not_allowed']);
    assert.deepEqual(await asked('dollars', 'responses', json, '{"input":"x"}'), [400, 'model_required']);
  });

  test('is not gone round by a body that is not read', async () => {
    for (const [name, headers, body] of [
      ['upload', { 'content-type': 'text/plain' }, JSON.stringify({ model, messages, stream: true })],
      ['ambiguous', { 'content-type': 'application/json' }, '{"stream":false,"model":"gpt-5","stream":true}'],
    ]) {
      const answer = await fetch(`http://127.0.0.1:${gateway.port}/open/v1/chat/completions`, {
        method: 'POST', headers: { ...headers, authorization: `Bearer ${tokenOf(name)}` }, body,
      });
      assert.deepEqual([answer.status, (await answer.json()).error.code], [400, 'malformed_request']);
    }
  });
});
