// A page whose only credential is a JWT of its own single sign-on, in a real browser.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { useFor } from '../e2e/harness/hooks.mjs';
import { basicConfiguration, basicEnv, providerKey, useAimock, useGateway, wasmFilter } from '../e2e/harness/index.mjs';
import { claim, jwks, jwtAuthn, newIssuer } from '../e2e/harness/jwt.mjs';
import { startChromium, withoutChromium } from './chromium.mjs';
import { assertConversation, assertRealtime } from './gateway.mjs';

const header = 'x-gateway-token';
const issuer = await newIssuer({ algorithm: 'ES256' });
const foreign = await newIssuer({ algorithm: 'ES256' });
const claims = { tenant: 'acme', sub: 'u_1' };

const chromium = withoutChromium ? {} : useFor(startChromium);
const aimock = withoutChromium ? {} : useAimock({ keys: [providerKey] });
const gateway = withoutChromium ? {} : useGateway(() => ({
  upstreams: { upstream: aimock.port },
  env: basicEnv,
  tls: true,
  filtersBefore: [
    wasmFilter({ configuration: { present: { header } }, pluginName: 'present', hostEnvKeys: Object.keys(basicEnv) }),
    jwtAuthn(jwks(issuer), { header }),
  ],
  configuration: basicConfiguration({
    gateway: { strip_headers: [header] },
    callers: {
      acme: {
        identities: [{ property: claim('tenant'), equals: 'acme' }],
        user: { property: claim('sub') },
        origins: [chromium.origin],
      },
    },
  }),
}));

/** What a page gets that offers this token, and what reaches the upstream. */
async function visit(name, options, opening) {
  const before = (await aimock.journal()).length;
  const page = await chromium.open(name, opening);
  try {
    const result = await page.converse(options);
    return { result, arrived: (await aimock.journal()).slice(before) };
  } finally {
    await page.close();
  }
}

describe('a page with a JWT', { skip: withoutChromium }, () => {
  const url = () => `wss://localhost:${gateway.securePort}/v1/realtime?model=gpt-realtime`;
  const offer = (token) => ['realtime', `cf-aig-authorization.${token}`];

  test('talks to the upstream, which never sees it', async () => {
    const token = await issuer.sign(claims);
    const { result, arrived } = await visit('native', { url: url(), offer: offer(token) });
    assertConversation(result);
    assert.deepEqual([result.protocol, result.code], ['realtime', 1000]);
    assertRealtime(arrived, 'realtime');
    assert.ok(!JSON.stringify(arrived).includes(token));
    const [{ session }] = gateway.envoy.accessLog().filter((entry) => entry.session.caller === 'acme');
    assert.equal(session.user, 'u_1');
  });
  test('gives it to the official SDK as its key', async () => {
    const token = await issuer.sign(claims);
    const client = { apiKey: token, baseURL: `https://localhost:${gateway.securePort}/v1` };
    const { result, arrived } = await visit('openai', { client, dangerouslyAllowBrowser: true });
    assertConversation(result);
    assertRealtime(arrived, 'realtime');
  });
  test('is refused with one that its issuer has not signed, or on another origin', async () => {
    for (const [token, opening] of [
      [await foreign.sign(claims), {}],
      [await issuer.sign(claims, { aud: 'others' }), {}],
      [await issuer.sign(claims), { host: 'localhost' }],
    ]) {
      const { result, arrived } = await visit('native', { url: url(), offer: offer(token) }, opening);
      assert.deepEqual([result.events, result.code, arrived], [[], 1006, []]);
    }
  });
});
