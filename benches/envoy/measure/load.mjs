// Load of two kinds: REST requests over kept connections, and whole WebSocket handshakes.
import { once } from 'node:events';
import { autocannon, WebSocket } from './dependencies.mjs';
import { token } from './envoy.mjs';

const connections = 8;

/** What the official SDK for Node sends with every request. */
const sdkHeaders = {
  accept: 'application/json',
  'content-type': 'application/json',
  'user-agent': 'OpenAI/JS 7.57.0',
  'x-stainless-retry-count': '0',
  'x-stainless-timeout': '600',
  'x-stainless-lang': 'js',
  'x-stainless-package-version': '7.57.0',
  'x-stainless-os': 'Linux',
  'x-stainless-arch': 'x64',
  'x-stainless-runtime': 'node',
  'x-stainless-runtime-version': 'v20.19.0',
  authorization: `Bearer ${token}`,
};

/** What a page offers: the gateway token, and the beta's name that old clients still send. */
const offer = ['realtime', `cf-aig-authorization.${token}`, 'openai-beta.realtime-v1'];

/** Sends `amount` requests as the official SDK makes them, each answered with 200; resolves to `amount`. */
export async function restLoad(port, amount) {
  const result = await autocannon({
    url: `http://127.0.0.1:${port}/v1/models`,
    headers: sdkHeaders,
    connections,
    amount,
    sampleInt: 10, // It ends at a multiple of this.
  });
  if (result['2xx'] !== amount) {
    throw new Error(`${result['2xx']} of ${amount} requests were answered with 200: ${JSON.stringify(result.statusCodeStats)}`);
  }
  return amount;
}

/**
 * Opens `amount` WebSockets with these subprotocols, a few at a time, and closes each once it is open; resolves to
 * `amount`.
 */
export async function handshakeLoad(port, amount, subprotocols = offer) {
  let left = amount;
  const client = async () => {
    while (left > 0) {
      left -= 1;
      await handshake(port, subprotocols);
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  return amount;
}

async function handshake(port, subprotocols) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/realtime?model=gpt-realtime`, subprotocols);
  await once(socket, 'open');
  socket.terminate();
  await once(socket, 'close');
}
