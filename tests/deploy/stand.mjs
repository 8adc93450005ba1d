// The shipped Envoy files on loopback: as in docker-compose.yaml, but with free ports.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import {
  exchange, freePort, modulePath, nextCase, requestBytes, scratchDirectory, startEnvoy,
} from '../e2e/harness/index.mjs';
import { selfSigned } from './certificates.mjs';
import { deployText, environment, placed } from './files.mjs';

const providerNames = ['api.openai.com', 'example.openai.azure.com'];

/** Where the statistics are scraped. */
const metricsAddress = '127.0.0.1, port_value: 9902';

/** Where the paths of a shipped gateway file are in a test, for `placed`. */
export function gatewayPlaces({ certificate, trust }) {
  return {
    '/etc/envoy/realtime_byok.wasm': modulePath(),
    '/etc/envoy/tls/tls.crt': certificate.chain,
    '/etc/envoy/tls/tls.key': certificate.key,
    '/etc/ssl/certs/ca-certificates.crt': trust,
  };
}

/** examples/aimock/envoy.yaml in front of `port`: the TLS side of the providers. */
export async function startProvider(port, { names = providerNames } = {}) {
  const directory = scratchDirectory();
  const certificate = selfSigned(join(directory, 'tls'), ...names);
  const text = placed(deployText('../examples/aimock/envoy.yaml'), {
    '/etc/envoy/tls/tls.crt': certificate.chain,
    '/etc/envoy/tls/tls.key': certificate.key,
    '0.0.0.0, port_value: 443': '127.0.0.1, port_value: 0',
    'address: aimock, port_value: 4010': `address: 127.0.0.1, port_value: ${port}`,
  });
  const admin = { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } };
  const envoy = await startEnvoy({ admin, ...parse(text) }, { directory });
  return { port: await envoy.port('provider'), trust: certificate.chain, stop: envoy.stop };
}

/**
 * A shipped gateway file in front of a provider of `startProvider`.
 *
 * `places` replaces more of the file's text, for `placed`.
 */
export async function startShipped(file, provider, { places = {} } = {}) {
  const directory = scratchDirectory();
  const certificate = selfSigned(join(directory, 'tls'), 'localhost');
  const upstreams = providerNames
    .map((name) => `address: ${name}, port_value: 443`)
    .filter((address) => deployText(file).includes(address))
    .map((address) => [address, `address: 127.0.0.1, port_value: ${provider.port}`]);
  const text = placed(deployText(file), {
    ...gatewayPlaces({ certificate, trust: provider.trust }),
    ...Object.fromEntries(upstreams),
    '0.0.0.0, port_value: 8443': '127.0.0.1, port_value: 0',
    // In two places.
    '127.0.0.1, port_value: 9901': `127.0.0.1, port_value: ${await freePort()}`,
    ...(deployText(file).includes(metricsAddress) ? { [metricsAddress]: '127.0.0.1, port_value: 0' } : {}),
    ...places,
  });
  const envoy = await startEnvoy(parse(text), { directory, env: environment, concurrency: 2 }).catch((error) => {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  });
  const port = await envoy.port('gateway');
  return {
    envoy,
    port,
    stop: envoy.stop,
    /** Sends a request over TLS, with an `x-case` of its own; returns the answer with that `case`. */
    async send(request) {
      const id = nextCase();
      const bytes = requestBytes({ ...request, headers: [...request.headers, ['x-case', id]] });
      return { ...(await exchange(port, bytes, { secure: true })), case: id };
    },
    /** The entries of the JSON access log on standard output so far. */
    accessLog: () =>
      envoy
        .log()
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line)),
  };
}
