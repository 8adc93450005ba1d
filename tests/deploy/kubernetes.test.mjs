// Every Kubernetes file against the schemas of its resources, and every plugin configuration in them in the
// real filter.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { bootstrap, listener, scratchDirectory, validateBootstrap, wasmFilter } from '../e2e/harness/index.mjs';
import { deployPath, deployText, documents, environment } from './files.mjs';
import { problemsOf } from './kubernetes-schema.mjs';

const folders = ['istio', 'envoy-gateway'];
const manifests = folders.flatMap((folder) =>
  readdirSync(deployPath(folder))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => `${folder}/${name}`),
);
manifests.push('identities/istio.yaml', 'identities/envoy-gateway.yaml', 'dynamic-module/istio.yaml');
const resources = manifests.flatMap((file) => documents(file).map((resource) => ({ file, resource })));

const resource = (folder, kind, name) => {
  const found = resources.find(
    (one) => one.file.startsWith(folder) && one.resource.kind === kind && one.resource.metadata.name === name,
  );
  assert.ok(found, `${folder} has no ${kind} ${name}`);
  return found.resource;
};

for (const { file, resource } of resources) {
  test(`${file}: ${resource.kind} ${resource.metadata.name} fits its schema`, async () => {
    assert.deepEqual(await problemsOf(resource), []);
  });
}

test('the schemas refuse a wrong value, a missing field and an unknown field', async () => {
  const plugin = resource('istio', 'WasmPlugin', 'realtime-byok');
  const withSpec = (changes) => ({ ...plugin, spec: { ...plugin.spec, ...changes } });
  const extension = resource('envoy-gateway', 'EnvoyExtensionPolicy', 'realtime');
  const [wasm] = extension.spec.wasm;
  const route = resource('istio', 'VirtualService', 'realtime-byok');
  const cases = [
    [withSpec({ failStrategy: 'FAIL_SOMETIMES' }), /failStrategy/],
    [withSpec({ url: undefined }), /url/],
    [withSpec({ failurePolicy: 'FAIL_RELOAD' }), /unknown field \/spec\/failurePolicy/],
    [withSpec({ vmConfig: { env: [{ name: 'A', valueForm: 'HOST' }] } }), /unknown field \/spec\/vmConfig\/env\/0\/valueForm/],
    [{ ...extension, spec: { ...extension.spec, wasm: [{ ...wasm, hostKeys: [] }] } }, /unknown field \/spec\/wasm\/0\/hostKeys/],
    [{ ...extension, spec: { ...extension.spec, wasm: [{ ...wasm, failOpen: 'no' }] } }, /failOpen/],
    [{ ...route, spec: { ...route.spec, http: [{ ...route.spec.http[0], matches: [] }] } }, /unknown field \/spec\/http\/0\/matches/],
  ];
  for (const [broken, expected] of cases) assert.match((await problemsOf(broken)).join('\n'), expected);
});

const extension = resource('istio', 'EnvoyFilter', 'realtime-byok').spec.configPatches[0].patch.value;
const filterConfig = extension.typed_config.config;
const plugins = {
  'istio/wasmplugin.yaml': {
    configuration: resource('istio', 'WasmPlugin', 'realtime-byok').spec.pluginConfig,
    hostEnvKeys: resource('istio', 'WasmPlugin', 'realtime-byok').spec.vmConfig.env.map(({ name }) => name),
  },
  'istio/envoyfilter.yaml': {
    configuration: filterConfig.configuration.value,
    hostEnvKeys: filterConfig.vm_config.environment_variables.host_env_keys,
  },
  ...Object.fromEntries(
    ['realtime', 'rest'].map((name) => {
      const [{ config, env }] = resource('envoy-gateway', 'EnvoyExtensionPolicy', name).spec.wasm;
      return [`envoy-gateway/filter.yaml ${name}`, { configuration: config, hostEnvKeys: env.hostKeys }];
    }),
  ),
};

const present = resource('identities/istio', 'WasmPlugin', 'realtime-byok-present').spec;
plugins['identities/istio.yaml'] = { configuration: present.pluginConfig, hostEnvKeys: [] };

/** Loads a filter, in an otherwise minimal configuration, into a real Envoy. */
function load(filter, { env = environment, hcm } = {}) {
  const directory = scratchDirectory();
  const routes = [{ match: { prefix: '/' }, direct_response: { status: 200 } }];
  const listeners = [listener({ name: 'gateway', directory, filter, routes, hcm })];
  return validateBootstrap(bootstrap({ listeners }), { env, directory });
}

for (const [name, plugin] of Object.entries(plugins)) {
  test(`${name}: the filter takes its configuration`, async () => {
    const { ok, output } = await load(wasmFilter(plugin));
    assert.ok(ok, output);
  });

  if (plugin.hostEnvKeys.length === 0) continue;
  test(`${name}: the filter names every variable that is not set`, async () => {
    const { ok, output } = await load(wasmFilter(plugin), { env: {} });
    assert.equal(ok, false, 'started without any');
    for (const key of plugin.hostEnvKeys) assert.ok(output.includes(key), `${key} is not named in:\n${output}`);
  });
}

test('the two ways into Istio configure the filter alike', () => {
  assert.deepEqual(JSON.parse(filterConfig.configuration.value), plugins['istio/wasmplugin.yaml'].configuration);
  assert.deepEqual(filterConfig.vm_config.environment_variables.host_env_keys, plugins['istio/wasmplugin.yaml'].hostEnvKeys);
  assert.equal(
    filterConfig.vm_config.code.remote.http_uri.uri,
    resource('istio', 'WasmPlugin', 'realtime-byok').spec.url,
  );
});

test('both fail closed and the EnvoyFilter lets the filter read bodies', () => {
  assert.equal(resource('istio', 'WasmPlugin', 'realtime-byok').spec.failStrategy, 'FAIL_RELOAD');
  assert.equal(filterConfig.failure_policy, 'FAIL_RELOAD');
  assert.equal(filterConfig.allow_on_headers_stop_iteration, true);
});

test('the extension that the EnvoyFilter adds is the one that its HTTP filter asks for', () => {
  const [, { patch }] = resource('istio', 'EnvoyFilter', 'realtime-byok').spec.configPatches;
  assert.equal(patch.value.name, extension.name);
  assert.deepEqual(patch.value.config_discovery.type_urls, [extension.typed_config['@type']]);
});

test('what EnvoyFilters put into Envoy is configuration that Envoy knows', async () => {
  const [{ patch }] = resource('istio', 'EnvoyFilter', 'realtime-byok-limits').spec.configPatches;
  const { '@type': type, ...limits } = patch.value.typed_config;
  // The shipped extension as it stands, but for the module, which Istio's agent puts in place.
  const { code } = wasmFilter(plugins['istio/envoyfilter.yaml']).typed_config.config.vm_config;
  const shipped = { ...filterConfig, vm_config: { ...filterConfig.vm_config, code } };
  const filter = { name: extension.name, typed_config: { ...extension.typed_config, config: shipped } };
  const { ok, output } = await load(filter, { hcm: limits });
  assert.ok(ok, output);
  assert.match(type, /HttpConnectionManager$/);
});

test('what the EnvoyFilter of the dynamic module adds is a filter that Envoy takes', async () => {
  const [{ patch }] = resource('dynamic-module', 'EnvoyFilter', 'realtime-byok').spec.configPatches;
  const { ok, output } = await load(patch.value);
  assert.ok(ok, output);
  assert.equal((await load(patch.value, { env: {} })).ok, false);
});

test('every route name of the VirtualService is a policy', () => {
  const { http } = resource('istio', 'VirtualService', 'realtime-byok').spec;
  const { policies } = plugins['istio/wasmplugin.yaml'].configuration;
  for (const { name, match } of http) {
    assert.ok(policies[name], `no policy is called ${name}`);
    assert.ok(match.every((one) => one.name === undefined), `${name}: a match's name becomes part of the route's`);
  }
  assert.deepEqual(policies.realtime, policies['realtime-azure-eu'], 'told apart by x-realtime-byok-provider');
});

test('the gateway of Istio gets every variable that the plugin reads', () => {
  const [proxy] = resource('istio', 'Deployment', 'realtime-byok').spec.template.spec.containers;
  const fromSecret = proxy.env.filter(({ valueFrom }) => valueFrom).map(({ name }) => name);
  assert.deepEqual(fromSecret, plugins['istio/wasmplugin.yaml'].hostEnvKeys);
});

test('the routes match and rewrite as envoy.yaml, whose routes are tested', () => {
  const tested = deployText('envoy.yaml');
  const { http } = resource('istio', 'VirtualService', 'realtime-byok').spec;
  const httpRoutes = ['realtime', 'rest'].flatMap((name) => resource('envoy-gateway', 'HTTPRoute', name).spec.rules);
  const rewrites = ['openai-realtime', 'azure-realtime', 'openai-rest'].map(
    (name) => resource('envoy-gateway', 'HTTPRouteFilter', name).spec.urlRewrite.path.replaceRegexMatch,
  );
  const matched = [
    ...http.flatMap(({ match }) => match.map(({ uri }) => uri.regex)),
    ...httpRoutes.flatMap(({ matches }) => matches.map(({ path }) => (path.type === 'PathPrefix' ? undefined : path.value))),
  ].filter(Boolean);
  const replaced = [
    ...http.filter(({ rewrite }) => rewrite).map(({ rewrite: { uriRegexRewrite: one } }) => [one.match, one.rewrite]),
    ...rewrites.map(({ pattern, substitution }) => [pattern, substitution]),
  ];
  assert.equal(matched.length, 4);
  assert.equal(replaced.length, 6);
  for (const regex of matched) assert.ok(tested.includes(`safe_regex: { regex: "${regex}" }`), regex);
  for (const [pattern, substitution] of replaced) {
    const lines = [`pattern: { regex: "${pattern}" }`, `substitution: ${substitution}`];
    assert.match(tested, new RegExp(lines.map((line) => line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join(',?\\s+')));
  }
});

test('the pages that envoy.yaml lets in may ask everywhere', () => {
  const { listeners } = documents('envoy.yaml')[0].static_resources;
  const [{ typed_per_filter_config: config }] =
    listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts;
  const { '@type': type, allow_origin_string_match: origins, max_age: maxAge, ...lists } = config['envoy.filters.http.cors'];
  const expected = {
    origins: origins.map(({ exact }) => exact),
    lists: ['allow_methods', 'allow_headers', 'expose_headers'].map((name) => lists[name]),
    seconds: Number(maxAge),
  };
  const described = ({ allowOrigins, allowMethods, allowHeaders, exposeHeaders, maxAge: time }) => ({
    origins: allowOrigins.map((origin) => origin.exact ?? origin),
    lists: [allowMethods, allowHeaders, exposeHeaders].map((list) => list.join(', ')),
    seconds: 60 * Number(/^(\d+)m$/.exec(time)[1]),
  });
  const entries = resource('istio', 'VirtualService', 'realtime-byok').spec.http.filter(({ route }) => route);
  for (const { corsPolicy } of entries) assert.deepEqual(described(corsPolicy), expected);
  const { cors, targetRefs } = resource('envoy-gateway', 'SecurityPolicy', 'realtime-byok').spec;
  assert.deepEqual(described(cors), expected);
  assert.deepEqual(targetRefs.map(({ name }) => name), ['realtime', 'rest']);
});

test('every HTTPRoute has a filter, and every patch finds it', () => {
  const ofKind = (kind) => resources.filter((one) => one.file.startsWith('envoy-gateway') && one.resource.kind === kind);
  const policies = ofKind('EnvoyExtensionPolicy').map((one) => one.resource);
  const targeted = policies.flatMap(({ spec }) => spec.targetRefs.map(({ name }) => name));
  assert.deepEqual(
    ofKind('HTTPRoute').map((one) => one.resource.metadata.name),
    targeted,
  );
  const { container } = resource('envoy-gateway', 'EnvoyProxy', 'realtime-byok').spec.provider.kubernetes.envoyDeployment;
  const available = container.env.map(({ name }) => name);
  for (const { metadata, spec } of policies) {
    assert.ok(spec.wasm[0].env.hostKeys.every((key) => available.includes(key)));
    assert.equal(spec.wasm[0].failOpen, false);
    const filterName = `envoy.filters.http.wasm/envoyextensionpolicy/${metadata.namespace}/${metadata.name}/wasm/0`;
    for (const { operation } of resource('envoy-gateway', 'EnvoyPatchPolicy', 'realtime-byok').spec.jsonPatches) {
      const [, prefix] = /@\.name =~ '([^']+)'/.exec(operation.jsonPath);
      assert.ok(filterName.startsWith(prefix), `${operation.jsonPath} misses ${filterName}`);
    }
  }
});
