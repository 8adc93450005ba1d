// What a mint request may hold, and what its answer looks like, for each of the four paths. The lists of names and the
// answers are checked against the official SDK's types.
import { invalidType, invalidValue, missingParameter, unknownParameter } from './errors.mjs';

const audioFormat = { type: 'audio/pcm', rate: 24000 };
const turnDetection = {
  type: 'server_vad',
  threshold: 0.5,
  prefix_padding_ms: 300,
  silence_duration_ms: 500,
};

/** The names that a realtime session may hold. */
export const realtimeSessionFields = [
  'type',
  'audio',
  'include',
  'instructions',
  'max_output_tokens',
  'model',
  'output_modalities',
  'parallel_tool_calls',
  'prompt',
  'reasoning',
  'tool_choice',
  'tools',
  'tracing',
  'truncation',
];

/** The names that a transcription session may hold. */
export const transcriptionSessionFields = ['type', 'audio', 'include'];

/** The names that a translation session may hold. */
export const translationSessionFields = ['model', 'audio'];

/**
 * The mint paths: the names at the top of the body, whether it may be absent, how to read it, and the answer.
 *
 * `read(body)` returns `{ session, seconds }`; `answer(secret, session, id)` the body of the 200, where `secret` is
 * `{ value, expires_at }`.
 */
export const mintEndpoints = {
  '/v1/realtime/client_secrets': {
    fields: ['expires_after', 'session'],
    read: (body) => ({
      session: readSession(body.session ?? { type: 'realtime' }),
      seconds: lifetime(body.expires_after, 'expires_after'),
    }),
    answer: (secret, session, id) => ({ ...secret, session: effectiveSession(session, id) }),
  },
  '/v1/realtime/translations/client_secrets': {
    fields: ['expires_after', 'session'],
    read: (body) => {
      const session = required(body.session, 'session');
      allowOnly(session, translationSessionFields, 'session.');
      aString(required(session.model, 'session.model'), 'session.model');
      return { session, seconds: lifetime(body.expires_after, 'expires_after') };
    },
    answer: (secret, session, id) => ({
      ...secret,
      session: { id, type: 'translation', model: session.model, audio: session.audio ?? {}, expires_at: 0 },
    }),
  },
  '/v1/realtime/sessions': {
    fields: [
      'client_secret',
      'input_audio_format',
      'input_audio_noise_reduction',
      'input_audio_transcription',
      'instructions',
      'max_response_output_tokens',
      'modalities',
      'model',
      'output_audio_format',
      'speed',
      'temperature',
      'tool_choice',
      'tools',
      'tracing',
      'turn_detection',
      'voice',
    ],
    read: (body) => {
      if (body.model !== undefined) aString(body.model, 'model');
      return {
        session: legacySession(body),
        seconds: lifetime(body.client_secret?.expires_after, 'client_secret.expires_after'),
      };
    },
    answer: (secret, session, id) => ({
      id,
      object: 'realtime.session',
      model: 'gpt-4o-realtime-preview',
      modalities: ['audio', 'text'],
      instructions: '',
      voice: 'alloy',
      input_audio_format: 'pcm16',
      output_audio_format: 'pcm16',
      turn_detection: turnDetection,
      tools: [],
      tool_choice: 'auto',
      temperature: 0.8,
      max_response_output_tokens: 'inf',
      expires_at: 0,
      ...session,
      client_secret: secret,
    }),
  },
  '/v1/realtime/transcription_sessions': {
    fields: [
      'client_secret',
      'include',
      'input_audio_format',
      'input_audio_noise_reduction',
      'input_audio_transcription',
      'modalities',
      'turn_detection',
    ],
    read: (body) => ({
      session: legacySession(body),
      seconds: lifetime(body.client_secret?.expires_at, 'client_secret.expires_at'),
    }),
    answer: (secret, session, id) => ({
      id,
      object: 'realtime.transcription_session',
      input_audio_format: 'pcm16',
      turn_detection: turnDetection,
      expires_at: 0,
      ...session,
      client_secret: secret,
    }),
  },
};

/** Reads the body of a mint request: `{ session, seconds }`, or throws what OpenAI would answer. */
export function readMintRequest(endpoint, body) {
  allowOnly(anObject(body, 'body'), endpoint.fields, '');
  return endpoint.read(body);
}

/** Checks a session object, as it stands in a mint request or in a call's form. */
export function readSession(session) {
  anObject(session, 'session');
  const type = required(session.type, 'session.type');
  if (!['realtime', 'transcription'].includes(type))
    throw invalidValue('session.type', "'realtime' or 'transcription'");
  allowOnly(session, type === 'realtime' ? realtimeSessionFields : transcriptionSessionFields, 'session.');
  if (session.model !== undefined) aString(session.model, 'session.model');
  return session;
}

function effectiveSession(session, id) {
  if (session.type === 'transcription') {
    return {
      type: 'transcription',
      object: 'realtime.transcription_session',
      id,
      expires_at: 0,
      ...withoutNulls(session),
    };
  }
  return {
    type: 'realtime',
    object: 'realtime.session',
    id,
    model: 'gpt-realtime',
    output_modalities: ['audio'],
    instructions: '',
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    truncation: 'auto',
    expires_at: 0,
    audio: {
      input: {
        format: audioFormat,
        turn_detection: { ...turnDetection, create_response: true, interrupt_response: true },
      },
      output: { format: audioFormat, voice: 'marin', speed: 1 },
    },
    ...withoutNulls(session),
  };
}

function legacySession({ client_secret: _, ...session }) {
  return withoutNulls(session);
}

function lifetime(expiresAfter, path) {
  if (expiresAfter === undefined) return 600;
  allowOnly(anObject(expiresAfter, path), ['anchor', 'seconds'], `${path}.`);
  const { anchor = 'created_at', seconds = 600 } = expiresAfter;
  if (anchor !== 'created_at') throw invalidValue(`${path}.anchor`, "'created_at'");
  if (!Number.isInteger(seconds)) throw invalidType(`${path}.seconds`, 'an integer');
  if (seconds < 10 || seconds > 7200) throw invalidValue(`${path}.seconds`, 'a value between 10 and 7200');
  return seconds;
}

function allowOnly(object, names, prefix) {
  const unknown = Object.keys(anObject(object, prefix)).find((name) => !names.includes(name));
  if (unknown !== undefined) throw unknownParameter(`${prefix}${unknown}`);
}

function anObject(value, path) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw invalidType(path, 'an object');
  return value;
}

function aString(value, path) {
  if (typeof value !== 'string') throw invalidType(path, 'a string');
}

function required(value, path) {
  if (value === undefined) throw missingParameter(path);
  return value;
}

function withoutNulls(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
}
