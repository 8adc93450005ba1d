// What the README shows of Envoy and of HTTP, in a real Envoy.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  chatRequest, modulePath, providerKey, restRequest, route, tokens, upgradeRequest, useGateway, useRecorder,
} from '../e2e/harness/index.mjs';
import { assertRecord, controlToken, operator } from '../e2e/harness/control.mjs';
import { examples, fences } from './markdown.mjs';

const env = {
  OPENAI_API_KEY: providerKey,
  AZURE_OPENAI_API_KEY: 'azure-provider-key',
  WEB_APP_TOKEN: tokens.web,
  BACKEND_TOKEN: tokens.other,
  CONTROL_TOKEN: controlToken,
};
const token = ['authorization', `Bearer ${tokens.web}`];
const openai = useRecorder();
const azure = useRecorder();
const upstreams = () => ({ openai: openai.port, 'azure-eu': azure.port });

/** Every block of routes with the plugin configuration in front of it. */
const routed = fences('README.md').flatMap(({ place, text }, index, all) =>
  text.startsWith('# Envoy: routes\n') ? [{ place, configuration: all[index - 1].place }] : [],
);
const valueAt = (comment, place) => examples(comment).find((one) => one.place === place).value;

describe('the HTTP filter, behind the one for CORS', () => {
  const [{ value: filter }] = examples('Envoy: an HTTP filter');
  const [{ value: cors }] = examples('Envoy: HTTP filters, before realtime_byok');
  const [{ value: virtualHost }] = examples('Envoy: a part of the virtual host');
  filter.typed_config.config.vm_config.code.local.filename = modulePath();
  const virtualHosts = [{ name: 'all', domains: ['*'], routes: [route({ cluster: 'openai' })], ...virtualHost }];
  const gateway = useGateway(() => ({
    upstreams: upstreams(),
    env,
    filter: false,
    filtersBefore: [...cors, filter],
    hcm: { route_config: { name: 'routes', virtual_hosts: virtualHosts } },
  }));
  const page = ['origin', 'https://app.example.com'];

  test('takes a token and sends the key', async () => {
    const answer = await gateway.send(chatRequest({ headers: [token] }));
    assert.equal(answer.status, 200);
    assert.deepEqual(openai.requestsOf(answer.case)[0].headerAll('authorization'), [`Bearer ${providerKey}`]);
  });

  test('answers as the README says', async () => {
    const [asked, told] = fences('README.md').filter(({ language }) => language === 'http');
    const [requestLine, ...lines] = asked.text.trim().split('\n');
    const [method, target] = requestLine.split(' ');
    const [head, body] = told.text.split('\n\n');
    const [statusLine, ...shown] = head.split('\n');
    const answer = await gateway.send({ method, target, headers: lines.map(headerLine), body: '{}' });
    assert.equal(answer.status, Number(statusLine.split(' ')[1]));
    for (const [name, value] of shown.map(headerLine)) assert.deepEqual(answer.headerAll(name), [value]);
    assert.deepEqual(answer.json(), JSON.parse(body));
  });

  test('a preflight passes without a token, and goes no further', async () => {
    const headers = [page, ['access-control-request-method', 'POST'], ['access-control-request-headers', 'authorization']];
    const answer = await gateway.send(restRequest({ method: 'OPTIONS', headers }));
    assert.equal(answer.status, 200);
    assert.equal(answer.header('access-control-allow-origin'), page[1]);
    assert.equal(answer.header('access-control-allow-headers'), 'authorization, *');
    assert.deepEqual(openai.requestsOf(answer.case), []);
  });

  test('a page of that origin, and of no other, can read a refusal', async () => {
    for (const [origin, allowed] of [[page[1], page[1]], ['https://evil.example.com', undefined]]) {
      const answer = await gateway.send(chatRequest({ headers: [['origin', origin]] }));
      assert.equal(answer.json().error.code, 'missing_gateway_token');
      assert.equal(answer.header('access-control-allow-origin'), allowed);
    }
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
});

describe('the control API', () => {
  const [{ value: configuration }] = examples('plugin configuration').filter(({ value }) => 'control' in value);
  const gateway = useGateway(() => ({ upstreams: { upstream: openai.port }, env, configuration }));

  test('answers the requests that are shown', async () => {
    const { sessions, stopAll } = operator(gateway);
    const { socket } = await gateway.send(upgradeRequest({ headers: [token] }));
    const lines = fences('README.md').flatMap(({ language, text }) => (language === 'sh' ? text.split('\n') : []));
    const commands = lines.filter((line) => line.includes('$CONTROL_TOKEN'));
    assert.equal(commands.length, 2);
    for (const command of commands) {
      const [, method = 'GET'] = / -X (\w+) /.exec(command) ?? [];
      const [, target] = /"https:\/\/[^/]+(\S+)"$/.exec(command);
      const headers = [['host', 'gateway.test'], ['authorization', `Bearer ${controlToken}`]];
      const answer = await gateway.send({ method, target, headers });
      assert.deepEqual(answer.json(), { object: 'list', data: [] });
    }
    assert.equal((await sessions()).length, 1);
    assert.equal((await stopAll('?caller=web-app'))[0].status, 'stopping');
    socket.destroy();
  });

  test('shows records as the one that is shown', () => {
    const [record, ...more] = fences('README.md').filter(({ language }) => language === 'json');
    assert.deepEqual(more, []);
    assertRecord(JSON.parse(record.text));
  });
});

function headerLine(line) {
  const [name, ...value] = line.split(': ');
  return [name, value.join(': ')];
}
