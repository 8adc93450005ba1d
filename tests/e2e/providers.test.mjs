// Where each kind of provider takes its key, pools of keys, and keys that a later filter adds.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, describe } from 'node:test';
import {
  authorized, basicEnv, clientKey, restRequest, route, tokens, until, upgradeRequest, useRig,
} from './harness/index.mjs';

const awkwardKey = 'k+y/with=odd&chars%20?#';
const keys = {
  openai: 'sk-openai-8Hs2',
  azure: 'azure-3Jd9',
  xai: 'xai-6Kf4',
  gemini: 'AIza-1Lg7',
  anthropic: 'sk-ant-5Zh0',
  custom: 'custom-2Xj5',
  query: awkwardKey,
  decoded: 'sk-decoded-7Ck1',
};

const providers = {
  openai: { kind: 'openai', key: { env: 'KEY_OPENAI' }, organization: 'org-ours', project: 'proj_ours' },
  azure: { kind: 'azure_openai', key: { env: 'KEY_AZURE' } },
  xai: { kind: 'xai', key: { env: 'KEY_XAI' } },
  gemini: { kind: 'gemini', key: { env: 'KEY_GEMINI' } },
  anthropic: { kind: 'anthropic', key: { env: 'KEY_ANTHROPIC' } },
  custom: { kind: 'custom', key: { env: 'KEY_CUSTOM' }, header: { name: 'X-Custom-Key', prefix: 'Token ' } },
  unprefixed: { kind: 'custom', key: { value: keys.custom }, header: { name: 'x-custom-key' } },
  query: { kind: 'custom', key: { env: 'KEY_QUERY' }, query: 'subscription-key' },
  decoded: { kind: 'openai', key: { base64: Buffer.from(keys.decoded).toString('base64') } },
  external: { kind: 'openai', key: 'external' },
  pool: {
    kind: 'openai',
    keys: [
      { name: 'a', key: { value: 'sk-pool-a' }, weight: 3 },
      { name: 'b', key: { value: 'sk-pool-b' } },
    ],
  },
};

const { forwarded } = useRig({
  env: {
    ...basicEnv,
    ...Object.fromEntries(Object.entries(keys).map(([name, key]) => [`KEY_${name.toUpperCase()}`, key])),
  },
  changes: {
    providers,
    policies: Object.fromEntries(Object.keys(providers).map((name) => [name, { provider: name }])),
  },
  routes: Object.keys(providers).map((name) => route({ name, prefix: `/${name}/` })),
});

const credentialHeaders = ['authorization', 'api-key', 'x-api-key', 'x-goog-api-key', 'x-custom-key'];

/** The credential headers that the upstream sees, each with its lines. */
function credentialsOf(seen) {
  return Object.fromEntries(
    credentialHeaders.map((name) => [name, seen.headerAll(name)]).filter(([, lines]) => lines.length > 0),
  );
}

describe('each kind', () => {
  const cases = {
    openai: { authorization: [`Bearer ${keys.openai}`] },
    azure: { 'api-key': [keys.azure] },
    xai: { authorization: [`Bearer ${keys.xai}`] },
    gemini: { 'x-goog-api-key': [keys.gemini] },
    anthropic: { 'x-api-key': [keys.anthropic] },
    custom: { 'x-custom-key': [`Token ${keys.custom}`] },
    unprefixed: { 'x-custom-key': [keys.custom] },
    query: {},
    decoded: { authorization: [`Bearer ${keys.decoded}`] },
    external: {},
  };
  for (const [name, want] of Object.entries(cases)) {
    test(name, async () => {
      const own = [
        ['api-key', clientKey],
        ['x-goog-api-key', clientKey],
        ['authorization', `Bearer ${clientKey}`],
      ];
      for (const build of [upgradeRequest, restRequest]) {
        const { seen } = await forwarded(build({ target: `/${name}/v1?model=m`, headers: [...own, ...authorized] }));
        assert.deepEqual(credentialsOf(seen), want);
        assert.ok(!seen.text().includes(clientKey));
        if (name !== 'query') assert.equal(seen.target, `/${name}/v1?model=m`);
      }
    });
  }
});

describe('openai', () => {
  test("organization and project are the configured ones, not the client's", async () => {
    const { seen } = await forwarded(
      upgradeRequest({
        target: '/openai/v1',
        headers: [...authorized, ['openai-organization', 'org-client'], ['openai-project', 'proj_client']],
        protocols: ['openai-organization.org-client, openai-project.proj_client, realtime'],
      }),
    );
    assert.deepEqual(seen.headerAll('openai-organization'), ['org-ours']);
    assert.deepEqual(seen.headerAll('openai-project'), ['proj_ours']);
    assert.equal(seen.subprotocols(), 'realtime');
  });
  test('without them there are none', async () => {
    const { seen } = await forwarded(
      upgradeRequest({ target: '/decoded/v1', headers: [...authorized, ['openai-organization', 'org-client']] }),
    );
    assert.deepEqual(seen.headerAll('openai-organization'), []);
    assert.deepEqual(seen.headerAll('openai-project'), []);
  });
});

describe('custom', () => {
  test("the client's own header of that name goes", async () => {
    const { seen } = await forwarded(
      upgradeRequest({
        target: '/custom/v1',
        headers: [['X-CUSTOM-KEY', clientKey], ...authorized, ['x-custom-key', 'b']],
      }),
    );
    assert.deepEqual(seen.headerAll('x-custom-key'), [`Token ${keys.custom}`]);
  });
  test('the query parameter holds the key, encoded, once', async () => {
    for (const query of ['', '?model=m', '?Subscription-Key=client&model=m', '?model=m&subscription%2Dkey=client']) {
      const { seen } = await forwarded(restRequest({ target: `/query/v1${query}`, headers: authorized }));
      const url = new URL(seen.target, 'http://upstream');
      assert.deepEqual(url.searchParams.getAll('subscription-key'), [awkwardKey]);
      assert.equal(url.searchParams.size, query.includes('model') ? 2 : 1);
      assert.equal(url.hash, '');
      assert.ok(!/client/i.test(seen.target));
    }
  });
});

test('a pool draws its keys by weight', async () => {
  const drawn = { 'Bearer sk-pool-a': 0, 'Bearer sk-pool-b': 0 };
  const rounds = 400;
  for (let round = 0; round < rounds; round += 1) {
    const { seen } = await forwarded(restRequest({ target: '/pool/v1', headers: authorized }));
    drawn[seen.header('authorization')] += 1;
  }
  // 300 expected, with a deviation of 8.7: a fair draw leaves this range once in 10^11 runs.
  assert.equal(drawn['Bearer sk-pool-a'] + drawn['Bearer sk-pool-b'], rounds);
  assert.ok(drawn['Bearer sk-pool-a'] > 240 && drawn['Bearer sk-pool-a'] < 360, JSON.stringify(drawn));
});

describe('an external key', () => {
  const directory = mkdtempSync(join(tmpdir(), 'realtime-byok-sds-'));
  const secretFile = join(directory, 'secret.yaml');
  after(() => rmSync(directory, { recursive: true }));

  const writeKey = (key) => {
    const secret = {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
      name: 'provider-key',
      generic_secret: { secret: { inline_string: `Bearer ${key}` } },
    };
    const staged = join(directory, 'secret.next');
    writeFileSync(staged, JSON.stringify({ resources: [secret] }), { mode: 0o600 });
    renameSync(staged, secretFile);
  };
  writeKey('sk-sds-first');

  const external = useRig({
    changes: { providers: { openai: { kind: 'openai', key: 'external' } } },
    filtersAfter: [
      {
        name: 'envoy.filters.http.credential_injector',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector',
          credential: {
            name: 'envoy.http.injected_credentials.generic',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic',
              credential: { name: 'provider-key', sds_config: { path_config_source: { path: secretFile } } },
            },
          },
        },
      },
    ],
  });
  const seenKey = async () => {
    const { seen } = await external.forwarded(
      upgradeRequest({ headers: [['authorization', `Bearer ${tokens.web}`]], protocols: ['realtime'] }),
    );
    return seen.headerAll('authorization');
  };

  test('comes from a later filter and its file, rotated without a restart', async () => {
    assert.deepEqual(await seenKey(), ['Bearer sk-sds-first']);
    writeKey('sk-sds-second');
    await until('the rotated key', async () => (await seenKey())[0] === 'Bearer sk-sds-second');
  });
  test("that the upstream refuses is the gateway's fault as well", async () => {
    const answer = await external.gateway.send(restRequest({ headers: [...authorized, ['x-reply', 'refuse 401']] }));
    assert.equal(answer.status, 502);
    assert.equal(answer.json().error.code, 'provider_key_rejected');
  });
});
