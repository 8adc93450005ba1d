// envoy/dynamic-module/envoy.yaml as it is shipped, and what it promises of statistics.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { selfSigned } from '../deploy/certificates.mjs';
import { deployText, placed } from '../deploy/files.mjs';
import { exchange, requestBytes, restRequest, scratchDirectory, startEnvoy, until } from '../e2e/harness/index.mjs';

const token = 'gt-web-app-2Fg5hYu89Lw3pRs7';
let directory;
let envoy;
let port;

before(async () => {
  directory = scratchDirectory();
  const { chain } = selfSigned(join(directory, 'tls'), 'localhost');
  const text = placed(deployText('dynamic-module/envoy.yaml'), {
    'port_value: 8080': 'port_value: 0',
    'port_value: 9901': 'port_value: 0',
    'address: api.openai.com, port_value: 443': 'address: 127.0.0.1, port_value: 1',
    '/etc/ssl/certs/ca-certificates.crt': chain,
  });
  envoy = await startEnvoy(parse(text), { env: { OPENAI_API_KEY: 'sk-openai-provider-key', WEB_APP_TOKEN: token } });
  port = await envoy.port('gateway');
});
after(async () => {
  await envoy?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const ask = (headers) => exchange(port, requestBytes(restRequest({ target: '/v1/models', headers })));

test('a request without a token is refused, and one with a token goes to the provider', async () => {
  const refused = await ask([]);
  assert.deepEqual([refused.status, refused.json().error.code], [401, 'missing_gateway_token']);
  // Nobody listens there.
  assert.equal((await ask([['authorization', `Bearer ${token}`]])).status, 503);
});

test('Prometheus sees the names and labels that the WebAssembly module has', async () => {
  await ask([]);
  const line = /^realtime_byok_rejected_total\{code="missing_gateway_token"\} \d+$/m;
  await until('the refusal to be counted', async () => line.test(await (await envoy.admin('/stats/prometheus')).text()));
  assert.match(await (await envoy.admin('/stats/prometheus')).text(), /^realtime_byok_memory_bytes\{\} 0$/m);
});
