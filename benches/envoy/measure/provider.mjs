// A provider in a process of its own: answers each piece of the user's audio. Tells its parent the port.
import { WebSocketServer } from './dependencies.mjs';
import { created, upstreamSide } from './conversation.mjs';

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
server.on('connection', (socket) => {
  const side = upstreamSide();
  socket.send(created());
  socket.on('message', () => {
    for (const message of side.reply()) socket.send(message);
  });
  socket.on('error', () => socket.terminate());
});
server.on('listening', () => process.send({ port: server.address().port }));
process.on('disconnect', () => process.exit());
