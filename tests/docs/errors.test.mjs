// What the page on errors says of the control API's errors and of Envoy's own answers, in a real Envoy.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  basicConfiguration, basicEnv, restRequest, tokens, upgradeRequest, useGateway, useRecorder,
} from '../e2e/harness/index.mjs';
import { controlToken } from '../e2e/harness/control.mjs';
import { table } from './markdown.mjs';

const page = 'docs/errors.md';
const openai = useRecorder();
const bearer = (token) => ['authorization', `Bearer ${token}`];

describe('the control API', () => {
  const gateway = useGateway(() => ({
    upstreams: { upstream: openai.port },
    env: { ...basicEnv, CONTROL_TOKEN: controlToken },
    configuration: { ...basicConfiguration(), control: { path: '/control', token: { env: 'CONTROL_TOKEN' } } },
  }));

  test('has the errors of the table', async () => {
    const answers = [];
    for (const [method, path, token] of [
      ['GET', '/sessions', tokens.web],
      ['GET', `/sessions/rb_${'0'.repeat(32)}`, controlToken],
      ['GET', '/session', controlToken],
      ['POST', '/sessions', controlToken],
      ['DELETE', '/sessions', controlToken],
    ]) {
      const answer = await gateway.send(restRequest({ method, target: `/control${path}`, headers: [bearer(token)] }));
      const { type, code } = answer.json().error;
      answers.push([String(answer.status), type, code]);
    }
    const rows = table(page, '| why it fails | status | type | code |');
    assert.deepEqual(rows.map(([, ...told]) => told), answers);
  });
});

describe('Envoy itself', () => {
  const options = { env: basicEnv, configuration: basicConfiguration({ policies: { default: { provider: 'openai', models: ['*'] } } }) };
  const upstreams = () => ({ upstream: openai.port });
  const gateway = useGateway(() => ({ ...options, upstreams: upstreams(), hcm: { upgrade_configs: [] } }));
  const unreachable = useGateway(() => ({ ...options, upstreams: { upstream: 1 } }));
  const unrouted = useGateway(() => ({ ...options, upstreams: upstreams(), routes: [] }));
  const told = table(page, '| status | body | why | what to do |');

  test('answers as the table says, without the filter\'s JSON', async () => {
    const large = { model: 'gpt-4o-mini', pad: 'x'.repeat(2 << 20) };
    const headers = [bearer(tokens.web), ['content-type', 'application/json']];
    const cases = [
      ['403 to a WebSocket', gateway, upgradeRequest({ headers: [bearer(tokens.web)] }), 'upgrade_failed'],
      ['404', unrouted, restRequest({ headers }), 'route_not_found'],
      ['413', gateway, restRequest({ method: 'POST', headers, body: JSON.stringify(large) })],
      ['431', gateway, restRequest({ headers: [...headers, ['x-long', 'x'.repeat(100_000)]] })],
      ['503', unreachable, restRequest({ headers })],
    ];
    assert.deepEqual(told.map(([name]) => name), cases.map(([name]) => name));
    for (const [index, [name, { send, envoy }, request, details]] of cases.entries()) {
      const answer = await send(request);
      const [, body, why] = told[index];
      assert.equal(String(answer.status), name.split(' ')[0]);
      assert.equal(answer.body.toString() === '' ? 'empty' : 'text', body, name);
      if (details === undefined) continue;
      assert.ok(why.includes(details), name);
      assert.equal((await envoy.accessLogOf(answer.case)).details, details);
    }
  });
});
