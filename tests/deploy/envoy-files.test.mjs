// Every Envoy file, as text, in `envoy --mode validate` with the real module.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { scratchDirectory, validateFile } from '../e2e/harness/index.mjs';
import { selfSigned } from './certificates.mjs';
import { deployPath, deployText, documents, environment, placed } from './files.mjs';
import { gatewayPlaces } from './stand.mjs';

let directory;
let certificate;

before(() => {
  directory = scratchDirectory();
  certificate = selfSigned(join(directory, 'tls'), 'localhost');
});
after(() => rmSync(directory, { recursive: true, force: true }));

const tls = () => ({
  '/etc/envoy/tls/tls.crt': certificate.chain,
  '/etc/envoy/tls/tls.key': certificate.key,
});
const gateway = () => gatewayPlaces({ certificate, trust: certificate.chain });
const files = {
  'envoy.yaml': gateway,
  'external-key/envoy.yaml': () => {
    const keys = join(directory, 'keys');
    mkdirSync(keys, { recursive: true });
    writeFileSync(join(keys, 'openai'), environment.OPENAI_API_KEY, { mode: 0o600 });
    const sds = join(directory, 'openai.sds.yaml');
    writeFileSync(sds, placed(deployText('external-key/openai.sds.yaml'), { '/etc/envoy/keys': keys }));
    return { ...gateway(), '/etc/envoy/sds/openai.yaml': sds, '/etc/envoy/keys': keys };
  },
  'identities/jwt/envoy.yaml': () => {
    const folder = deployPath('identities/jwt');
    return { ...gateway(), '/etc/envoy/identities/jwt_authn.yaml': join(folder, 'jwt_authn.yaml'), '/etc/envoy/identities': folder };
  },
  'identities/mtls/envoy.yaml': () => ({ ...gateway(), '/etc/envoy/tls/ca.crt': certificate.chain }),
  'identities/ext-authz/envoy.yaml': gateway,
  'dynamic-module/envoy.yaml': () => ({ '/etc/ssl/certs/ca-certificates.crt': certificate.chain }),
  '../examples/aimock/envoy.yaml': tls,
};

/** Loads the text of a file into Envoy, its paths put into the scratch directory. */
function validate(file, { change = (text) => text, env = environment } = {}) {
  const path = join(directory, 'envoy.yaml');
  writeFileSync(path, change(placed(deployText(file), files[file]())));
  return validateFile(path, { env });
}

test('no Envoy file is left out', () => {
  const found = ['.', '../examples'].flatMap((folder) =>
    readdirSync(deployPath(folder), { recursive: true })
      .filter((name) => basename(name) === 'envoy.yaml')
      .map((name) => join(folder, name)),
  );
  assert.deepEqual(found.toSorted(), Object.keys(files).toSorted());
});

for (const file of Object.keys(files)) {
  describe(file, () => {
    test('is valid, and of nothing that is deprecated', async () => {
      const { ok, output } = await validate(file);
      assert.ok(ok, output);
      assert.doesNotMatch(output, /deprecated option/i);
    });

    test('is refused with a field that Envoy does not have', async () => {
      const change = (text) => placed(text, { 'stat_prefix: ': 'stat_prefixes: ' });
      const { ok, output } = await validate(file, { change });
      assert.equal(ok, false);
      assert.match(output, /stat_prefixes/);
    });
  });
}

const configurations = {
  // The control listener's filter comes to its configuration only if this one's is good.
  'envoy.yaml': Object.keys(environment).filter((name) => name !== 'CONTROL_TOKEN'),
  'external-key/envoy.yaml': ['WEB_APP_TOKEN'],
  'identities/jwt/envoy.yaml': ['OPENAI_API_KEY', 'WEB_APP_TOKEN'],
  'identities/mtls/envoy.yaml': ['OPENAI_API_KEY', 'WEB_APP_TOKEN'],
  'identities/ext-authz/envoy.yaml': ['OPENAI_API_KEY', 'WEB_APP_TOKEN'],
};
for (const [file, variables] of Object.entries(configurations)) {
  test(`${file}: the filter names every variable that is not set`, async () => {
    const { ok, output } = await validate(file, { env: {} });
    assert.equal(ok, false);
    for (const name of variables) assert.ok(output.includes(name), `${name} is not named in:\n${output}`);
  });

  test(`${file}: a mistake in the filter's configuration is refused`, async () => {
    const change = (text) => placed(text, { 'kind: openai': 'kind: opanai' });
    const { ok, output } = await validate(file, { change });
    assert.equal(ok, false);
    assert.match(output, /providers\.openai/);
  });

  test(`${file}: fails closed, reloads, reads bodies, keeps the administration to itself`, () => {
    const text = deployText(file);
    assert.match(text, /^ +failure_policy: FAIL_RELOAD$/m);
    assert.match(text, /^ +allow_on_headers_stop_iteration: true$/m);
    assert.match(text, /^admin:\n(?: +#.*\n)* +address:\n +socket_address: { address: 127\.0\.0\.1,/m);
  });
}

test('every model that a shipped file allows under a limit in dollars has a price', () => {
  const shipped = readdirSync(deployPath('.'), { recursive: true }).filter((name) => name.endsWith('.yaml'));
  const configurations = shipped.flatMap((name) => configurationsIn(documents(name)).map((one) => [name, one]));
  assert.ok(configurations.length >= 5, `only ${configurations.length} are found`);
  const limited = configurations.flatMap(([name, one]) => policiesUnderDollars(one).map((policy) => [name, one, policy]));
  assert.ok(limited.some(([name]) => name === 'envoy.yaml'));
  for (const [name, { policies, prices = {} }, policy] of limited) {
    const { models } = policies[policy];
    assert.ok(models?.length > 0, `${name}: ${policy} allows any model`);
    for (const model of models) {
      // A star is matched by a star, so a glob that a price's glob matches allows no more than it.
      assert.ok(Object.keys(prices).some((glob) => matches(glob, model)), `${name}: ${model} has no price`);
    }
  }
});

/** All configurations of the filter within a value, those in JSON texts too. */
function configurationsIn(value) {
  if (typeof value === 'string' && value.startsWith('{')) return configurationsIn(JSON.parse(value));
  if (value === null || typeof value !== 'object') return [];
  return value.providers && value.policies ? [value] : Object.values(value).flatMap(configurationsIn);
}

/** The policies whose sessions, or whose callers' days, have a limit in dollars. */
function policiesUnderDollars({ callers = {}, policies }) {
  const spenders = Object.values(callers).filter(({ limits }) => limits?.cost_usd_per_day !== undefined);
  const reached = spenders.flatMap((caller) => caller.policies ?? Object.keys(policies));
  const limited = Object.keys(policies).filter((name) => policies[name].session?.max_cost_usd !== undefined);
  return [...new Set([...reached, ...limited])].filter((name) => policies[name].auth !== 'off');
}

function matches(glob, name) {
  const pattern = glob.split('*').map((text) => text.replace(/[.?+^${}()|[\]\\]/g, '\\$&')).join('.*');
  return new RegExp(`^${pattern}$`).test(name);
}

describe('tls.sh', () => {
  test('makes a certificate for the names, and a key for its owner alone', () => {
    const made = selfSigned(join(directory, 'made'), 'gateway.example.com', 'localhost');
    const names = execFileSync('openssl', ['x509', '-in', made.chain, '-noout', '-ext', 'subjectAltName'], {
      encoding: 'utf8',
    });
    assert.match(names, /DNS:gateway\.example\.com, DNS:localhost, IP Address:127\.0\.0\.1/);
    assert.equal(statSync(made.key).mode & 0o777, 0o600);
  });

  test('leaves a certificate that is there alone', () => {
    const before = readFileSync(certificate.chain);
    selfSigned(join(directory, 'tls'), 'localhost');
    assert.deepEqual(readFileSync(certificate.chain), before);
  });
});
