// What makes the comparison fair: Lua and this filter do the same job.
import assert from 'node:assert/strict';
import { environment } from './envoy.mjs';
import { handshakeLoad } from './load.mjs';

/** Both refuse a token that they do not know. */
export async function assertRefusing(variants) {
  for (const { name, port } of guarded(variants)) {
    const { status } = await fetch(`http://127.0.0.1:${port}/v1/models`, { headers: { authorization: 'Bearer gt-unknown' } });
    assert.equal(status, 401, `${name} lets an unknown token through`);
  }
}

/** Both bring the provider's key to this WebSocket server, and nothing of the gateway token. */
export async function assertExchanging(variants, upstream) {
  for (const { name, port } of guarded(variants)) {
    const arrival = new Promise((resolve) => upstream.once('connection', (_, request) => resolve(request.headers)));
    await handshakeLoad(port, 1);
    const headers = await arrival;
    assert.equal(headers.authorization, `Bearer ${environment.OPENAI_API_KEY}`, `${name} brings no key`);
    assert.equal(headers['sec-websocket-protocol'], 'realtime', `${name} strips something else`);
  }
}

function guarded(variants) {
  return variants.filter(({ name }) => name !== 'no filter');
}
