// Envoy configuration as a user would write it, built from what a test cares about.
import { join } from 'node:path';
import { host } from './host.mjs';
import { certificate, modulePath } from './paths.mjs';

const type = (name) => `type.googleapis.com/${name}`;

/**
 * A route. `policy` becomes `filter_metadata: {realtime_byok: {policy}}`; `headers` are exact matches;
 * `rewrite` replaces the matched prefix.
 */
export function route({ name, prefix = '/', path, cluster = 'upstream', policy, headers = {}, rewrite, extra = {} }) {
  const headerMatches = Object.entries(headers).map(([header, exact]) => ({
    name: header,
    string_match: { exact },
  }));
  return {
    ...(name === undefined ? {} : { name }),
    match: {
      ...(path === undefined ? { prefix } : { path }),
      ...(headerMatches.length === 0 ? {} : { headers: headerMatches }),
    },
    route: { cluster, timeout: '0s', ...(rewrite === undefined ? {} : { prefix_rewrite: rewrite }) },
    ...(policy === undefined ? {} : { metadata: { filter_metadata: { realtime_byok: { policy } } } }),
    ...extra,
  };
}

/**
 * The filter. `configuration` is an object, or a string that is passed verbatim; `encoding` says how an
 * object travels: `string` (JSON in a StringValue) or `struct` (native YAML).
 */
export function wasmFilter({
  configuration,
  encoding = 'string',
  hostEnvKeys = [],
  allowOnHeadersStopIteration = true,
  failurePolicy = 'FAIL_RELOAD',
  module = modulePath(),
  vmId = 'realtime_byok',
  pluginName = 'realtime_byok',
}) {
  return {
    name: pluginName,
    typed_config: {
      '@type': type('envoy.extensions.filters.http.wasm.v3.Wasm'),
      config: {
        name: pluginName,
        failure_policy: failurePolicy,
        ...(allowOnHeadersStopIteration ? { allow_on_headers_stop_iteration: true } : {}),
        vm_config: {
          vm_id: vmId,
          runtime: 'envoy.wasm.runtime.v8',
          code: { local: { filename: module } },
          ...(hostEnvKeys.length === 0 ? {} : { environment_variables: { host_env_keys: hostEnvKeys } }),
        },
        configuration: packed(configuration, encoding),
      },
    },
  };
}

/** The same filter as the native library `lib<module>.so`. */
export function nativeFilter({ configuration, encoding = 'string', module = 'realtime_byok', pluginName = 'realtime_byok' }) {
  return {
    name: pluginName,
    typed_config: {
      '@type': type('envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter'),
      dynamic_module_config: { name: module, do_not_close: true },
      filter_name: pluginName,
      filter_config: packed(configuration, encoding),
    },
  };
}

/** The filter in the host that is under test; options as `wasmFilter` takes them. */
export const filterOfHost = { wasm: wasmFilter, native: nativeFilter }[host];

function packed(configuration, encoding) {
  if (encoding === 'struct') return { '@type': type('google.protobuf.Struct'), value: configuration };
  const value = typeof configuration === 'string' ? configuration : JSON.stringify(configuration);
  return { '@type': type('google.protobuf.StringValue'), value };
}

/** The same filter, loaded from the file `ecds.json` of this directory (ECDS). */
export function discoveredFilter({ name, typed_config: { '@type': typeUrl } }, directory) {
  const source = { path: join(directory, 'ecds.json'), watched_directory: { path: directory } };
  return {
    name,
    config_discovery: {
      config_source: { resource_api_version: 'V3', path_config_source: source },
      type_urls: [typeUrl],
    },
  };
}

/** What that file holds. */
export function ecdsFile(filter, version) {
  return {
    version_info: String(version),
    resources: [{ '@type': type('envoy.config.core.v3.TypedExtensionConfig'), ...filter }],
  };
}

/** What the filter leaves of a session or a refusal for the access log. */
const sessionFields = [
  'id', 'caller', 'user', 'policy', 'provider', 'model', 'code', 'limit', 'close', 'reason', 'duration', 'tokens', 'cost',
];

/** What the JSON access log of every test listener says about a request. */
export const accessLogFormat = {
  case: '%REQ(X-CASE)%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  status: '%RESPONSE_CODE%',
  details: '%RESPONSE_CODE_DETAILS%',
  flags: '%RESPONSE_FLAGS%',
  route: '%ROUTE_NAME%',
  cluster: '%UPSTREAM_CLUSTER%',
  upstream: '%UPSTREAM_HOST%',
  provider: '%REQ(X-REALTIME-BYOK-PROVIDER)%',
  session: Object.fromEntries(
    sessionFields.map((field) => [field, `%FILTER_STATE(wasm.realtime_byok.${field}:PLAIN)%`]),
  ),
};

/** A listener on a free port with the filter (unless `filter` is null) in front of the router. */
export function listener({
  name,
  directory,
  routes = [route({})],
  filter = null,
  filtersBefore = [],
  filtersAfter = [],
  tls = false,
  hcm = {},
}) {
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [
      {
        ...(tls ? { transport_socket: tlsSocket() } : {}),
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': type('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
              stat_prefix: name,
              codec_type: 'AUTO',
              upgrade_configs: [{ upgrade_type: 'websocket' }],
              http2_protocol_options: { allow_connect: true },
              access_log: [
                {
                  name: 'envoy.access_loggers.file',
                  typed_config: {
                    '@type': type('envoy.extensions.access_loggers.file.v3.FileAccessLog'),
                    path: join(directory, 'access.log'),
                    log_format: { json_format: accessLogFormat },
                  },
                },
              ],
              route_config: {
                name: `${name}_routes`,
                virtual_hosts: [{ name: 'all', domains: ['*'], routes }],
              },
              http_filters: [
                ...filtersBefore,
                ...(filter === null ? [] : [filter]),
                ...filtersAfter,
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': type('envoy.extensions.filters.http.router.v3.Router') },
                },
              ],
              ...hcm,
            },
          },
        ],
      },
    ],
  };
}

/** A cluster of one endpoint on loopback, with room for more sessions than Envoy's usual 1024. */
export function cluster(name, port) {
  return {
    name,
    circuit_breakers: { thresholds: [{ max_connections: 10_000, max_pending_requests: 10_000, max_requests: 10_000 }] },
    type: 'STATIC',
    // An upstream of the tests' own takes its time where thousands connect to it at once.
    connect_timeout: '20s',
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }],
        },
      ],
    },
  };
}

/** The bootstrap of an Envoy whose listeners are given, or come from the file `ldsPath`. */
export function bootstrap({ listeners = [], clusters = [], ldsPath }) {
  return {
    node: { id: 'test', cluster: 'test' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    static_resources: { listeners, clusters },
    ...(ldsPath === undefined
      ? {}
      : {
          dynamic_resources: {
            lds_config: { resource_api_version: 'V3', path_config_source: { path: ldsPath } },
          },
        }),
  };
}

/** What the file of a filesystem LDS holds. */
export function ldsFile(listeners, version) {
  return {
    version_info: String(version),
    resources: listeners.map((one) => ({
      '@type': type('envoy.config.listener.v3.Listener'),
      ...one,
    })),
  };
}

function tlsSocket() {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': type('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'),
      common_tls_context: {
        alpn_protocols: ['h2', 'http/1.1'],
        tls_certificates: [
          {
            certificate_chain: { filename: certificate.chain },
            private_key: { filename: certificate.key },
          },
        ],
      },
    },
  };
}
