// Sessions of every kind by the official SDKs, unmodified, with the gateway token as their API key.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import {
  basicConfiguration, basicEnv, providerKey, route, tokens, useAimock, useGateway,
} from '../e2e/harness/index.mjs';
import { checkedTypes, recordedEvents, useScripted } from '../e2e/harness/openai/scripted.mjs';
import { typeErrors } from '../e2e/harness/openai/types.mjs';
import { answerText } from './gateway.mjs';
import { runProgram } from './program.mjs';

const aimock = useAimock({ keys: [providerKey] });
const scripted = useScripted();
const models = [
  'gpt-5', 'gpt-live-1', 'gpt-realtime-translate', 'gpt-transcribe', 'gpt-4o-transcribe', 'gemini-2.5-flash-live',
];
const gateway = useGateway(() => ({
  upstreams: { upstream: aimock.port, scripted: scripted.port },
  env: basicEnv,
  tls: true,
  hcm: { merge_slashes: true },
  routes: [
    route({ prefix: '/ws/', policy: 'gemini' }),
    route({ prefix: '/v1/live/', policy: 'openai', cluster: 'scripted' }),
    route({ prefix: '/v1/realtime/translations', policy: 'openai', cluster: 'scripted' }),
    route({ policy: 'openai' }),
  ],
  configuration: basicConfiguration({
    providers: {
      openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' } },
      gemini: { kind: 'gemini', key: { env: 'OPENAI_API_KEY' } },
    },
    policies: { openai: { provider: 'openai', models }, gemini: { provider: 'gemini', models } },
  }),
}));

const baseUrl = () => `https://localhost:${gateway.securePort}`;
const openai = (MODEL) => ({ OPENAI_API_KEY: tokens.web, OPENAI_BASE_URL: `${baseUrl()}/v1`, MODEL });

/** What a program says, and what aimock got while it ran; nothing of it holds the client's token. */
async function watch(program, env) {
  const before = (await aimock.journal()).length;
  const result = await runProgram(program, env);
  const arrived = (await aimock.journal()).slice(before);
  assert.ok(!JSON.stringify([arrived, scripted.requests()]).includes(tokens.web), 'the token reached the upstream');
  return { result, arrived };
}

test('what was recorded is of the official SDK\'s types', async () => {
  const checks = Object.entries(checkedTypes).flatMap(([name, type]) =>
    recordedEvents(name).map((value) => ({ type, value })),
  );
  assert.equal(await typeErrors(checks), '');
});

describe('@google/genai', () => {
  const gemini = (MODEL) => ({ GEMINI_API_KEY: tokens.web, BASE_URL: `${baseUrl()}/`, MODEL });
  test('a session', async () => {
    const { result, arrived } = await watch('genai_live.mjs', gemini('gemini-2.5-flash-live'));
    assert.equal(result.text, answerText);
    assert.equal(result.events[0], 'setupComplete');
    assert.equal(arrived.at(-1).body.model, 'models/gemini-2.5-flash-live');
  });
  test('a model that is not allowed', async () => {
    const { result, arrived } = await watch('genai_live.mjs', gemini('gemini-other'));
    assert.deepEqual([result.code, result.reason], [4403, 'model_not_allowed']);
    assert.deepEqual(arrived, []);
  });
});

describe('openai, responses', () => {
  test('a response of a model that its message names', async () => {
    const { result, arrived } = await watch('openai_responses_ws.mjs', openai('gpt-5'));
    assert.equal(result.text, answerText);
    assert.equal(arrived.at(-1).body.model, 'gpt-5');
  });
  test('of one that is not allowed', async () => {
    const { result, arrived } = await watch('openai_responses_ws.mjs', openai('o3'));
    assert.deepEqual([result.events.at(-1), result.code], ['model_not_allowed', 4403]);
    assert.deepEqual(arrived, []);
  });
});

describe('openai, live', () => {
  test('a session', async () => {
    const { result } = await watch('openai_live.mjs', openai('gpt-live-1'));
    assert.deepEqual(result.usage, { seconds: 16.25 });
    assert.equal(result.events.at(-1), 'session.closed');
  });
  test('a model that is not allowed', async () => {
    const { result } = await watch('openai_live.mjs', openai('gpt-live-2'));
    assert.deepEqual([result.events, result.code], [['error', 'model_not_allowed'], 4403]);
    assert.ok(!scripted.messages().some(({ session }) => session?.model === 'gpt-live-2'), 'it went up');
  });
});

describe('openai, transcription', () => {
  test('of a model that is allowed', async () => {
    const { result } = await watch('openai_transcription.mjs', openai('gpt-4o-transcribe'));
    assert.ok(result.events.includes('session.updated'), result.events.join());
  });
  test('of one that is not', async () => {
    const { result } = await watch('openai_transcription.mjs', openai('whisper-1'));
    assert.deepEqual([result.events.at(-1), result.code], ['model_not_allowed', 4403]);
  });
});

test('openai, a translation', async () => {
  const { result } = await watch('openai_translation.mjs', openai('gpt-realtime-translate'));
  assert.equal(result.events.at(-1), 'session.closed');
  assert.ok(scripted.requests().at(-1).target.endsWith('?model=gpt-realtime-translate'));
});
