// What the page on browsers shows of CORS, in a real Envoy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  basicConfiguration, basicEnv, chatRequest, restRequest, route, useGateway, useRecorder,
} from '../e2e/harness/index.mjs';
import { examples } from './markdown.mjs';

const [{ value: cors }] = examples('docs/browsers.md', 'Envoy: HTTP filters, before realtime_byok');
const [{ value: virtualHost }] = examples('docs/browsers.md', 'Envoy: a part of the virtual host');
const openai = useRecorder();
const gateway = useGateway(() => ({
  upstreams: { upstream: openai.port },
  env: basicEnv,
  configuration: basicConfiguration(),
  filtersBefore: cors,
  hcm: {
    route_config: {
      name: 'routes',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route({})], ...virtualHost }],
    },
  },
}));
const page = ['origin', 'https://app.example.com'];

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
