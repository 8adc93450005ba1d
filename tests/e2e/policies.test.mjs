// Which policy a route has, who may use it, from which pages, and when.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import {
  basicConfiguration, chatRequest, restRequest, route, sha256, tokens, upgradeRequest, useRig,
} from './harness/index.mjs';

const token = tokens.web;
const bearer = (text) => [['cf-aig-authorization', `Bearer ${text}`]];

const hour = 3_600_000;
const time = (fromNow) => new Date(Date.now() + fromNow).toISOString().replace(/\.\d+Z$/, 'Z');

const windows = {
  current: { not_before: time(-hour), not_after: time(hour) },
  started: { not_before: time(-hour) },
  ending: { not_after: time(hour) },
  expired: { not_after: time(-hour) },
  expiredWindow: { not_before: time(-2 * hour), not_after: time(-hour) },
  future: { not_before: time(hour) },
};

const configuration = basicConfiguration({
  callers: {
    'web-app': { tokens: [{ sha256: sha256(token) }] },
    'voice-only': { tokens: [{ value: 'gt-voice-only-3Fk9sLq7' }], policies: ['voice', 'named'] },
    paged: {
      tokens: [{ value: 'gt-paged-8Hd2wRv5Mx1' }],
      origins: ['https://app.example.com', 'https://*.preview.example.com', 'http://localhost:3000'],
    },
    rotating: {
      tokens: [
        { base64: Buffer.from('gt-first-2Rm7vXk4Qe9').toString('base64') },
        { value: 'gt-second-6Yc4tNb9Ej3' },
        { sha256: sha256('gt-third').toUpperCase() },
        { env: 'OTHER_TOKEN' },
      ],
    },
    windowed: {
      tokens: Object.entries(windows).map(([name, window]) => ({ sha256: sha256(`gt-${name}`), ...window })),
    },
    twofold: {
      tokens: [{ sha256: sha256('gt-long'), not_after: time(-hour) }, { sha256: sha256('gt-lo') }],
    },
  },
  policies: {
    default: { provider: 'openai' },
    voice: { provider: 'second' },
    named: { provider: 'third' },
    health: { auth: 'off' },
  },
  providers: Object.fromEntries(
    [
      ['openai', 'sk-default'],
      ['second', 'sk-second'],
      ['third', 'sk-third'],
    ].map(([name, value]) => [name, { kind: 'openai', key: { value } }]),
  ),
});

const routes = [
  route({ name: 'named', prefix: '/metadata-wins', policy: 'voice' }),
  route({ name: 'anything', prefix: '/metadata', policy: 'voice' }),
  route({ name: 'named', prefix: '/by-name' }),
  route({ name: 'unheard-of', prefix: '/unknown-name' }),
  route({ prefix: '/nameless' }),
  route({ name: 'named', prefix: '/lost', policy: 'no-such-policy' }),
  route({ name: 'named', prefix: '/empty', policy: '' }),
  route({
    name: 'named',
    prefix: '/number',
    extra: { metadata: { filter_metadata: { realtime_byok: { policy: 5 } } } },
  }),
  route({
    name: 'named',
    prefix: '/other-key',
    extra: { metadata: { filter_metadata: { realtime_byok: { other: 'voice' }, other: { policy: 'voice' } } } },
  }),
  route({ name: 'health', prefix: '/health' }),
  { name: 'named', match: { prefix: '/redirect' }, redirect: { path_redirect: '/elsewhere' } },
];

const { forwarded, denied, gateway } = useRig({ configuration, routes });
const withoutDefault = useRig({
  configuration: {
    ...configuration,
    policies: { voice: { provider: 'second' } },
    callers: { 'web-app': configuration.callers['web-app'] },
  },
  routes: [route({ name: 'other' })],
});

/** The upstream key that a path leads to, which tells the policy. */
async function keyAt(path, credential = token) {
  const { seen } = await forwarded(upgradeRequest({ target: `${path}/v1?model=m`, headers: bearer(credential) }));
  return seen.header('authorization').slice('Bearer '.length);
}

describe('the policy of a route', () => {
  test('metadata wins over the name', async () => assert.equal(await keyAt('/metadata-wins'), 'sk-second'));
  test('metadata', async () => assert.equal(await keyAt('/metadata'), 'sk-second'));
  test('the name', async () => assert.equal(await keyAt('/by-name'), 'sk-third'));
  test('default for another name', async () => assert.equal(await keyAt('/unknown-name'), 'sk-default'));
  test('default for no name', async () => assert.equal(await keyAt('/nameless'), 'sk-default'));
  test('other metadata says nothing', async () => assert.equal(await keyAt('/other-key'), 'sk-third'));
  for (const path of ['/lost', '/empty', '/number']) {
    test(`metadata that names no policy: ${path}`, () =>
      denied(upgradeRequest({ target: path, headers: bearer(token) }), 'no_policy'));
  }
  test('no default', async () => {
    await withoutDefault.denied(upgradeRequest({ headers: bearer(token) }), 'no_policy');
    await withoutDefault.denied(chatRequest({ headers: bearer(token) }), 'no_policy');
  });
  test('no route at all: the filter answers before Envoy would', async () => {
    const answer = await gateway.send(restRequest({ target: '/not-routed' }));
    assert.ok([401, 404].includes(answer.status));
  });
  test('a redirect is guarded as well', () => denied(restRequest({ target: '/redirect' }), 'missing_gateway_token'));
});

describe('auth off', () => {
  test('touches nothing', async () => {
    const headers = [
      ['authorization', 'Bearer theirs'],
      ['cookie', 'a=1'],
      ['api-key', 'k'],
      ['openai-beta', 'realtime=v1'],
      ['cf-aig-authorization', ''],
      ['x-realtime-byok-provider', 'mine'],
      ['openai-organization', 'org'],
    ];
    const { seen } = await forwarded(
      upgradeRequest({
        target: '/health?key=1',
        headers,
        protocols: ['openai-insecure-api-key.k, openai-insecure-api-key.k'],
      }),
    );
    for (const [name, value] of headers) assert.deepEqual(seen.headerAll(name), [value], name);
    assert.equal(seen.target, '/health?key=1');
    assert.equal(seen.subprotocols(), 'openai-insecure-api-key.k, openai-insecure-api-key.k');
  });
  test('needs no token', () => forwarded(restRequest({ target: '/health' })));
});

describe('a caller', () => {
  test('uses its policies only', async () => {
    assert.equal(await keyAt('/metadata', 'gt-voice-only-3Fk9sLq7'), 'sk-second');
    assert.equal(await keyAt('/by-name', 'gt-voice-only-3Fk9sLq7'), 'sk-third');
    await denied(upgradeRequest({ target: '/nameless', headers: bearer('gt-voice-only-3Fk9sLq7') }), 'route_not_allowed');
    await denied(restRequest({ target: '/nameless', headers: bearer('gt-voice-only-3Fk9sLq7') }), 'route_not_allowed');
  });
  for (const [index, one] of ['gt-first-2Rm7vXk4Qe9', 'gt-second-6Yc4tNb9Ej3', 'gt-third', tokens.other].entries()) {
    test(`comes in with its token ${index + 1}`, async () => assert.equal(await keyAt('/nameless', one), 'sk-default'));
  }
  test('does not come in with the digest or base64 of its token', async () => {
    for (const guess of [sha256('gt-third'), Buffer.from('gt-first-2Rm7vXk4Qe9').toString('base64')]) {
      await denied(upgradeRequest({ target: '/nameless', headers: bearer(guess) }), 'invalid_gateway_token');
    }
  });
});

describe('validity windows', () => {
  for (const name of ['current', 'started', 'ending']) {
    test(`${name}: comes in`, async () => assert.equal(await keyAt('/nameless', `gt-${name}`), 'sk-default'));
  }
  for (const name of ['expired', 'expiredWindow']) {
    test(`${name}: expired`, async () => {
      await denied(upgradeRequest({ target: '/nameless', headers: bearer(`gt-${name}`) }), 'expired_gateway_token');
      await denied(chatRequest({ target: '/nameless', headers: bearer(`gt-${name}`) }), 'expired_gateway_token');
    });
  }
  test('not yet valid: invalid', () =>
    denied(upgradeRequest({ target: '/nameless', headers: bearer('gt-future') }), 'invalid_gateway_token'));
  test('an expired token of which a valid one is a prefix', async () => {
    assert.equal(await keyAt('/nameless', 'gt-lo'), 'sk-default');
    await denied(upgradeRequest({ target: '/nameless', headers: bearer('gt-long') }), 'expired_gateway_token');
    await denied(upgradeRequest({ target: '/nameless', headers: bearer('gt-lon') }), 'invalid_gateway_token');
  });
});

describe('origins', () => {
  const request = (...origins) =>
    upgradeRequest({
      target: '/nameless',
      headers: [...bearer('gt-paged-8Hd2wRv5Mx1'), ...origins.map((origin) => ['origin', origin])],
    });
  const allowed = ['https://app.example.com', 'https://x.preview.example.com', 'http://localhost:3000'];
  for (const origin of allowed) {
    test(`${origin} may connect`, async () => {
      const { seen } = await forwarded(request(origin));
      assert.deepEqual(seen.headerAll('origin'), [origin]);
    });
  }
  const refused = [
    'https://app.example.com.evil.org',
    'https://evil.org/https://app.example.com',
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://preview.example.com',
    'http://localhost:30001',
    'null',
    'https://appxexample.com',
    '\xff',
  ];
  for (const origin of refused) {
    test(`${origin} may not`, () => denied(request(origin), 'origin_not_allowed'));
  }
  test('one bad of two lines is enough', () =>
    denied(request('https://app.example.com', 'https://evil.example.com'), 'origin_not_allowed'));
  test('without an Origin there is nothing to check', () => forwarded(request()));
  test('REST is checked too', () =>
    denied(
      chatRequest({ target: '/nameless', headers: [...bearer('gt-paged-8Hd2wRv5Mx1'), ['origin', 'https://evil.example.com']] }),
      'origin_not_allowed',
    ));
  test('a caller without origins comes from anywhere', () =>
    forwarded(
      upgradeRequest({ target: '/nameless', headers: [...bearer(token), ['origin', 'https://evil.example.com']] }),
    ));
});

describe('mint paths while minting is off', () => {
  const paths = [
    '/v1/realtime/client_secrets',
    '/v1/realtime/sessions',
    '/v1/realtime/transcription_sessions',
    '/v1/realtime/translations/client_secrets',
  ];
  for (const path of paths) {
    test(path, async () => {
      for (const target of [`/nameless${path}`, `/by-name/openai${path}?x=1`]) {
        await denied(restRequest({ target, headers: bearer(token), json: {} }), 'route_not_allowed');
      }
    });
  }
  const spellings = [
    '/v1/realtime/client_secrets/',
    '/v1//realtime/client_secrets',
    '/v1/realtime/client%5fsecrets',
    '/V1/Realtime/Sessions',
  ];
  for (const path of spellings) {
    test(`${path}, another spelling`, () =>
      denied(restRequest({ target: `/nameless${path}`, headers: bearer(token), json: {} }), 'route_not_allowed'));
  }
  for (const path of ['/v1/realtime/./sessions', '/v1/x/../realtime/sessions', '/v1/x/%2E%2e/realtime/sessions']) {
    test(`${path}, which hides where it leads`, () =>
      denied(restRequest({ target: `/nameless${path}`, headers: bearer(token), json: {} }), 'malformed_request'));
  }
  test('are refused to every method', () =>
    denied(restRequest({ target: '/nameless/v1/realtime/sessions', headers: bearer(token) }), 'route_not_allowed'));
  test('a path that only contains the words', () =>
    forwarded(restRequest({ target: '/nameless/v1/realtime/sessions_old', headers: bearer(token), json: {} })));
});
