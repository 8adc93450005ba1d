// The official SDK for Node in a session whose instructions are locked: it tries to change them, and goes on. It reads
// OPENAI_API_KEY and OPENAI_BASE_URL.
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';

const rt = new OpenAIRealtimeWS({ model: 'gpt-realtime' }, new OpenAI());
const events = [];
const errors = [];

rt.socket.on('open', () => {
  rt.send({ type: 'session.update', event_id: 'mine', session: { type: 'realtime', instructions: 'Be rude.' } });
});
rt.on('event', (event) => events.push(event.type));
rt.on('error', ({ error }) => {
  errors.push(error);
  rt.send({ type: 'response.create' });
});
rt.on('response.done', () => {
  console.log(JSON.stringify({ events, errors }));
  rt.close();
});
