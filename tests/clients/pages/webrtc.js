// A page with the Agents SDK, over WebRTC, with the browser's own peer and microphone.
import { OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';

window.converse = ({ url, apiKey }) =>
  new Promise((resolve, reject) => {
    const transport = new OpenAIRealtimeWebRTC({ baseUrl: url });
    const agent = new RealtimeAgent({ name: 'assistant', instructions: 'Be brief.' });
    const session = new RealtimeSession(agent, {
      transport,
      model: 'gpt-realtime',
      config: { outputModalities: ['text'] },
    });
    const events = [];
    let text = '';
    session.on('transport_event', (event) => {
      events.push(event.type);
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.type !== 'response.done') return;
      resolve({ events, text, callId: transport.callId });
      session.close();
    });
    session.on('error', ({ error }) => reject(new Error(error?.message ?? JSON.stringify(error))));
    session.connect({ apiKey }).then(() => session.sendMessage('hello'), reject);
  });
