// The functions that the dynamic module calls, in the Envoy that the tests run.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { basicConfiguration, basicEnv, envoyBinary, repository, startGateway } from '../e2e/harness/index.mjs';

test('Envoy has every function of the list', () => {
  const facts = readFileSync(join(repository, 'hosts/dynamic_module/abi.txt'), 'utf8');
  const callbacks = [...facts.matchAll(/^callback (\w+)\(/gm)].map(([, name]) => name);
  assert.ok(callbacks.length > 30);
  const envoy = readFileSync(envoyBinary());
  const missing = callbacks.filter((name) => !envoy.includes(`\0envoy_dynamic_module_callback_${name}\0`));
  assert.deepEqual(missing, []);
});

test('Envoy takes the version of the ABI for its own', async (context) => {
  const gateway = await startGateway({ upstreams: { upstream: 1 }, env: basicEnv, configuration: basicConfiguration() });
  context.after(gateway.stop);
  assert.match(gateway.envoy.log(), /Dynamic module ABI version v\d+\.\d+\.\d+ matched/);
});
