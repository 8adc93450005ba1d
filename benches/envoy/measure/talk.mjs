// Voice sessions that stay open, and the process that answers them.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { append, isAudio } from './conversation.mjs';
import { WebSocket } from './dependencies.mjs';
import { token } from './envoy.mjs';

/** Starts the provider; `stop` ends it. */
export async function startProvider() {
  const child = fork(new URL('provider.mjs', import.meta.url));
  const [{ port }] = await once(child, 'message');
  return {
    port,
    async stop() {
      const exited = once(child, 'exit');
      child.disconnect();
      await exited;
    },
  };
}

/** Opens one session. */
export async function openSession(port) {
  const offer = ['realtime', `cf-aig-authorization.${token}`];
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/realtime?model=gpt-realtime`, offer, { perMessageDeflate: false });
  const greeted = once(socket, 'message');
  await once(socket, 'open');
  await greeted;
  return {
    talk: (pieces) => talk(socket, pieces),
    async close() {
      socket.close(1000);
      await once(socket, 'close');
    },
  };
}

/** Says so many pieces of audio, each when the last was answered, so that each is a read of its own for Envoy. */
function talk(socket, pieces) {
  return new Promise((resolve, reject) => {
    let left = pieces;
    const closed = (code) => reject(new Error(`the session was closed: ${code}`));
    const heard = (message) => {
      if (!isAudio(message)) return;
      left -= 1;
      if (left > 0) return socket.send(append);
      socket.off('message', heard);
      socket.off('close', closed);
      resolve();
    };
    socket.on('message', heard);
    socket.on('close', closed);
    socket.send(append);
  });
}
