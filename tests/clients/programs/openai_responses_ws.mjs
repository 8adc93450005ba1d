// The Responses API over WebSocket by the official SDK for Node: the model stands in each `response.create`.
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';

const ws = new ResponsesWS(new OpenAI());
const events = [];
let text = '';

ws.on('event', (event) => events.push(event.type));
ws.on('response.output_text.delta', ({ delta }) => (text += delta));
ws.on('response.completed', () => ws.close());
ws.on('error', ({ error, message }) => events.push(error?.error?.code ?? message));
ws.socket.on('close', (code) => console.log(JSON.stringify({ events, text, code })));
ws.socket.on('open', () => ws.send({ type: 'response.create', model: process.env.MODEL, input: 'hello' }));
