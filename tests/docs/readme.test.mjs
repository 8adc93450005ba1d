// The README's whole configuration, in a real Envoy: what it does, and what happens without the lines that are easy to
// leave out.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { useFor } from '../e2e/harness/hooks.mjs';
import {
  chatRequest, exchange, modulePath, nextCase, providerKey, requestBytes, startEnvoy, tokens, until, upgradeRequest, useRecorder,
} from '../e2e/harness/index.mjs';
import { deployText, placed } from '../deploy/files.mjs';
import { startProvider } from '../deploy/stand.mjs';
import { curls, fences, headerLine } from './markdown.mjs';

const env = { OPENAI_API_KEY: providerKey, WEB_APP_TOKEN: tokens.web };
const token = ['authorization', `Bearer ${tokens.web}`];
const [shown] = fences('README.md', 'yaml');
const openai = useRecorder();
const provider = useFor(() => startProvider(openai.port));

/** Envoy with the README's configuration, or with what `change` makes of it. */
function useConfiguration(change = (configuration) => configuration) {
  return useFor(async () => {
    const text = placed(shown.text, {
      '/etc/envoy/realtime_byok.wasm': modulePath(),
      '/etc/ssl/certs/ca-certificates.crt': provider.trust,
      'port_value: 8080': 'port_value: 0',
      'address: api.openai.com, port_value: 443': `address: 127.0.0.1, port_value: ${provider.port}`,
    });
    const admin = { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } };
    const envoy = await startEnvoy({ admin, ...change(parse(text)) }, { env });
    const port = await envoy.port('gateway');
    return {
      envoy,
      stop: envoy.stop,
      async send(request) {
        const id = nextCase();
        const bytes = requestBytes({ ...request, headers: [...request.headers, ['x-case', id]] });
        return { ...(await exchange(port, bytes)), case: id };
      },
      metrics: async () => (await envoy.admin('/stats/prometheus')).text(),
    };
  });
}

const gateway = useConfiguration();
const without = {
  upgrades: useConfiguration((configuration) => {
    delete manager(configuration).upgrade_configs;
    return configuration;
  }),
  tags: useConfiguration(({ stats_config: _, ...others }) => others),
  bodies: useConfiguration((configuration) => {
    const { config } = manager(configuration).http_filters[0].typed_config;
    delete config.allow_on_headers_stop_iteration;
    const { policies } = config.configuration.value;
    policies.default.models = ['*'];
    return configuration;
  }),
};
const manager = (configuration) => configuration.static_resources.listeners[0].filter_chains[0].filters[0].typed_config;

describe('the whole configuration', () => {
  test('takes a token and sends the key, over TLS', async () => {
    const [command, ...more] = curls('README.md', env);
    assert.deepEqual(more, []);
    const answer = await gateway.send(command);
    assert.equal(answer.status, 200);
    const [request] = openai.requestsOf(answer.case);
    assert.deepEqual(request.headerAll('authorization'), [`Bearer ${providerKey}`]);
    assert.deepEqual(request.headerAll('host'), ['api.openai.com']);
  });

  test('needs one file of less than 1 MB', () => {
    assert.ok(statSync(modulePath()).size < 1_000_000);
  });

  test('opens WebSockets', async () => {
    const answer = await gateway.send(upgradeRequest({ headers: [token] }));
    assert.equal(answer.status, 101);
    answer.socket.destroy();
  });

  test('answers as the README says', async () => {
    const [asked, told] = fences('README.md', 'http');
    const [requestLine, ...lines] = asked.text.trim().split('\n');
    const [method, target] = requestLine.split(' ');
    const [head, body] = told.text.split('\n\n');
    const [statusLine, ...headers] = head.split('\n');
    const answer = await gateway.send({ method, target, headers: lines.map(headerLine), body: '{}' });
    assert.equal(answer.status, Number(statusLine.split(' ')[1]));
    for (const [name, value] of headers.map(headerLine)) assert.deepEqual(answer.headerAll(name), [value]);
    assert.deepEqual(answer.json(), JSON.parse(body));
  });

  test('has labels in its metrics, by the tags of the shipped files', async () => {
    await gateway.send(chatRequest());
    // Statistics go out once a second.
    const labelled = /^realtime_byok_rejected_total\{.*code="missing_gateway_token"\} \d+$/m;
    await until('a labelled metric', async () => labelled.test(await gateway.metrics()));
    assert.deepEqual(parse(shown.text).stats_config, parse(deployText('envoy.yaml')).stats_config);
  });
});

describe('without', () => {
  test('`upgrade_configs`, Envoy answers every WebSocket with 403 and an empty body', async () => {
    for (const headers of [[token], []]) {
      const answer = await without.upgrades.send(upgradeRequest({ headers }));
      assert.deepEqual([answer.status, answer.body.toString()], [403, '']);
      assert.deepEqual(openai.requestsOf(answer.case), []);
    }
  });

  test('`stats_tags`, labels stay inside the names of metrics', async () => {
    await without.tags.send(chatRequest());
    const metrics = await until('a metric with its labels in its name', async () => {
      const text = await without.tags.metrics();
      return /code.*missing_gateway_token/.test(text) && text;
    });
    assert.doesNotMatch(metrics, /^realtime_byok_rejected_total\b/m);
  });

  test('`allow_on_headers_stop_iteration`, a body that must be read is 500', async () => {
    const answer = await without.bodies.send(chatRequest({ headers: [token] }));
    assert.deepEqual([answer.status, answer.json().error.code], [500, 'body_unavailable']);
  });
});
