// The gateway of the demo: envoy/envoy.yaml as it is shipped, on loopback, with one provider.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { certificate, modulePath, repository } from '../../tests/e2e/harness/index.mjs';
import { parse } from './dependencies.mjs';

/** Where systems keep the certificates that they trust. */
const trustStores = [
  '/etc/ssl/certs/ca-certificates.crt', // Debian, Ubuntu, Alpine, Arch
  '/etc/pki/tls/certs/ca-bundle.crt', // Fedora, RHEL
  '/etc/ssl/ca-bundle.pem', // openSUSE
  '/etc/ssl/cert.pem', // macOS, BSD
];

/**
 * The bootstrap, for an upstream of one of two kinds: `{ port }`, plain HTTP on loopback, or `{ host }`, the real API
 * over TLS, with its name as SNI and in the certificate, which the system's trust store must vouch for. The admin is at
 * `adminPort`, which the listener for Prometheus has to know.
 */
export function demoBootstrap(upstream, { adminPort = 0 } = {}) {
  const bootstrap = parse(readFileSync(join(repository, 'envoy/envoy.yaml'), 'utf8'));
  const { listeners, clusters } = bootstrap.static_resources;
  const admin = named(clusters, 'admin');
  bootstrap.admin.address.socket_address.port_value = adminPort;
  admin.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value = adminPort;
  bootstrap.static_resources.clusters = [openai(named(clusters, 'openai'), upstream), admin];

  const listener = named(listeners, 'gateway');
  for (const { address } of listeners) address.socket_address.port_value = 0;
  listener.address.socket_address = { address: '127.0.0.1', port_value: 0 };
  const [chain] = listener.filter_chains;
  chain.transport_socket.typed_config.common_tls_context.tls_certificates = [
    { certificate_chain: { filename: certificate.chain }, private_key: { filename: certificate.key } },
  ];
  const connectionManager = chain.filters[0].typed_config;
  withoutSecondProvider(connectionManager);
  if (upstream.host) rewriteHosts(connectionManager, upstream.host);
  wasmConfig(connectionManager).vm_config.code.local.filename = modulePath();
  return bootstrap;
}

/** The environment that the configuration reads. */
export function demoEnvironment({ providerKey, sealingKey, webAppToken, backendToken, controlToken }) {
  return {
    OPENAI_API_KEY: providerKey,
    REALTIME_SEALING_KEY: sealingKey,
    WEB_APP_TOKEN: webAppToken,
    BACKEND_TOKEN: backendToken,
    CONTROL_TOKEN: controlToken,
  };
}

function openai(cluster, { port, host }) {
  const endpoint = cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint;
  if (host) {
    const tls = cluster.transport_socket.typed_config;
    endpoint.address.socket_address.address = host;
    tls.sni = host;
    tls.common_tls_context.validation_context = {
      trusted_ca: { filename: trustStore() },
      match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: host } }],
    };
  } else {
    endpoint.address.socket_address = { address: '127.0.0.1', port_value: port };
    delete cluster.transport_socket;
  }
  return cluster;
}

/** What the shipped file marks as the second provider's. */
function withoutSecondProvider(connectionManager) {
  const config = wasmConfig(connectionManager);
  const filter = config.configuration.value;
  delete filter.providers['azure-eu'];
  filter.policies.voice.providers = ['openai'];
  const { environment_variables: environment } = config.vm_config;
  environment.host_env_keys = environment.host_env_keys.filter((name) => name !== 'AZURE_OPENAI_API_KEY');
  const [virtualHost] = connectionManager.route_config.virtual_hosts;
  virtualHost.routes = virtualHost.routes.filter(({ route }) => route?.cluster !== 'azure-eu');
}

function rewriteHosts(connectionManager, host) {
  for (const { route } of connectionManager.route_config.virtual_hosts[0].routes) {
    if (route) route.host_rewrite_literal = host;
  }
}

function wasmConfig(connectionManager) {
  return named(connectionManager.http_filters, 'envoy.filters.http.wasm').typed_config.config;
}

function named(list, name) {
  return list.find((one) => one.name === name);
}

function trustStore() {
  const store = [process.env.SSL_CERT_FILE, ...trustStores].find((path) => path && existsSync(path));
  if (!store) throw new Error('no trust store was found: set SSL_CERT_FILE to the certificates that you trust');
  return store;
}
