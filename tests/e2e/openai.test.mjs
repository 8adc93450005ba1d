// The main job against a mock of OpenAI's API that nobody here wrote: it takes the provider's key only.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { describe } from 'node:test';
import WebSocket from 'ws';
import {
  basicEnv, chatRequest, clientKey, providerKey, restRequest, route, slot, tokens, useAimock, useRig,
} from './harness/index.mjs';


const token = tokens.web;

const aimock = useAimock({ keys: [providerKey] });
const { gateway } = useRig({
  upstream: aimock,
  tls: true,
  concurrency: 2,
  changes: {
    policies: {
      default: { provider: 'openai' },
      voice: { provider: 'openai', models: ['gpt-realtime*'], aliases: { voice: 'gpt-realtime-2025-08-28' } },
    },
  },
  routes: [route({ name: 'voice', prefix: '/voice/', rewrite: '/' }), route({})],
});

/** Connects, asks for one response, and returns all events up to its end, and the selected subprotocol. */
async function converse({ protocols, headers, path = '/v1/realtime?model=gpt-realtime', secure = false }) {
  const origin = secure ? `wss://127.0.0.1:${gateway.securePort}` : `ws://127.0.0.1:${gateway.port}`;
  const socket = new WebSocket(origin + path, protocols, { headers, rejectUnauthorized: false });
  const events = [];
  try {
    const done = new Promise((resolve, reject) => {
      socket.on('message', (data) => {
        const event = JSON.parse(data);
        events.push(event);
        if (event.type === 'response.done') resolve();
        if (event.type === 'error') reject(new Error(event.error.message));
      });
      socket.on('close', (code, reason) => reject(new Error(`closed with ${code} ${reason}`)));
      socket.on('error', reject);
    });
    const opened = Promise.race([once(socket, 'open'), done]);
    done.catch(() => {});
    await opened;
    const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'hello' }] };
    socket.send(JSON.stringify({ type: 'conversation.item.create', item }));
    socket.send(JSON.stringify({ type: 'response.create' }));
    await done;
    return { events, selected: socket.protocol };
  } finally {
    socket.terminate();
  }
}

function assertConversation({ events }, model = 'gpt-realtime') {
  assert.equal(events[0].type, 'session.created');
  assert.equal(events[0].session.model, model);
  const text = events
    .filter(({ type }) => type === 'response.output_text.delta')
    .map(({ delta }) => delta)
    .join('');
  assert.equal(text, 'Hello! How can I help you today?');
}

describe('a realtime session', () => {
  test("the support ticket: a token in a subprotocol, the beta's name, no key", async () => {
    const result = await converse({ protocols: ['realtime', slot, 'openai-beta.realtime-v1'] });
    assertConversation(result);
    assert.equal(result.selected, 'realtime');
  });
  test("the same with a client's own key beside", async () => {
    const result = await converse({
      protocols: ['realtime', `openai-insecure-api-key.${clientKey}`, slot, 'openai-beta.realtime-v1'],
    });
    assertConversation(result);
  });
  test('the token where the key would be', async () =>
    assertConversation(await converse({ protocols: ['realtime', `openai-insecure-api-key.${token}`] })));
  test("a server with headers, the beta's among them", async () =>
    assertConversation(
      await converse({
        headers: {
          Authorization: `Bearer ${token}`,
          'OpenAI-Beta': 'realtime=v1',
          'OpenAI-Organization': 'org-theirs',
        },
      }),
    ));
  test('over TLS', async () => assertConversation(await converse({ protocols: ['realtime', slot], secure: true })));
  test('an alias under a models rule, on a rewritten path', async () =>
    assertConversation(
      await converse({ path: '/voice/v1/realtime?model=voice', protocols: ['realtime', slot] }),
      'gpt-realtime-2025-08-28',
    ));
  test('twenty at once', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => converse({ protocols: ['realtime', slot] })));
    for (const one of all) assertConversation(one);
  });
  test('no token: a plain 401 before any 101', () =>
    assert.rejects(converse({ protocols: ['realtime'] }), /Unexpected server response: 401/));
  test('a model that the policy does not have', () =>
    assert.rejects(
      converse({ path: '/voice/v1/realtime?model=gpt-5', protocols: ['realtime', slot] }),
      /Unexpected server response: 403/,
    ));
});

describe('chat completions', () => {
  const authorized = [['authorization', `Bearer ${token}`]];

  test('plain', async () => {
    const answer = await gateway.send(chatRequest({ headers: [...authorized, ['openai-organization', 'org-theirs']] }));
    assert.equal(answer.status, 200);
    assert.equal(answer.json().choices[0].message.content, 'Hello! How can I help you today?');
    const entry = (await aimock.journal()).find(({ headers }) => headers['x-case'] === answer.case);
    assert.equal(entry.path, '/v1/chat/completions');
    assert.deepEqual(entry.body.messages, [{ role: 'user', content: 'hello' }]);
    assert.equal(entry.headers['openai-organization'], undefined);
    assert.equal(entry.headers['cf-aig-authorization'], undefined);
    assert.ok('authorization' in entry.headers);
  });
  test('as server-sent events', async () => {
    const answer = await gateway.send(chatRequest({ headers: authorized, stream: true }));
    assert.equal(answer.status, 200);
    assert.match(answer.header('content-type'), /^text\/event-stream/);
    const events = answer.body.toString().split('\n\n').filter(Boolean);
    assert.equal(events.at(-1), 'data: [DONE]');
    const text = events
      .slice(0, -1)
      .map((event) => JSON.parse(event.slice('data: '.length)).choices[0]?.delta?.content ?? '')
      .join('');
    assert.equal(text, 'Hello! How can I help you today?');
  });
  test('with the gateway header', async () => {
    const answer = await gateway.send(
      chatRequest({
        headers: [
          ['cf-aig-authorization', `Bearer ${token}`],
          ['authorization', `Bearer ${clientKey}`],
        ],
      }),
    );
    assert.equal(answer.status, 200);
  });
  test('without a token it never gets there', async () => {
    const before = (await aimock.journal()).length;
    const answer = await gateway.send(chatRequest());
    assert.equal(answer.status, 401);
    assert.equal(answer.json().error.code, 'missing_gateway_token');
    assert.equal((await aimock.journal()).length, before);
  });
  test('a list of models, by GET', async () => {
    const answer = await gateway.send(restRequest({ target: '/v1/models', headers: authorized }));
    assert.equal(answer.status, 200);
    assert.equal(answer.json().object, 'list');
  });
});

describe("a provider that refuses the gateway's key", () => {
  const { gateway: mistaken } = useRig({ upstream: aimock, env: { ...basicEnv, OPENAI_API_KEY: 'sk-revoked' } });
  test("is the gateway's fault", async () => {
    const answer = await mistaken.send(chatRequest({ headers: [['authorization', `Bearer ${token}`]] }));
    assert.equal(answer.status, 502);
    assert.equal(answer.json().error.code, 'provider_key_rejected');
    assert.doesNotMatch(answer.body.toString(), /Invalid API key|sk-revoked/);
  });
});
