// Client secrets in tests: a gateway that mints, the requests, and what stands in the answers.
import assert from 'node:assert/strict';
import { restRequest } from './requests.mjs';
import { forwarded, useRig } from './rig.mjs';
import { newSealingKey, open } from './sealing.mjs';
import { basicConfiguration, basicEnv, tokens } from './secrets.mjs';

/** The mint paths by short names. */
export const mintPaths = {
  current: '/v1/realtime/client_secrets',
  translations: '/v1/realtime/translations/client_secrets',
  sessions: '/v1/realtime/sessions',
  transcriptions: '/v1/realtime/transcription_sessions',
};

/** A small body for each. */
export const mintBodies = {
  current: { session: { type: 'realtime', model: 'gpt-realtime' } },
  translations: { session: { model: 'gpt-realtime' } },
  sessions: { model: 'gpt-realtime' },
  transcriptions: { input_audio_transcription: { model: 'gpt-4o-transcribe' } },
};

/** The model that stands in each. */
export const mintModels = {
  current: 'gpt-realtime',
  translations: 'gpt-realtime',
  sessions: 'gpt-realtime',
  transcriptions: 'gpt-4o-transcribe',
};

/** What the official SDK says of each answer, and what OpenAI's legacy answers have beside that. */
export const answerTypes = {
  current: { type: 'ClientSecretCreateResponse' },
  translations: { type: 'RealtimeTranslationClientSecretCreateResponse' },
  sessions: {
    type: 'SessionCreateResponse',
    besides: "{ id: string; object: 'realtime.session'; model: string; expires_at?: number }",
  },
  transcriptions: {
    type: 'TranscriptionSession',
    besides: "{ id: string; object: 'realtime.transcription_session'; expires_at?: number }",
  },
};

/** A price for whatever a secret with a limit in dollars is minted for. */
const prices = { '*': { input_text: 4, input_audio: 32, output_text: 16, output_audio: 64 } };

/** The key that the gateways of this process seal with, unless they say otherwise. */
export const sealingKey = newSealingKey();

/** The environment of a gateway that mints. */
export const mintEnv = { ...basicEnv, REALTIME_SEALING_KEY: sealingKey };

/** The basic configuration of a gateway that mints; `secrets` changes its `client_secrets`. */
export function mintConfiguration({ secrets = {}, ...changes } = {}) {
  return basicConfiguration({
    client_secrets: { mode: 'sealed', sealing_keys: [{ env: 'REALTIME_SEALING_KEY' }], ...secrets },
    prices,
    ...changes,
  });
}

/** `useRig` with a gateway that mints; `secrets` and `changes` as `mintConfiguration` takes them. */
export function useMinting({ secrets, changes, ...options } = {}) {
  return useRig({ env: mintEnv, configuration: mintConfiguration({ secrets, ...changes }), ...options });
}

/** A request for a client secret, by a path's short name and with a gateway token; `json` adds to the small body. */
export function mintRequest(name = 'current', { prefix = '', token = tokens.web, json = {}, headers = [], body } = {}) {
  return restRequest({
    method: 'POST',
    target: prefix + mintPaths[name],
    headers: [['authorization', `Bearer ${token}`], ...headers],
    ...(body === undefined ? { json: { ...mintBodies[name], ...json } } : { body }),
  });
}

/** Mints: `{ value, expires_at }`. */
export async function mint(gateway, name, options) {
  const answer = await gateway.send(mintRequest(name, options));
  assert.equal(answer.status, 200, `answered ${answer.status}: ${answer.body}`);
  return secretIn(answer.json());
}

/**
 * Mints through a gateway in front of the strict upstream, `{ recorder, gateway }`: `{ answer, seen, secret, claims }`,
 * the claims opened with this process's key.
 */
export async function mintedThrough(rig, name, options) {
  const { answer, seen } = await forwarded(rig, mintRequest(name, options));
  const secret = secretIn(answer.json());
  assert.match(secret.value, /^ek_[A-Za-z0-9_-]{100,}$/);
  return { answer, seen, secret, claims: open(secret.value, sealingKey) };
}

/** The time in Unix seconds, as secrets have it. */
export const now = () => Math.floor(Date.now() / 1000);

/** Asserts that two times are the same, but for a slow machine. */
export function near(actual, expected) {
  assert.ok(Math.abs(actual - expected) <= 5, `${actual} is not near ${expected}`);
}

/** Where a secret stands in an answer of either shape: an object with `value` and `expires_at`. */
export function secretIn(answer) {
  return answer.client_secret ?? answer;
}

/** Asserts that nothing of `secrets` is in what Envoy has logged, counts, or shows of its configuration. */
export async function assertNowhere({ envoy }, secrets) {
  const pages = await Promise.all(
    ['/stats', '/config_dump?include_eds', '/clusters'].map(async (path) => (await envoy.admin(path)).text()),
  );
  const places = [envoy.log(), JSON.stringify(envoy.accessLog()), ...pages];
  assert.ok(envoy.accessLog().length > 0);
  for (const secret of secrets) {
    assert.ok(typeof secret === 'string' && secret.length >= 8);
    // No part of a secret either: the first characters after its form would do.
    const part = secret.slice(0, 24);
    for (const [index, text] of places.entries()) assert.ok(!text.includes(part), `place ${index} shows a secret`);
  }
}
