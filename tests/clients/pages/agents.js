// A page with the Agents SDK, over a WebSocket to a server of one's own.
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';

window.converse = ({ url, apiKey, useInsecureApiKey }) =>
  new Promise((resolve, reject) => {
    const transport = new OpenAIRealtimeWebSocket({ url, useInsecureApiKey });
    const agent = new RealtimeAgent({ name: 'assistant', instructions: 'Be brief.' });
    const session = new RealtimeSession(agent, { transport, model: 'gpt-realtime', config: { outputModalities: ['text'] } });
    const events = [];
    let text = '';
    session.on('transport_event', (event) => {
      events.push(event.type);
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.type !== 'response.done') return;
      resolve({ events, text, protocol: transport.connectionState.websocket.protocol });
      session.close();
    });
    session.on('error', ({ error }) => reject(new Error(error?.message ?? JSON.stringify(error))));
    session.connect({ apiKey }).then(() => session.sendMessage('hello'), reject);
  });
