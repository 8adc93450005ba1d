// A translation by the official SDK for Node.
import OpenAI from 'openai';
import { OpenAIRealtimeTranslationWS } from 'openai/realtime/translations/ws';

const events = [];
const session = await OpenAIRealtimeTranslationWS.create(new OpenAI(), { model: process.env.MODEL });
session.on('event', (event) => {
  events.push(event.type);
  if (event.type === 'session.created') session.send({ type: 'session.input_audio_buffer.append', audio: 'AAAA' });
  if (event.type === 'session.output_transcript.delta') {
    session.finish({ timeoutMs: 30_000 }).then(() => console.log(JSON.stringify({ events })));
  }
});
session.on('error', (error) => console.error(error.message));
