// A server in Node with the `ws` package: OFFER lists the subprotocols, HEADERS the headers, both as JSON.
import WebSocket from 'ws';

const socket = new WebSocket(
  `${process.env.REALTIME_URL}?model=gpt-realtime`,
  JSON.parse(process.env.OFFER ?? '[]'),
  { headers: JSON.parse(process.env.HEADERS ?? '{}') },
);
const events = [];
let text = '';

socket.on('message', (data) => {
  const event = JSON.parse(data);
  events.push(event.type);
  if (event.type === 'session.created') {
    const content = [{ type: 'input_text', text: 'hello' }];
    socket.send(JSON.stringify({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } }));
    socket.send(JSON.stringify({ type: 'response.create' }));
  }
  if (event.type === 'response.output_text.delta') text += event.delta;
  if (event.type === 'response.done') socket.close(1000);
});
socket.on('error', (error) => console.error(error.message));
socket.on('close', (code) => {
  console.log(JSON.stringify({ events, text, protocol: socket.protocol, code }));
});
