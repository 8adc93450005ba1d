// The client: Node's `ws`, which opens a realtime session, says one thing and waits for the answer.
import { readFileSync } from 'node:fs';
import { certificate } from '../../tests/e2e/harness/index.mjs';
import { WebSocket } from './dependencies.mjs';

const timeoutMs = 30_000;

/**
 * A session that goes on: `say(text)` resolves once that is answered; `keepTalking()` sends the silence of a microphone;
 * `closed()` resolves to `{ error, code, reason }`, how it ended and the last error event before.
 */
export async function dialogue({ url, offer }) {
  const socket = new WebSocket(url, offer, { ca: readFileSync(certificate.chain), handshakeTimeout: timeoutMs });
  const send = (event) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(event));
  const waiting = { 'session.created': [], 'response.done': [] };
  let error;
  const closed = new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', (code, reason) => resolve({ error, code, reason: reason.toString() }));
  });
  socket.on('message', (data) => {
    const event = JSON.parse(data);
    if (event.type === 'error') error = event.error;
    for (const resolve of waiting[event.type]?.splice(0) ?? []) resolve();
  });
  const next = (type) =>
    within(Promise.race([
      new Promise((resolve) => waiting[type].push(resolve)),
      closed.then(({ code }) => Promise.reject(new Error(`the session was closed with ${code}`))),
    ]), type);
  const ask = (text) => {
    const content = [{ type: 'input_text', text }];
    send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
    send({ type: 'response.create', response: { output_modalities: ['text'] } });
  };
  await next('session.created');
  return {
    say(text) {
      ask(text);
      return next('response.done');
    },
    keepTalking() {
      const audio = Buffer.alloc(480).toString('base64');
      const timer = setInterval(() => send({ type: 'input_audio_buffer.append', audio }), 100);
      socket.on('close', () => clearInterval(timer));
    },
    closed: () => within(closed, 'the end of the session'),
    terminate: () => socket.terminate(),
  };
}

async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Offers these subprotocols and says `text`. Resolves to what came of it: `{ refused: { status, body } }`, where the
 * handshake got an HTTP answer, or `{ subprotocol, model, answer }`. Rejects where a session ends before its answer.
 */
export function converse({ url, offer, text }) {
  const socket = new WebSocket(url, offer, { ca: readFileSync(certificate.chain), handshakeTimeout: timeoutMs });
  const talk = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
    socket.on('close', (code, reason) => {
      clearTimeout(timer);
      reject(new Error(`the session was closed with ${code} ${reason}`));
    });
    socket.on('error', reject);
    socket.on('unexpected-response', (_, response) => resolve(refusal(response)));
    follow(socket, text, resolve, reject);
  });
  return talk.finally(() => socket.terminate());
}

async function refusal(response) {
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { refused: { status: response.statusCode, body: Buffer.concat(chunks).toString() } };
}

function follow(socket, text, resolve, reject) {
  const send = (event) => socket.send(JSON.stringify(event));
  let model;
  let answer = '';
  const on = {
    'session.created': ({ session }) => {
      model = session.model;
      const content = [{ type: 'input_text', text }];
      send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
      send({ type: 'response.create', response: { output_modalities: ['text'] } });
    },
    'response.output_text.delta': ({ delta }) => {
      answer += delta;
    },
    'response.done': () => resolve({ subprotocol: socket.protocol, model, answer }),
    'error': ({ error }) => reject(new Error(`the API said: ${error.message}`)),
  };
  socket.on('message', (data) => {
    const event = JSON.parse(data);
    on[event.type]?.(event);
  });
}
