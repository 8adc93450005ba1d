// The official SDK for Node in a session that is ended by the gateway. CLASS is `ws` or `websocket`; RECONNECT asks for
// the SDK's own reconnecting; SAYS is what it says first. The SDK itself reads OPENAI_API_KEY and OPENAI_BASE_URL.
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';

const Realtime = { ws: OpenAIRealtimeWS, websocket: OpenAIRealtimeWebSocket }[process.env.CLASS];
const reconnect = process.env.RECONNECT === 'yes';
const rt = new Realtime(
  { model: 'gpt-realtime', ...(reconnect ? { reconnect, reconnectInitialDelay: 10, reconnectMaxDelay: 20 } : {}) },
  new OpenAI(),
);
const told = { events: [], errors: [], reconnecting: 0, order: [] };

rt.on('event', ({ type }) => told.events.push(type));
const says = JSON.parse(process.env.SAYS ?? '{"type":"response.create"}');
rt.on('session.created', () => rt.send(says));
rt.on('error', ({ error }) => {
  told.errors.push(error ?? null);
  told.order.push('error');
});
rt.on('reconnecting', () => (told.reconnecting += 1));
rt.socket.addEventListener('close', async ({ code, reason }) => {
  told.order.push('close');
  // Long enough for a reconnect, if there were one.
  await sleep(300);
  console.log(JSON.stringify({ ...told, close: { code, reason } }));
  process.exit();
});
