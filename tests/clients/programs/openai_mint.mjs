// The official SDK for Node on a backend: client secrets of every kind, with what the gateway should know of them in the
// JSON of GATEWAY. The SDK itself reads OPENAI_API_KEY and OPENAI_BASE_URL.
import OpenAI from 'openai';

const client = new OpenAI();
const gateway = JSON.parse(process.env.GATEWAY);
const expires = { anchor: 'created_at', seconds: 300 };
const { realtime, beta } = client;

const answers = {
  current: await realtime.clientSecrets.create({
    expires_after: expires,
    session: { type: 'realtime', model: 'gpt-realtime' },
    gateway,
  }),
  translations: await realtime.translations.clientSecrets.create({
    expires_after: expires,
    session: { model: 'gpt-realtime' },
    gateway,
  }),
  sessions: await beta.realtime.sessions.create({ model: 'gpt-realtime', gateway }),
  transcriptions: await beta.realtime.transcriptionSessions.create({
    input_audio_transcription: { model: 'whisper-1' },
    gateway,
  }),
};
console.log(JSON.stringify(answers));
