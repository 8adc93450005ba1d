// How a configuration arrives, what is wrong with a bad one, and that a bad one never starts nor replaces a good one.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import {
  authorized, basicConfiguration, basicEnv, chatRequest, exchange, onlyIn, providerKey, requestBytes, restRequest, route,
  sha256, startGateway, tokens, until, upgradeRequest, useRecorder, validateGateway,
} from './harness/index.mjs';

const recorder = useRecorder();
const base = () => ({ upstreams: { upstream: recorder.port }, env: basicEnv });

const full = basicConfiguration({
  gateway: { header: 'x-gateway', subprotocol: 'gw', accept_provider_slot: true, strip_headers: ['x-a'] },
  providers: {
    openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' }, organization: 'org-1', project: 'proj_1' },
    'azure-eu': {
      kind: 'azure_openai',
      keys: [
        { name: 'a', key: { value: 'key-a' }, weight: 3 },
        { name: 'b', key: { base64: 'a2V5LWI=' }, weight: 1 },
      ],
    },
    own: { kind: 'custom', key: 'external', header: { name: 'x-key', prefix: 'Key ' } },
  },
  callers: {
    'web-app': {
      tokens: [
        { sha256: sha256(tokens.web) },
        { env: 'OTHER_TOKEN', not_before: '2020-11-01T00:00:00Z', not_after: '2120-05-01T00:00:00Z' },
      ],
      policies: ['voice'],
      models: ['gpt-realtime*'],
      origins: ['https://app.example.com'],
    },
  },
  policies: {
    voice: {
      providers: ['openai', 'azure-eu', 'own'],
      models: ['gpt-realtime*'],
      aliases: { v: 'azure-eu/gpt-realtime' },
    },
    health: { auth: 'off' },
  },
});

describe('a good configuration', () => {
  const forms = {
    'JSON in a StringValue': { configuration: full },
    'native YAML in a Struct': { configuration: full, encoding: 'struct' },
    "JSON that begins with a line feed, as a Struct's bytes do": {
      configuration: `\n${JSON.stringify(full, null, 2)}\n`,
    },
    'JSON within other white space': { configuration: ` \r\n\t${JSON.stringify(full)} \n` },
    'JSON that begins with a line feed and then a length': { configuration: `\n\n\n\t\t ${JSON.stringify(full)}` },
  };
  for (const [name, form] of Object.entries(forms)) {
    test(name, async () => {
      const gateway = await startGateway({ ...base(), ...form, routes: [route({ name: 'voice' })] });
      try {
        for (const token of [tokens.web, tokens.other]) {
          const answer = await gateway.send(
            upgradeRequest({
              target: '/?model=v',
              headers: [
                ['x-gateway', token],
                ['x-a', '1'],
              ],
            }),
          );
          assert.equal(answer.status, 101);
          answer.socket.destroy();
          const [seen] = recorder.requestsOf(answer.case);
          assert.equal(seen.target, '/?model=gpt-realtime');
          assert.match(seen.header('api-key'), /^key-[ab]$/);
          assert.equal(seen.header('x-a'), undefined);
        }
      } finally {
        await gateway.stop();
      }
    });
  }

  test('warns of secrets that /config_dump would show, without showing them', async () => {
    const { ok, output } = await validateGateway({ ...base(), configuration: full });
    assert.ok(ok, output);
    const lines = output.split('\n').filter((line) => line.includes('realtime_byok: '));
    // Every VM reads the configuration and says the same.
    const warnings = new Set(
      lines.filter((line) => line.includes('[warning]')).map((line) => line.split('realtime_byok: ').at(-1)),
    );
    assert.equal(warnings.size, 2, 'env and sha256 warn of nothing');
    for (const place of ['providers.azure-eu.keys[0].key', 'providers.azure-eu.keys[1].key']) {
      assert.ok(
        [...warnings].some((warning) => warning.startsWith(place)),
        `a warning names ${place}`,
      );
    }
    assert.ok(!lines.some((line) => /key-a|key-b|a2V5LWI/.test(line)));
  });
});

describe('a bad configuration does not start', () => {
  const cases = {
    'not JSON': '{"providers": {',
    'no object': '[]',
    nothing: '',
    'an unknown setting': basicConfiguration({ gatway: {} }),
    'a missing variable': basicConfiguration({ providers: { openai: { kind: 'openai', key: { env: 'NO_SUCH' } } } }),
  };
  for (const [name, configuration] of Object.entries(cases)) {
    test(name, async () => {
      const { ok, output } = await validateGateway({ ...base(), configuration });
      assert.equal(ok, false);
      assert.match(output, /realtime_byok: /, 'the filter says why');
    });
  }
  test('a Struct of the wrong shape', async () => {
    const { ok, output } = await validateGateway({
      ...base(),
      encoding: 'struct',
      configuration: { policies: { a: { auth: false } } },
    });
    assert.equal(ok, false);
    assert.match(output, /policies\.a\.auth: /);
  });
  onlyIn('wasm', test)('a variable that is set for Envoy but not listed for the VM', async () => {
    const { ok, output } = await validateGateway({
      ...base(),
      hostEnvKeys: ['OTHER_TOKEN'],
      configuration: basicConfiguration(),
    });
    assert.equal(ok, false);
    assert.match(output, /providers\.openai\.key.*OPENAI_API_KEY/);
  });
  test('Envoy itself, not only its validation, refuses to start', () =>
    assert.rejects(startGateway({ ...base(), configuration: '{}x' }), /Envoy ended at once/));
});

describe('a bad update', () => {
  // What is wrong: what the configuration is, and what the log must then say.
  const secret = 'sEcReT-0123456789';
  const provider = (changes) => ({
    providers: { openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' }, ...changes } },
  });
  const keyed = (key) => provider({ key });
  const tokened = (token) => ({ callers: { 'web-app': { tokens: [token] } } });
  const policy = (changes) => ({ policies: { voice: { provider: 'openai', ...changes } } });
  const kind = (kind, changes) => ({ providers: { openai: { kind, key: { env: 'OPENAI_API_KEY' }, ...changes } } });
  const pool = (...keys) => ({ providers: { openai: { kind: 'openai', keys } } });
  const digest = sha256('x');
  const cases = [
    [
      "the contract's example",
      {
        providers: {
          openai: { kind: 'openai', key: 'external' },
          'azure-eu': { kind: 'azure_openai', key: 'external' },
        },
        policies: { voice: { providers: ['openai', 'azure-us'] } },
      },
      ['policies.voice.providers[1]: no provider is named "azure-us"; known: azure-eu, openai'],
    ],
    ['an unknown section', { polices: {} }, ['polices: ', 'policies']],
    ['an unknown setting below', policy({ provdier: 'x' }), ['policies.voice.provdier: ']],
    ['a wrong type', policy({ models: 'gpt-*' }), ['policies.voice.models: found "gpt-*", expected ']],
    [
      'a policy that the caller may use does not exist',
      { callers: { 'web-app': { tokens: [{ sha256: digest }], policies: ['default', 'vioce'] } } },
      ['callers.web-app.policies[1]: ', 'vioce', 'default'],
    ],
    ['an unknown kind', kind('openapi'), ['providers.openai.kind: found "openapi", expected one of openai, ']],
    ['a kind that is another by half', kind('azure'), ['found "azure"', 'did you mean azure_openai?']],
    ['key and keys', provider({ keys: [{ name: 'a', key: 'external' }] }), ['providers.openai']],
    ['no key', { providers: { openai: { kind: 'openai' } } }, ['providers.openai']],
    ['an empty pool', pool(), ['providers.openai.keys: ']],
    ['two sources of one key', keyed({ env: 'OPENAI_API_KEY', value: secret }), ['providers.openai.key: ']],
    ['no source', keyed({}), ['providers.openai.key: ']],
    ['an unknown source', keyed({ file: '/etc/key' }), ['providers.openai.key.file: ']],
    ['a word that is not external', keyed(secret), ['providers.openai.key: ']],
    ['a missing variable', keyed({ env: 'NO_SUCH' }), ['providers.openai.key', 'NO_SUCH']],
    ['an empty variable', keyed({ env: 'EMPTY' }), ['providers.openai.key.env: the variable EMPTY is empty']],
    ['a variable with a line feed at its end', keyed({ env: 'WITH_LF' }), ['providers.openai.key']],
    ['an empty value', keyed({ value: '' }), ['providers.openai.key']],
    ['a control character', keyed({ value: `${secret}\n${secret}` }), ['providers.openai.key']],
    ['white space in front', keyed({ value: ` ${secret}` }), ['providers.openai.key']],
    ['white space behind', keyed({ value: `${secret}\t` }), ['providers.openai.key']],
    ['non-ASCII', keyed({ value: `${secret}é` }), ['providers.openai.key']],
    ['non-ASCII in base64', keyed({ base64: Buffer.from(`${secret}é`).toString('base64') }), ['providers.openai.key']],
    ['no base64', keyed({ base64: `${secret}!` }), ['providers.openai.key']],
    [
      'a pool with a bad key',
      pool({ name: 'a', key: 'external' }, { name: 'b', key: { env: 'NO_SUCH' } }),
      ['providers.openai.keys[1].key', 'NO_SUCH'],
    ],
    ['a weight of 0', pool({ name: 'a', key: 'external', weight: 0 }), ['providers.openai.keys[0].weight: ']],
    ['a negative weight', pool({ name: 'a', key: 'external', weight: -1 }), ['providers.openai.keys[0].weight: ']],
    ['half a weight', pool({ name: 'a', key: 'external', weight: 0.5 }), ['providers.openai.keys[0].weight: ']],
    ['a custom provider without a place for the key', kind('custom'), ['providers.openai']],
    ['a custom provider with two', kind('custom', { query: 'k', header: { name: 'k' } }), ['providers.openai']],
    ['a header for another kind', kind('xai', { header: { name: 'k' } }), ['providers.openai.header']],
    [
      'an organization for another kind',
      kind('azure_openai', { organization: 'o' }),
      ['providers.openai.organization'],
    ],
    ['a caller without tokens', { callers: { 'web-app': { tokens: [] } } }, ['callers.web-app.tokens: ']],
    ['a short digest', tokened({ sha256: digest.slice(1) }), ['callers.web-app.tokens[0].sha256: ']],
    ['a digest of no hex', tokened({ sha256: `${digest.slice(1)}g` }), ['callers.web-app.tokens[0].sha256: ']],
    ['a digest and a value', tokened({ sha256: digest, value: secret }), ['callers.web-app.tokens[0]']],
    [
      'a date that is none',
      tokened({ sha256: digest, not_after: '2026-13-01' }),
      ['callers.web-app.tokens[0].not_after: '],
    ],
    ['provider and providers', policy({ providers: ['openai'] }), ['policies.voice']],
    ['neither', { policies: { voice: {} } }, ['policies.voice']],
    ['an empty list of providers', { policies: { voice: { providers: [] } } }, ['policies.voice.providers: ']],
    ['auth that is not off', policy({ auth: 'none' }), ['policies.voice.auth: found "none", expected "off"']],
    ['a header name that is none', { gateway: { header: 'x y' } }, ['gateway.header: ']],
    ['a subprotocol that is none', { gateway: { subprotocol: 'a b' } }, ['gateway.subprotocol: ']],
    [
      'minting without a key to seal with',
      { client_secrets: { mode: 'sealed' } },
      ['client_secrets.sealing_keys: '],
    ],
    ['a price below nothing', { prices: { 'gpt-*': { input_text: -1 } } }, ['prices.gpt-*.input_text: ']],
    [
      'a limit that is not metered',
      policy({ meter: false, session: { max_tokens: 1 } }),
      ['policies.voice.session: '],
    ],
    ['a header to strip that is none', { gateway: { strip_headers: ['ok', 'a:b'] } }, ['gateway.strip_headers[1]: ']],
  ];
  const notInForce = [
    ['quota', { quota: { cluster: 'upstream', domain: 'realtime' } }, ['quota']],
    ['events', { events: { cluster: 'upstream', path: '/hooks' } }, ['events']],
  ].map(([name, ...rest]) => [`${name} is not in force yet`, ...rest]);

  test('is refused with its path and without its secrets, and the good one stays', async (t) => {
    const gateway = await startGateway({
      ...base(),
      configuration: basicConfiguration(),
      dynamic: true,
      env: { ...basicEnv, EMPTY: '', WITH_LF: `${secret}\n` },
    });
    t.after(() => gateway.stop());
    const serves = async () => {
      const answer = await gateway.send(chatRequest({ headers: authorized }));
      assert.equal(answer.status, 200);
      assert.equal(recorder.requestsOf(answer.case)[0].header('authorization'), `Bearer ${providerKey}`);
    };
    await serves();

    for (const [name, changes, wanted] of [...cases, ...notInForce]) {
      await t.test(name, async () => {
        const before = gateway.envoy.log().length;
        const outcome = await gateway.replaceListeners({ configuration: basicConfiguration(changes) });
        const log = gateway.envoy.log().slice(before);
        assert.equal(outcome, 'rejected');
        const said = log
          .split('\n')
          .filter((line) => line.includes('realtime_byok: '))
          .join('\n');
        for (const text of wanted) assert.ok(said.includes(text), `the log says ${text}; it says:\n${said}`);
        assert.ok(!log.includes(secret), 'no secret in the log');
        await serves();
      });
    }

    await t.test('every error is told at once', async () => {
      const before = gateway.envoy.log().length;
      await gateway.replaceListeners({
        configuration: {
          gateway: { header: 5 },
          providers: { a: { kind: 'none', key: 'external' }, b: { kind: 'openai', key: { env: 'NO_SUCH' } } },
          callers: { c: { tokens: [{ sha256: 'x' }, { value: secret, not_after: 'soon' }], policies: ['nowhere'] } },
          policies: { p: { providers: ['a', 'b', 'zz'] }, q: { provider: 'b', unheard: 1 } },
          extra: true,
        },
      });
      const log = gateway.envoy.log().slice(before);
      for (const path of [
        'gateway.header: ',
        'providers.a.kind: ',
        'providers.b.key',
        'callers.c.tokens[0].sha256: ',
        'callers.c.tokens[1].not_after: ',
        'callers.c.policies[0]: ',
        'policies.p.providers[2]: ',
        'policies.q.unheard: ',
        'extra: ',
      ])
        assert.ok(log.includes(`realtime_byok: ${path}`) || log.includes(` ${path}`), `the log names ${path}`);
      assert.ok(!log.includes(secret));
      await serves();
    });

    await t.test('a good update replaces it', async () => {
      const next = basicConfiguration({ callers: { 'web-app': { tokens: [{ sha256: sha256('gt-next') }] } } });
      assert.equal(await gateway.replaceListeners({ configuration: next }), 'accepted');
      const ask = async (token) => {
        const request = restRequest({ target: '/v1/models', headers: [['cf-aig-authorization', token]] });
        const answer = await exchange(await gateway.currentPort(), requestBytes(request)).catch(() => null);
        return answer?.status;
      };
      await until('the new tokens', async () => (await ask('gt-next')) === 200);
      assert.equal(await ask(tokens.web), 401);
    });
  });
});

test('ten thousand callers load fast and all come in', async () => {
  const callers = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, index) => [
      `caller-${index}`,
      { tokens: [{ sha256: sha256(`gt-many-${index}`) }] },
    ]),
  );
  const options = { ...base(), configuration: basicConfiguration({ callers }) };
  const took = async (configured) => {
    const started = performance.now();
    const gateway = await startGateway(configured);
    return [performance.now() - started, gateway];
  };
  const [one, small] = await took({ ...base(), configuration: basicConfiguration() });
  await small.stop();
  const [many, large] = await took(options);
  try {
    // The configuration is read by the base VM and by the worker's.
    assert.ok(many - one < 2_000, `10,000 callers took ${Math.round(many - one)} ms more than two`);
    for (const index of [0, 5_000, 9_999]) {
      const answer = await large.send(restRequest({ headers: [['cf-aig-authorization', `gt-many-${index}`]] }));
      assert.equal(answer.status, 200);
    }
    const answer = await large.send(restRequest({ headers: [['cf-aig-authorization', 'gt-many-10000']] }));
    assert.equal(answer.status, 401);
  } finally {
    await large.stop();
  }
});
