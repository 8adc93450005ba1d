// A page with the official SDK's class for browsers. It takes a client of which it needs a key and an address.
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';

window.converse = ({ client, dangerouslyAllowBrowser }) =>
  new Promise((resolve, reject) => {
    const rt = new OpenAIRealtimeWebSocket({ model: 'gpt-realtime', dangerouslyAllowBrowser }, client);
    const events = [];
    let text = '';
    rt.on('event', (event) => events.push(event.type));
    rt.on('session.created', () => {
      const content = [{ type: 'input_text', text: 'hello' }];
      rt.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
      rt.send({ type: 'response.create' });
    });
    rt.on('response.output_text.delta', ({ delta }) => (text += delta));
    rt.on('response.done', () => {
      resolve({ events, text, protocol: rt.socket.protocol });
      rt.close();
    });
    rt.on('error', ({ message }) => reject(new Error(message)));
  });
