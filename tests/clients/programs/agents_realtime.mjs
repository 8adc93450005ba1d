// The Agents SDK over a WebSocket, as its documentation has it for a server of one's own. What it was told goes with it.
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';

const transport = new OpenAIRealtimeWebSocket({
  url: `${process.env.REALTIME_URL}?model=gpt-realtime`,
  useInsecureApiKey: true,
});
const agent = new RealtimeAgent({ name: 'assistant', instructions: 'Be brief.' });
const session = new RealtimeSession(agent, { transport, model: 'gpt-realtime', config: { outputModalities: ['text'] } });
const events = [];
const told = [];
let text = '';

session.on('transport_event', (event) => {
  events.push(event.type);
  told.push(event);
  if (event.type === 'response.output_text.delta') text += event.delta;
  if (event.type === 'response.done') {
    console.log(JSON.stringify({ events, text, told }));
    session.close();
  }
});
session.on('error', ({ error }) => {
  console.error(error?.message ?? JSON.stringify(error));
  process.exitCode = 1;
});
await session.connect({ apiKey: process.env.OPENAI_API_KEY });
session.sendMessage('hello');
