// What the page on errors says of the control API's errors and of Envoy's own answers, in a real Envoy.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  basicConfiguration, basicEnv, repository, restRequest, tokens, upgradeRequest, useGateway, useRecorder,
} from '../e2e/harness/index.mjs';
import { controlToken } from '../e2e/harness/control.mjs';

const page = readFileSync(join(repository, 'docs/errors.md'), 'utf8');
const openai = useRecorder();
const bearer = (token) => ['authorization', `Bearer ${token}`];

/** The rows of the table in a section, each as its cells without backticks. */
function rows(section) {
  const text = page.split('\n## ').find((one) => one.startsWith(`${section}\n`));
  const lines = text.split('\n').filter((line) => line.startsWith('| ')).slice(1);
  return lines.map((line) => line.slice(2, -2).split(' | ').map((cell) => cell.replaceAll('`', '')));
}

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
    assert.deepEqual(rows('The control API\'s errors').map(([, ...told]) => told), answers);
  });
});

describe('Envoy itself', () => {
  const options = { env: basicEnv, configuration: basicConfiguration({ policies: { default: { provider: 'openai', models: ['*'] } } }) };
  const upstreams = () => ({ upstream: openai.port });
  const gateway = useGateway(() => ({ ...options, upstreams: upstreams(), hcm: { upgrade_configs: [] } }));
  const unreachable = useGateway(() => ({ ...options, upstreams: { upstream: 1 } }));
  const unrouted = useGateway(() => ({ ...options, upstreams: upstreams(), routes: [] }));
  const told = rows('Envoy\'s own answers');

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
