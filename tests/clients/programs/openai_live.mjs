// OpenAI Live over WebSocket by the official SDK for Node: the model stands in `session.start`.
import OpenAI from 'openai';
import { LiveWS } from 'openai/resources/live/ws';

const live = new LiveWS(new OpenAI());
const events = [];
let usage;

live.on('event', (event) => {
  events.push(event.type);
  usage = event.usage ?? usage;
});
live.on('session.started', () => live.send({ type: 'session.input_audio.append', audio: 'AAAA' }));
live.on('session.usage.updated', ({ usage: { seconds } }) => seconds === 15 && live.send({ type: 'session.close' }));
live.on('error', ({ error, message }) => events.push(error?.error?.code ?? message));
live.socket.on('close', (code) => console.log(JSON.stringify({ events, usage, code })));
live.socket.on('open', () => live.send({ type: 'session.start', session: { model: process.env.MODEL } }));
