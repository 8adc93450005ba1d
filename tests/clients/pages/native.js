// A page with nothing but the browser's own WebSocket.
window.converse = ({ url, offer }) =>
  new Promise((resolve) => {
    const socket = new WebSocket(url, offer);
    const events = [];
    let text = '';
    const send = (event) => socket.send(JSON.stringify(event));
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      events.push(event.type);
      if (event.type === 'session.created') {
        const content = [{ type: 'input_text', text: 'hello' }];
        send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
        send({ type: 'response.create' });
      }
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.type === 'response.done') socket.close(1000);
    };
    socket.onclose = ({ code }) => resolve({ events, text, protocol: socket.protocol, code });
  });
