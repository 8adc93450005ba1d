// The strict upstream itself: that it is what OpenAI is, as far as the official SDK's types and OpenAI's refusals say.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { WebSocket } from 'ws';
import { providerKey, tokens } from './harness/index.mjs';
import { useOpenai } from './harness/openai.mjs';
import {
  mintEndpoints, realtimeSessionFields, transcriptionSessionFields, translationSessionFields,
} from './harness/openai/shapes.mjs';
import { liveAnswer, liveFields } from './harness/openai/live.mjs';
import { typeErrors } from './harness/openai/types.mjs';
import { answerTypes, mintBodies as bodies, mintPaths as paths } from './harness/minting.mjs';
import { newSealingKey, open, seal } from './harness/sealing.mjs';

const openai = useOpenai();
const realtime = bodies.current;

async function post(path, json, { credential = providerKey, headers = {}, body = JSON.stringify(json) } = {}) {
  const answer = await fetch(`http://127.0.0.1:${openai.port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${credential}`, ...headers },
    body,
  });
  const text = await answer.text();
  return { status: answer.status, text, json: text.startsWith('{') ? JSON.parse(text) : undefined };
}

async function refused(sending, status, code, param) {
  const { status: found, json } = await sending;
  assert.equal(found, status);
  assert.equal(json.error.code, code);
  if (param !== undefined) assert.equal(json.error.param, param);
  return json.error;
}

/** The status with which a handshake is refused, or 101. */
function handshake(credential, query = '?model=gpt-realtime') {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${openai.port}/v1/realtime${query}`, {
      headers: { authorization: `Bearer ${credential}` },
    });
    socket.on('open', () => resolve(101) || socket.terminate());
    socket.on('unexpected-response', (_, response) => resolve(response.statusCode) || socket.terminate());
    socket.on('error', () => {});
  });
}

test('its answers and the names that it takes are those of the official SDK', async () => {
  const answers = {};
  for (const [name, path] of Object.entries(paths)) {
    const { status, json } = await post(path, bodies[name]);
    assert.equal(status, 200);
    answers[name] = json;
  }
  const transcription = await post(paths.current, {
    session: { type: 'transcription', audio: { input: { transcription: { model: 'whisper-1' } } } },
  });
  const names = (path) => mintEndpoints[path].fields;
  const errors = await typeErrors([
    ...Object.entries(answers).map(([name, value]) => ({ ...answerTypes[name], value })),
    { ...answerTypes.current, value: transcription.json },
    { type: 'ClientSecretCreateParams', names: names(paths.current) },
    { type: 'ClientSecretCreateParams', names: names(paths.translations) },
    { type: 'SessionCreateParams', names: names(paths.sessions) },
    { type: 'TranscriptionSessionCreateParams', names: names(paths.transcriptions) },
    { type: 'RealtimeSessionCreateRequest', names: realtimeSessionFields },
    { type: 'RealtimeTranscriptionSessionCreateRequest', names: transcriptionSessionFields },
    { type: 'RealtimeTranslationSessionCreateRequest', names: translationSessionFields },
    { type: 'CallCreateParams', names: ['sdp', 'session'] },
    { type: 'LiveCreateParams', names: liveFields.top },
    { type: "LiveCreateParams['transport']", names: liveFields.transport },
    { type: 'MediaSessionConfig', names: liveFields.session },
    { type: 'LiveCreateResponse', value: liveAnswer('live_1', 'v=0') },
  ]);
  assert.equal(errors, '');
});

test('the compiler notices what is not so', async () => {
  for (const check of [
    { type: 'ClientSecretCreateResponse', value: { value: 'ek_1', expires_at: 'soon', session: {} } },
    { type: 'ClientSecretCreateResponse', value: { value: 'ek_1' } },
    { type: 'SessionCreateResponse', value: { client_secret: { value: 'ek_1', expires_at: 1 }, more: 1 } },
    { type: 'ClientSecretCreateParams', names: ['expires_after'] },
    { type: 'ClientSecretCreateParams', names: ['expires_after', 'session', 'gateway'] },
  ]) {
    assert.match(await typeErrors([check]), /error TS/);
  }
});

describe('it refuses', () => {
  test('keys that it does not know, and quotes them in part', async () => {
    for (const credential of [tokens.web, 'sk-something-else', 'ek_68af296e8e408191a1120ab6383263c2']) {
      const { message } = await refused(post(paths.current, realtime, { credential }), 401, 'invalid_api_key');
      assert.ok(message.includes(credential.slice(0, 8)) && message.includes(credential.slice(-4)));
      assert.equal(await handshake(credential), 401);
    }
  });
  test('sealed secrets', async () => {
    const times = { issued_at: 1_700_000_000, expires_at: 4_000_000_000 };
    const secret = seal({ caller: 'c', provider: 'openai', policy: 'p', ...times }, newSealingKey());
    await refused(post(paths.current, realtime, { credential: secret }), 401, 'invalid_api_key');
    assert.equal(await handshake(secret), 401);
  });
  test('a gateway object, and every other name that it does not know', async () => {
    for (const [name, path] of Object.entries(paths)) {
      await refused(post(path, { ...bodies[name], gateway: { user: 'u' } }), 400, 'unknown_parameter', 'gateway');
      await refused(post(path, { ...bodies[name], extra: 1 }), 400, 'unknown_parameter', 'extra');
    }
    const session = { ...realtime.session, gateway: {} };
    await refused(post(paths.current, { session }), 400, 'unknown_parameter', 'session.gateway');
  });
  test('lifetimes out of bounds', async () => {
    for (const seconds of [9, 7201]) {
      const expiresAfter = { anchor: 'created_at', seconds };
      const body = { ...realtime, expires_after: expiresAfter };
      await refused(post(paths.current, body), 400, 'invalid_value', 'expires_after.seconds');
      await refused(
        post(paths.sessions, { client_secret: { expires_after: expiresAfter } }),
        400,
        'invalid_value',
        'client_secret.expires_after.seconds',
      );
    }
  });
  test('a body that is not JSON, and one of another type', async () => {
    assert.equal((await post(paths.current, {}, { body: '{' })).status, 400);
    assert.equal((await post(paths.current, {}, { headers: { 'content-type': 'text/plain' } })).status, 415);
  });
});

test('its secrets open the realtime WebSocket until they expire, and nothing mints with them', async () => {
  const { json } = await post(paths.current, { ...realtime, expires_after: { anchor: 'created_at', seconds: 60 } });
  assert.match(json.value, /^ek_[0-9a-f]{32}$/);
  assert.ok(Math.abs(json.expires_at - Date.now() / 1000 - 60) < 5);
  assert.equal(await handshake(json.value, ''), 101);
  await refused(post(paths.current, realtime, { credential: json.value }), 401, 'invalid_api_key');
  openai.secrets.expireAll();
  assert.equal(await handshake(json.value, ''), 401);
  openai.secrets.restoreAll();
  assert.equal(await handshake(json.value, ''), 101);
});

test('sealing by the documented layout agrees with the documented vectors', () => {
  const key = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=';
  const vector =
    'ek_AecDASdAQUJDREVGR0hJSktMTU5PUFFSU1RVVlfVPnIVss0YZv_2gdHf-Qvz-7mosnwwMP9usSr5zAImSM1F' +
    'x2hTheNgi5-GKWu2rpj2DlDaX7eBsYbEJcYrtUkhBRrKQRykLbzxc8PF81b9n4bpY1NJUBQbNY1k-6hs04I0fxdV' +
    'ue7LdMOtQf8sSP-z_pUh5x-vu4U4j28jG_Yaru5jd2-z6OWIk5LEAwqVtXVXHxCFgAVvPSE6RcfuGw';
  const claims = {
    caller: 'web-app',
    provider: 'openai',
    policy: 'voice',
    issued_at: 1_756_310_400,
    expires_at: 1_756_311_000,
    model: 'gpt-realtime-2025-08-28',
    user: 'u_123',
    origin: 'https://app.example.com',
    max_duration_ms: 300_000,
    max_tokens: 20_000,
    max_cost_micro_usd: 500_000,
    upstream: 'ek_68af296e8e408191a1120ab6383263c2',
  };
  assert.deepEqual(open(vector, key), claims);
  assert.deepEqual(open(seal(claims, key), key), claims);
});
