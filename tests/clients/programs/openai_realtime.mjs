// The official SDK for Node, as its documentation has it. CLASS is `ws` or `websocket`; the SDK itself reads
// OPENAI_API_KEY and OPENAI_BASE_URL. What it was told goes with it.
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';

const Realtime = { ws: OpenAIRealtimeWS, websocket: OpenAIRealtimeWebSocket }[process.env.CLASS];
const rt = new Realtime({ model: 'gpt-realtime' }, new OpenAI());
const events = [];
const told = [];
let text = '';

rt.on('event', (event) => {
  events.push(event.type);
  told.push(event);
});
rt.on('session.created', () => {
  const content = [{ type: 'input_text', text: 'hello' }];
  rt.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
  rt.send({ type: 'response.create' });
});
rt.on('response.output_text.delta', ({ delta }) => (text += delta));
rt.on('response.done', () => {
  console.log(JSON.stringify({ events, text, told, protocol: rt.socket.protocol }));
  rt.close();
});
rt.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
