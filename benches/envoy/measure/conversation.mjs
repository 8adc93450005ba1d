// What both sides of a voice session say, over and over: 6.4 KB of audio each way, a tenth of a second of it, and among
// the upstream's now and then the events that come with a response.
import { randomBytes } from 'node:crypto';

/** How many pieces of audio a response has. */
export const responsePieces = 50;

/** What one response has used, as `response.done` tells it. */
const usage = {
  total_tokens: 340,
  input_tokens: 240,
  output_tokens: 100,
  input_token_details: {
    text_tokens: 40,
    audio_tokens: 200,
    image_tokens: 0,
    cached_tokens: 64,
    cached_tokens_details: { text_tokens: 0, audio_tokens: 64, image_tokens: 0 },
  },
  output_token_details: { text_tokens: 20, audio_tokens: 80 },
};

/** Tokens of one response. */
export const responseTokens = usage.total_tokens;

const audio = randomBytes(4800).toString('base64');
const item = { item_id: id('item'), output_index: 0, content_index: 0 };

/** A piece of the user's audio. */
export const append = JSON.stringify({ type: 'input_audio_buffer.append', audio });

/** What the upstream says first. */
export function created() {
  const session = {
    object: 'realtime.session',
    type: 'realtime',
    id: id('sess'),
    model: 'gpt-realtime-2025-08-28',
    output_modalities: ['audio'],
    instructions: 'Be brief and friendly, and speak as you would to a colleague. '.repeat(10),
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    audio: {
      input: {
        format: { type: 'audio/pcm', rate: 24000 },
        transcription: null,
        turn_detection: { type: 'server_vad', threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 200 },
      },
      output: { format: { type: 'audio/pcm', rate: 24000 }, voice: 'marin', speed: 1 },
    },
  };
  return event('session.created', { session });
}

/** The end of a response, with what it has used. */
export function done(response = id('resp')) {
  const output = [{ id: item.item_id, object: 'realtime.item', type: 'message', status: 'completed', role: 'assistant' }];
  return event('response.done', {
    response: { object: 'realtime.response', id: response, status: 'completed', output, usage },
  });
}

/** The upstream's side: `reply()` gives the messages that answer one more piece of the user's audio. */
export function upstreamSide() {
  let pieces = 0;
  let response = null;
  let delta = null;
  return {
    reply() {
      const messages = [];
      if (pieces % responsePieces === 0) {
        response = id('resp');
        delta = event('response.output_audio.delta', { response_id: response, ...item, delta: audio });
        messages.push(event('response.created', { response: { object: 'realtime.response', id: response } }));
      }
      if (pieces % 5 === 0) {
        const words = { response_id: response, ...item, delta: ' something like this' };
        messages.push(event('response.output_audio_transcript.delta', words));
      }
      pieces += 1;
      if (pieces % responsePieces === 0) messages.push(done(response));
      return [...messages, delta];
    },
  };
}

/** Whether one of the upstream's messages is the audio, which comes last. */
export function isAudio(message) {
  return message.length > audio.length;
}


function event(type, fields) {
  return JSON.stringify({ type, event_id: id('event'), ...fields });
}

function id(kind) {
  return `${kind}_${randomBytes(11).toString('base64url').slice(0, 21).replace(/[-_]/g, 'x')}`;
}
