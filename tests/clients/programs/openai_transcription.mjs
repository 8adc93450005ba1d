// A session that only transcribes, by the official SDK for Node: the model stands in `session.update`.
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';

const rt = new OpenAIRealtimeWS({ intent: 'transcription' }, new OpenAI());
const events = [];

rt.on('event', (event) => events.push(event.type));
rt.on('session.created', () => {
  const transcription = { model: process.env.MODEL };
  rt.send({ type: 'session.update', session: { type: 'transcription', audio: { input: { transcription } } } });
});
rt.on('session.updated', () => rt.close());
rt.on('error', ({ error, message }) => events.push(error?.code ?? message));
rt.socket.addEventListener('close', ({ code }) => console.log(JSON.stringify({ events, code })));
