// Client secrets in use: where they may stand, what they open, and what they do not.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import {
  assertDenial, clientKey, providerKey, restRequest, route, sha256, tokens, upgradeRequest,
} from './harness/index.mjs';
import { assertNowhere, mint, mintEnv, mintPaths, mintRequest, sealingKey, useMinting } from './harness/minting.mjs';
import { useOpenai } from './harness/openai.mjs';
import { open } from './harness/sealing.mjs';

const page = 'https://app.example.com';
const narrowToken = 'gt-narrow-3Kd8';
const pagedToken = 'gt-paged-6Ws1Jt7Dq4Lm';
const azureKey = 'azure-9Pf2Lm';

const routes = [
  route({ name: 'choice', prefix: '/choice/', rewrite: '/' }),
  route({ name: 'other', prefix: '/other/', rewrite: '/' }),
  route({ name: 'ruled', prefix: '/ruled/', rewrite: '/' }),
  route({ prefix: '/v1/account-1/gateway-1/openai', rewrite: '/v1/realtime' }),
  route({}),
];

const openai = useOpenai();
const { gateway, forwarded, denied } = useMinting({
  upstream: openai,
  changes: {
    providers: {
      openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' }, organization: 'org-ours' },
      second: { kind: 'openai', key: { value: 'sk-second-6Bn1' } },
    },
    callers: {
      'web-app': { tokens: [{ sha256: sha256(tokens.web) }] },
      narrow: { tokens: [{ sha256: sha256(narrowToken) }], models: ['gpt-realtime'] },
      paged: { tokens: [{ sha256: sha256(pagedToken) }], origins: [page] },
    },
    policies: {
      default: { provider: 'openai', aliases: { voice: 'gpt-realtime' } },
      choice: { providers: ['openai', 'second'] },
      other: { provider: 'openai' },
      ruled: { provider: 'openai', models: ['gpt-realtime*'] },
    },
  },
  routes,
});

const upstreamSecretIn = (secret) => open(secret, sealingKey).upstream;
const bearer = (secret) => [['authorization', `Bearer ${secret}`]];
const inSubprotocol = (secret) => ({ protocols: [`realtime, openai-insecure-api-key.${secret}`] });

/** A handshake with a secret must reach the upstream with the upstream's own, and with nothing else of it. */
async function opens(secret, request) {
  const { answer, seen } = await forwarded(request);
  assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${upstreamSecretIn(secret)}`]);
  assert.ok(!seen.text().includes(secret), 'the sealed secret goes nowhere');
  assert.ok(!seen.text().includes(providerKey), "the provider's key is not used");
  return { answer, seen };
}

const refused = (code, request) => denied(request, code);

describe('a secret stands', () => {
  const slots = {
    'in the gateway header': (secret) => ({ headers: [['cf-aig-authorization', `Bearer ${secret}`]] }),
    'bare in the gateway header': (secret) => ({ headers: [['cf-aig-authorization', secret]] }),
    'in the gateway subprotocol': (secret) => ({ protocols: [`realtime, cf-aig-authorization.${secret}`] }),
    'in the gateway subprotocol, in base64url': (secret) => ({
      protocols: [`realtime, cf-aig-authorization-base64url.${Buffer.from(secret).toString('base64url')}`],
    }),
    'in authorization': (secret) => ({ headers: bearer(secret) }),
    'in api-key': (secret) => ({ headers: [['api-key', secret]] }),
    'in x-api-key': (secret) => ({ headers: [['x-api-key', secret]] }),
    'in x-goog-api-key': (secret) => ({ headers: [['x-goog-api-key', secret]] }),
    "in OpenAI's subprotocol": inSubprotocol,
    "in xAI's subprotocol": (secret) => ({ protocols: ['realtime', `xai-client-secret.${secret}`] }),
  };
  for (const [name, place] of Object.entries(slots)) {
    test(name, async () => {
      const { value } = await mint(gateway);
      const { answer, seen } = await opens(value, upgradeRequest(place(value)));
      const offered = place(value).protocols === undefined ? [] : ['realtime'];
      assert.deepEqual(answer.headerAll('sec-websocket-protocol'), offered);
      assert.equal(seen.subprotocols(), offered[0]);
    });
  }
  test("beside the client's own key, which goes nowhere", async () => {
    const { value } = await mint(gateway);
    const headers = [
      ['cf-aig-authorization', value],
      ['authorization', `Bearer ${clientKey}`],
    ];
    const { seen } = await opens(value, upgradeRequest({ headers }));
    assert.ok(!seen.text().includes(clientKey));
  });
  test('not beside another credential of the same slots', async () => {
    const { value } = await mint(gateway);
    const headers = [...bearer(value), ['api-key', tokens.web]];
    await refused('conflicting_credentials', upgradeRequest({ headers }));
  });
  test('in a handshake over HTTP/2', async () => {
    const { value } = await mint(gateway);
    const answer = await gateway.sendHttp2({
      connect: 'websocket',
      target: '/v1/realtime?model=gpt-realtime',
      headers: [...bearer(value), ['sec-websocket-version', '13']],
    });
    assert.equal(answer.status, 200);
    answer.close();
    assert.deepEqual(openai.requestsOf(answer.case)[0].headerAll('authorization'), [
      `Bearer ${upstreamSecretIn(value)}`,
    ]);
  });
});

describe('it opens', () => {
  test('sessions, several of them, without the provider’s account', async () => {
    const { value } = await mint(gateway);
    for (let count = 0; count < 3; count += 1) await opens(value, upgradeRequest({ headers: bearer(value) }));
  });
  test('what each mint path is for', async () => {
    for (const name of Object.keys(mintPaths)) {
      const { value } = await mint(gateway, name);
      const target = name === 'translations' ? '/v1/realtime/translations' : '/v1/realtime';
      await opens(value, upgradeRequest({ target, headers: bearer(value) }));
    }
  });
  test("Cloudflare's spelling of the path", async () => {
    const { value } = await mint(gateway);
    const target = '/v1/account-1/gateway-1/openai?model=gpt-realtime';
    await opens(value, upgradeRequest({ target, ...inSubprotocol(value) }));
  });
  test('a policy with several providers, under the one that it was minted for', async () => {
    const { value } = await mint(gateway, 'current', { prefix: '/choice' });
    const target = '/choice/v1/realtime?model=gpt-realtime';
    const { seen } = await opens(value, upgradeRequest({ target, headers: bearer(value) }));
    assert.equal(seen.header('x-realtime-byok-provider'), 'openai');
    const prefixed = upgradeRequest({
      target: '/choice/v1/realtime?model=openai/gpt-realtime',
      headers: bearer(value),
    });
    assert.equal((await opens(value, prefixed)).seen.target, target.slice('/choice'.length));
  });
});

describe('it does not open', () => {
  const others = {
    'a chat completion': restRequest({ json: { model: 'gpt-realtime' } }),
    'a list of models': restRequest({ target: '/v1/models' }),
    'another mint path': mintRequest('sessions', { token: '' }),
    'its own mint path': mintRequest('current', { token: '' }),
    'a GET of a mint path': restRequest({ target: mintPaths.current }),
    'a hang-up': restRequest({ method: 'POST', target: '/v1/realtime/calls/rtc_1/hangup', body: '' }),
    'a GET of calls': restRequest({ target: '/v1/realtime/calls' }),
    'the call of another': restRequest({ method: 'POST', target: '/v1/realtime/calls/rtc_1/accept', json: {} }),
    'calls, spelled otherwise': restRequest({ method: 'POST', target: '/v1/realtime/%63alls', body: 'v=0' }),
    'a GET of the WebSocket’s path': restRequest({ target: '/v1/realtime?model=gpt-realtime' }),
    'a WebSocket of Responses': upgradeRequest({ target: '/v1/responses' }),
    'a WebSocket of nothing known': upgradeRequest({ target: '/v1/other' }),
  };
  for (const [name, request] of Object.entries(others)) {
    test(name, async () => {
      const { value } = await mint(gateway);
      const headers = [...request.headers.filter(([header]) => header !== 'authorization'), ...bearer(value)];
      await refused('route_not_allowed', { ...request, headers });
    });
  }
  test('another policy', async () => {
    const { value } = await mint(gateway);
    for (const prefix of ['/other', '/choice', '/ruled']) {
      const target = `${prefix}/v1/realtime?model=gpt-realtime`;
      await refused('route_not_allowed', upgradeRequest({ target, headers: bearer(value) }));
    }
  });
  test('another provider', async () => {
    const { value } = await mint(gateway, 'current', { prefix: '/choice' });
    const target = '/choice/v1/realtime?model=second/gpt-realtime';
    await refused('route_not_allowed', upgradeRequest({ target, headers: bearer(value) }));
  });
});

describe('the model of a secret', () => {
  const target = (model, prefix = '') => `${prefix}/v1/realtime${model === null ? '' : `?model=${model}`}`;
  test('counts where the handshake names none', async () => {
    const { value } = await mint(gateway, 'current', { prefix: '/ruled' });
    await opens(value, upgradeRequest({ target: target(null, '/ruled'), headers: bearer(value) }));
    await opens(value, upgradeRequest({ target: target('gpt-realtime', '/ruled'), headers: bearer(value) }));
  });
  test('may be named by its alias', async () => {
    const { value } = await mint(gateway);
    const { seen } = await opens(value, upgradeRequest({ target: target('voice'), headers: bearer(value) }));
    assert.equal(seen.target, target('gpt-realtime'));
  });
  test('is the only one', async () => {
    const { value } = await mint(gateway);
    await refused('model_not_allowed', upgradeRequest({ target: target('gpt-realtime-mini'), headers: bearer(value) }));
  });
  test('is not needed where no rule asks for it', async () => {
    const { value } = await mint(gateway, 'current', { json: { session: { type: 'realtime' } } });
    await opens(value, upgradeRequest({ target: target('gpt-realtime-mini'), headers: bearer(value) }));
  });
  test("is under the caller's rule, even if another says what it may be later", async () => {
    const { value } = await mint(gateway, 'current', { token: narrowToken });
    await opens(value, upgradeRequest({ target: target(null), headers: bearer(value) }));
    const answer = await gateway.send(
      mintRequest('current', {
        token: narrowToken,
        json: { session: { type: 'realtime', model: 'gpt-realtime-mini' } },
      }),
    );
    assertDenial(answer, 'model_not_allowed');
  });
});

describe('the origin of a secret', () => {
  const bound = () => mint(gateway, 'current', { json: { gateway: { origin: page } } });
  const from = (secret, ...origins) =>
    upgradeRequest({ ...inSubprotocol(secret), headers: origins.map((origin) => ['origin', origin]) });
  test('is the only one from which it opens', async () => {
    const { value } = await bound();
    await opens(value, from(value, page));
    for (const origin of [
      'https://evil.example.com',
      'http://app.example.com',
      `${page}:8443`,
      `${page}.evil.org`,
      'null',
    ]) {
      await refused('origin_not_allowed', from(value, origin));
    }
  });
  test('must be said', async () => {
    const { value } = await bound();
    await refused('origin_not_allowed', from(value));
    await refused('origin_not_allowed', upgradeRequest({ headers: bearer(value) }));
  });
  test('is that of all lines, if there are several', async () => {
    const { value } = await bound();
    await refused('origin_not_allowed', from(value, page, 'https://evil.example.com'));
  });
  test('is free if nothing was said', async () => {
    const { value } = await mint(gateway);
    await opens(value, from(value, 'https://anywhere.example.com'));
    await opens(value, from(value));
  });
  test("does not widen its caller's", async () => {
    const elsewhere = 'https://elsewhere.example.com';
    const { value } = await mint(gateway, 'current', { token: pagedToken, json: { gateway: { origin: elsewhere } } });
    await refused('origin_not_allowed', from(value, elsewhere));
    await refused('origin_not_allowed', from(value, page));
  });
  test('holds for calls as well', async () => {
    const { value } = await bound();
    const call = (headers) =>
      restRequest({
        method: 'POST',
        target: '/v1/realtime/calls',
        body: 'v=0\r\n',
        headers: [['content-type', 'application/sdp'], ...bearer(value), ...headers],
      });
    await refused('origin_not_allowed', call([['origin', 'https://evil.example.com']]));
    await refused('origin_not_allowed', call([]));
    // The upstream reads no offer in this, but it is asked.
    await forwarded(call([['origin', page]]), { status: 400 });
  });
});

describe("the upstream's own secret", () => {
  test('that the upstream takes no more is expired', async () => {
    const { value } = await mint(gateway);
    openai.secrets.expireAll();
    try {
      const answer = await gateway.send(upgradeRequest({ headers: bearer(value) }));
      assertDenial(answer, 'expired_gateway_token');
      assert.equal(openai.requestsOf(answer.case).length, 1);
      const all = JSON.stringify(answer.headers) + answer.body;
      assert.doesNotMatch(all, /client_secret_expired|ek_/);
      const entry = await gateway.envoy.accessLogOf(answer.case);
      assert.equal(entry.details, 'realtime_byok.expired_gateway_token');
    } finally {
      openai.secrets.restoreAll();
    }
  });
  test('that the upstream forbids is no fault of our key', async () => {
    const { value } = await mint(gateway);
    for (const status of [401, 403]) {
      const headers = [...bearer(value), ['x-reply', `refuse ${status}`]];
      const answer = await gateway.send(upgradeRequest({ headers }));
      assertDenial(answer, 'expired_gateway_token');
      assert.ok(!answer.body.includes('upstream_text'));
    }
  });
  test('and other refusals pass', async () => {
    const { value } = await mint(gateway);
    const answer = await gateway.send(upgradeRequest({ headers: [...bearer(value), ['x-reply', 'refuse 429']] }));
    assert.equal(answer.status, 429);
  });
});

describe('a secret that was minted locally', () => {
  const { gateway: local, forwarded, denied } = useMinting({
    upstream: openai,
    env: { ...mintEnv, AZURE_KEY: azureKey },
    secrets: { mode: 'local' },
    changes: {
      providers: {
        openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' } },
        azure: { kind: 'azure_openai', key: { env: 'AZURE_KEY' } },
      },
      policies: {
        default: { provider: 'openai' },
        choice: { providers: ['openai', 'azure'] },
        ruled: { provider: 'openai', models: ['gpt-realtime*'] },
      },
    },
    routes,
  });

  test("opens a session with the provider's key", async () => {
    const { value } = await mint(local);
    for (const query of ['', '?model=gpt-realtime']) {
      const request = upgradeRequest({ target: `/v1/realtime${query}`, ...inSubprotocol(value) });
      const { seen } = await forwarded(request);
      assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
      assert.equal(seen.target, '/v1/realtime?model=gpt-realtime');
      assert.ok(!seen.text().includes(value));
    }
  });
  test('opens its provider, whichever is the default', async () => {
    const json = { session: { type: 'realtime', model: 'azure/gpt-realtime' } };
    const { value } = await mint(local, 'current', { prefix: '/choice', json });
    const request = upgradeRequest({ target: '/choice/v1/realtime', ...inSubprotocol(value) });
    // This upstream takes no Azure keys; that it was sent one is enough.
    const answer = await local.send(request);
    assertDenial(answer, 'provider_key_rejected');
    const [seen] = openai.requestsOf(answer.case);
    assert.deepEqual(seen.headerAll('api-key'), [azureKey]);
    assert.deepEqual(seen.headerAll('authorization'), []);
    assert.equal(seen.header('x-realtime-byok-provider'), 'azure');
  });
  test('that names no model opens none under a rule without one', async () => {
    const answer = await local.send(
      mintRequest('current', { prefix: '/ruled', json: { session: { type: 'realtime' } } }),
    );
    assertDenial(answer, 'model_required');
  });
  test('is refused where a sealed one is', async () => {
    const { value } = await mint(local);
    await denied(upgradeRequest({ target: '/ruled/v1/realtime', headers: bearer(value) }), 'route_not_allowed');
    await denied(restRequest({ json: { model: 'm' }, headers: bearer(value) }), 'route_not_allowed');
    const other = upgradeRequest({ target: '/v1/realtime?model=gpt-5', headers: bearer(value) });
    await denied(other, 'model_not_allowed');
  });
});

test('nothing of a secret, sealed or not, is in a log, a statistic or a page', async () => {
  const { value } = await mint(gateway);
  await opens(value, upgradeRequest(inSubprotocol(value)));
  await refused('route_not_allowed', restRequest({ headers: bearer(value) }));
  await refused('model_not_allowed', upgradeRequest({ target: '/v1/realtime?model=m', headers: bearer(value) }));
  await assertNowhere(gateway, [value, ...openai.secrets.values(), providerKey, sealingKey]);
});
