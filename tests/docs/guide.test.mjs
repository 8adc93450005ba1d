// What the guide shows of Envoy, in a real Envoy.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  chatRequest, modulePath, providerKey, repository, restRequest, sha256, tokens, upgradeRequest, useGateway, useRecorder,
} from '../e2e/harness/index.mjs';
import { examples, fences, table } from './markdown.mjs';

const page = 'docs/guide.md';
const env = {
  OPENAI_API_KEY: providerKey,
  AZURE_OPENAI_API_KEY: 'azure-provider-key',
  WEB_APP_TOKEN: tokens.web,
  BACKEND_TOKEN: tokens.other,
};
const token = ['authorization', `Bearer ${tokens.web}`];
const openai = useRecorder();
const azure = useRecorder();
const upstreams = () => ({ openai: openai.port, upstream: openai.port, 'azure-eu': azure.port });

/** Every block of routes with the plugin configuration in front of it. */
const routed = fences(page).flatMap(({ place, text }, index, all) =>
  text.startsWith('# Envoy: routes\n') ? [{ place, configuration: all[index - 1].place }] : [],
);
const valueAt = (comment, place) => examples(page, comment).find((one) => one.place === place).value;

describe('the HTTP filter', () => {
  const [{ value: filter }] = examples(page, 'Envoy: an HTTP filter');
  filter.typed_config.config.vm_config.code.local.filename = modulePath();
  const gateway = useGateway(() => ({ upstreams: upstreams(), env, filter: false, filtersBefore: [filter] }));

  test('takes a token and sends the key', async () => {
    const answer = await gateway.send(chatRequest({ headers: [token] }));
    assert.equal(answer.status, 200);
    assert.deepEqual(openai.requestsOf(answer.case)[0].headerAll('authorization'), [`Bearer ${providerKey}`]);
  });

  test('has the least configuration that works', () => {
    const [{ value: least }] = examples(page, 'plugin configuration');
    assert.deepEqual(filter.typed_config.config.configuration.value, least);
  });
});

describe('the routes', () => {
  const gateways = routed.map(({ place, configuration }) => ({
    place,
    gateway: useGateway(() => ({
      upstreams: upstreams(),
      env,
      configuration: valueAt('plugin configuration', configuration),
      routes: valueAt('Envoy: routes', place),
    })),
  }));

  test('each policy holds on its route', async () => {
    const [{ gateway }] = gateways;
    assert.equal((await gateway.send(restRequest({ target: '/healthz' }))).status, 200);
    const refused = await gateway.send(chatRequest({ headers: [token] }));
    assert.equal(refused.json().error.code, 'route_not_allowed');
    const admitted = await gateway.send(chatRequest({ headers: [['authorization', `Bearer ${tokens.other}`]] }));
    assert.equal(admitted.status, 200);
    const model = await gateway.send(upgradeRequest({ target: '/v1/realtime?model=gpt-5', headers: [token] }));
    assert.equal(model.json().error.code, 'model_not_allowed');
  });

  test('a prefix picks the provider', async () => {
    const [, { gateway }] = gateways;
    for (const [model, recorder, path] of [
      ['azure-eu/gpt-realtime', azure, '/openai/v1/realtime?model=gpt-realtime'],
      ['gpt-realtime', openai, '/v1/realtime?model=gpt-realtime'],
    ]) {
      const answer = await gateway.send(upgradeRequest({ target: `/v1/realtime?model=${model}`, headers: [token] }));
      assert.equal(answer.status, 101);
      answer.socket.destroy();
      assert.deepEqual(recorder.requestsOf(answer.case).map(({ target }) => target), [path]);
    }
  });

  test('those of WebSockets never cut a silent session', () => {
    const realtime = routed.flatMap(({ place }) => valueAt('Envoy: routes', place)).filter(({ match }) => match.path === '/v1/realtime');
    assert.equal(realtime.length, 3);
    for (const { route } of realtime) assert.deepEqual([route.timeout, route.idle_timeout], ['0s', '0s']);
  });
});

test('a token is made, and its digest', () => {
  const [{ text }] = fences(page, 'sh');
  const [digest, made] = execFileSync('sh', ['-c', `${text}printf %s "$TOKEN"`], { encoding: 'utf8' }).split('\n');
  assert.match(made, /^[0-9a-f]{64}$/);
  assert.equal(digest, sha256(made));
});

test('every kind of provider has its row', () => {
  const schema = JSON.parse(readFileSync(join(repository, 'docs/config.schema.json'), 'utf8'));
  const kinds = schema.definitions.ProviderKind.oneOf.map((kind) => kind.const);
  assert.deepEqual(table(page, '| kind | key |').map(([kind]) => kind), kinds);
});
