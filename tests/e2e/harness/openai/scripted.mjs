// An upstream that says what was recorded of sessions that nothing else here speaks: OpenAI Live, and translations. What it
// says is checked against the official SDK's types (`checkedTypes`).
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';
import { useFor } from '../hooks.mjs';
import { repository } from '../paths.mjs';
import { record } from '../recorder.mjs';

/** The events of a recorded session, in order. */
export const recordedEvents = (name) =>
  readFileSync(join(repository, `tests/fixtures/recorded/${name}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** Recorded sessions, and the SDK's type that each of their events has. */
export const checkedTypes = { live: 'ServerEvent', 'realtime-translation': 'RealtimeTranslationServerEvent' };

/**
 * By path: the recording, whether it begins before the client says anything, the client's event at which it goes on, and the
 * one that ends it.
 */
const scripts = {
  '/v1/live/sessions': { name: 'live', start: 'session.start', goOn: 'session.input_audio.append' },
  '/v1/realtime/translations': { name: 'realtime-translation', goOn: 'session.input_audio_buffer.append' },
};

/** Such an upstream for this file. */
export function useScripted() {
  return useFor(startScripted);
}

async function startScripted() {
  const requests = [];
  const messages = [];
  const sockets = new Set();
  const websockets = new WebSocketServer({ noServer: true });
  const server = http.createServer((_, response) => response.writeHead(404).end());
  server.on('connection', (socket) => sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => {})));
  server.on('upgrade', (incoming, socket, head) => {
    requests.push(record(incoming));
    const script = scripts[new URL(incoming.url, 'http://upstream').pathname];
    if (script === undefined) return socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
    websockets.handleUpgrade(incoming, socket, head, (client) => play(script, client, messages));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    /** Every handshake that has arrived, as the recorder's entries. */
    requests: () => [...requests],
    /** Every message of a client's that has arrived, parsed. */
    messages: () => [...messages],
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The first event opens the session, the last one closes it, and the others come once the client speaks. */
function play({ name, start, goOn }, client, messages) {
  const events = recordedEvents(name);
  const [first, last] = [events.shift(), events.pop()];
  const send = (event) => client.send(JSON.stringify(event));
  if (start === undefined) send(first);
  client.on('message', (data) => {
    const message = JSON.parse(data);
    messages.push(message);
    if (message.type === start) send(first);
    if (message.type === goOn) events.splice(0).forEach(send);
    if (message.type === 'session.close') {
      send(last);
      client.close(1000);
    }
  });
}
