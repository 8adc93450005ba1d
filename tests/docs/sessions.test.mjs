// What the page on sessions shows of the control API, in a real Envoy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { providerKey, tokens, upgradeRequest, useGateway, useRecorder } from '../e2e/harness/index.mjs';
import { assertRecord, controlToken, operator } from '../e2e/harness/control.mjs';
import { curls, examples, fences } from './markdown.mjs';

const page = 'docs/sessions.md';
const env = { OPENAI_API_KEY: providerKey, WEB_APP_TOKEN: tokens.web, CONTROL_TOKEN: controlToken };
const [{ value: configuration }] = examples(page, 'plugin configuration').filter(({ value }) => 'control' in value);
const openai = useRecorder();
const gateway = useGateway(() => ({ upstreams: { upstream: openai.port }, env, configuration }));

test('the control API answers the requests that are shown', async () => {
  const { sessions, stopAll } = operator(gateway);
  const { socket } = await gateway.send(upgradeRequest({ headers: [['authorization', `Bearer ${tokens.web}`]] }));
  const commands = curls(page, env);
  assert.deepEqual(commands.map(({ method }) => method), ['GET', 'DELETE']);
  const none = { object: 'list', data: [] };
  const answers = { GET: { ...none, first_id: null, last_id: null, has_more: false }, DELETE: none };
  for (const command of commands) {
    assert.deepEqual((await gateway.send(command)).json(), answers[command.method]);
  }
  assert.equal((await sessions()).length, 1);
  assert.equal((await stopAll('?caller=web-app'))[0].status, 'stopping');
  socket.destroy();
});

test('records are as the one that is shown', () => {
  const [record, ...more] = fences(page, 'json');
  assert.deepEqual(more, []);
  assertRecord(JSON.parse(record.text));
});
