// What `docker compose up` starts: envoy.yaml, examples/aimock/envoy.yaml and aimock, with the keys of docker-compose.yaml.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { chatRequest, startAimock } from '../e2e/harness/index.mjs';
import { environment } from './files.mjs';
import { startProvider, startShipped } from './stand.mjs';

let aimock;
let provider;
let gateway;

before(async () => {
  aimock = await startAimock({ keys: [environment.OPENAI_API_KEY, environment.AZURE_OPENAI_API_KEY] });
  provider = await startProvider(aimock.port);
  gateway = await startShipped('envoy.yaml', provider);
});
after(async () => {
  await gateway?.stop();
  await provider?.stop();
  await aimock?.stop();
});

test('a server chats with a gateway token', async () => {
  const headers = [['authorization', `Bearer ${environment.BACKEND_TOKEN}`]];
  const answer = await gateway.send(chatRequest({ model: 'gpt-4o', headers }));
  assert.equal(answer.status, 200);
  assert.match(answer.json().choices[0].message.content, /^Hello/);
});

for (const model of ['gpt-realtime', 'azure-eu/gpt-realtime']) {
  test(`a page opens a session with ${model}`, async () => {
    const socket = new WebSocket(
      `wss://127.0.0.1:${gateway.port}/v1/account-1/gateway-1/openai?model=${model}`,
      ['realtime', `cf-aig-authorization.${environment.WEB_APP_TOKEN}`, 'openai-beta.realtime-v1'],
      { rejectUnauthorized: false },
    );
    const [message] = await once(socket, 'message');
    socket.terminate();
    assert.equal(JSON.parse(message).type, 'session.created');
    assert.equal(socket.protocol, 'realtime');
  });
}
