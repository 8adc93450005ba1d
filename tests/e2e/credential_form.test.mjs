// Credentials that contradict each other or cannot be credentials, and which of several faults is answered.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { basicEnv, chatRequest, route, tokens, upgradeRequest, useRig } from './harness/index.mjs';

const { web: token, other } = tokens;
const base64url = (bytes) => Buffer.from(bytes, 'latin1').toString('base64url');

const { forwarded, denied } = useRig();

describe('conflicting credentials', () => {
  const cases = {
    'two lines of the gateway header': {
      headers: [
        ['cf-aig-authorization', token],
        ['cf-aig-authorization', other],
      ],
    },
    'two in one line of the gateway header': { headers: [['cf-aig-authorization', `${token}, Bearer ${other}`]] },
    'gateway header and subprotocol': {
      headers: [['cf-aig-authorization', token]],
      protocols: [`cf-aig-authorization.${other}`],
    },
    'two gateway subprotocols': { protocols: [`cf-aig-authorization.${token}, cf-aig-authorization.${other}`] },
    'two gateway subprotocols on two lines': {
      protocols: [`cf-aig-authorization.${token}`, `cf-aig-authorization.${other}`],
    },
    'plain and base64url subprotocol': {
      protocols: [`cf-aig-authorization.${token}, cf-aig-authorization-base64url.${base64url(other)}`],
    },
    'a token and a prefix of it': {
      protocols: [`cf-aig-authorization.${token}, cf-aig-authorization.${token.slice(0, -1)}`],
    },
    'two lines of Authorization': {
      headers: [
        ['authorization', `Bearer ${token}`],
        ['authorization', `Bearer ${other}`],
      ],
    },
    'Authorization and api-key': {
      headers: [
        ['authorization', `Bearer ${token}`],
        ['api-key', other],
      ],
    },
    'api-key and x-api-key': {
      headers: [
        ['api-key', token],
        ['x-api-key', other],
      ],
    },
    'Authorization and a provider subprotocol': {
      headers: [['authorization', `Bearer ${token}`]],
      protocols: [`openai-insecure-api-key.${other}`],
    },
    'two provider subprotocols': { protocols: [`openai-insecure-api-key.${token}`, `xai-client-secret.${other}`] },
  };
  for (const [name, parts] of Object.entries(cases)) {
    test(name, async () => {
      await denied(upgradeRequest(parts), 'conflicting_credentials');
      if (parts.protocols === undefined) await denied(chatRequest(parts), 'conflicting_credentials');
    });
  }
});

describe('malformed credentials', () => {
  const headers = {
    'an empty gateway header': [['cf-aig-authorization', '']],
    'a gateway scheme without a token': [['cf-aig-authorization', 'Bearer']],
    'a gateway scheme and white space': [['cf-aig-authorization', 'Bearer   ']],
    'a tab inside a token': [['cf-aig-authorization', `${token}\tx`]],
    'an empty Authorization': [['authorization', '']],
    'Authorization without a token': [['authorization', 'Bearer']],
    'an empty api-key': [['api-key', '']],
    'an empty x-goog-api-key beside a good token': [
      ['x-goog-api-key', ''],
      ['authorization', `Bearer ${token}`],
    ],
  };
  for (const [name, lines] of Object.entries(headers)) {
    test(name, async () => {
      await denied(upgradeRequest({ headers: lines }), 'malformed_credentials');
      await denied(chatRequest({ headers: lines }), 'malformed_credentials');
    });
  }

  const slot = `cf-aig-authorization.${token}`;
  const protocols = {
    'an empty gateway subprotocol': ['cf-aig-authorization.'],
    'an empty base64url subprotocol': ['cf-aig-authorization-base64url.'],
    'an empty provider subprotocol': ['openai-insecure-api-key.'],
    'base64url that does not decode': ['cf-aig-authorization-base64url.A'],
    'base64url of the plain alphabet': ['cf-aig-authorization-base64url.a+b/'],
    'base64url of a control character': [`cf-aig-authorization-base64url.${base64url('a\nb')}`],
    'base64url of NUL': [`cf-aig-authorization-base64url.${base64url('a\0b')}`],
    'base64url of DEL': [`cf-aig-authorization-base64url.${base64url('a\x7fb')}`],
    'base64url of CR LF': [`cf-aig-authorization-base64url.${base64url('a\r\nx-evil: 1')}`],
    'white space inside': [`real time, ${slot}`],
    'a separator': [`a=b, ${slot}`],
    quotes: [`"realtime", ${slot}`],
    brackets: [`real[time], ${slot}`],
    'an octet beyond ASCII': [`r\xe9altime, ${slot}`],
    'UTF-8 beyond ASCII': [`r\xc3\xa9altime, ${slot}`],
    'repeated in one line': [`realtime, realtime, ${slot}`],
    'repeated on two lines': ['realtime', `realtime, ${slot}`],
    'a repeated credential': [`${slot}, ${slot}`],
    'over 16 KiB in one line': [`${slot}, ${'x'.repeat(16 * 1024)}`],
    'over 16 KiB over lines': [slot, ...Array.from({ length: 17 }, (_, index) => `p${index}${'x'.repeat(1024)}`)],
  };
  for (const [name, lines] of Object.entries(protocols)) {
    test(`subprotocols: ${name}`, () => denied(upgradeRequest({ protocols: lines }), 'malformed_credentials'));
  }

  test('a list of just under 16 KiB is read', async () => {
    const filler = 'x'.repeat(16 * 1024 - slot.length - 200);
    await forwarded(upgradeRequest({ protocols: [`${filler}, ${slot}`] }));
  });
  test('names that differ in case only are not the same', async () => {
    const { seen } = await forwarded(upgradeRequest({ protocols: [`realtime, Realtime, ${slot}`] }));
    assert.deepEqual(seen.subprotocols().split(/, ?/), ['realtime', 'Realtime']);
  });
});

describe('the first failing check answers', () => {
  const guarded = useRig({
    changes: {
      policies: { voice: { provider: 'openai', models: ['gpt-realtime*'] }, text: { provider: 'openai' } },
      callers: {
        'web-app': { tokens: [{ env: 'WEB_TOKEN' }], policies: ['voice'], origins: ['https://app.example.com'] },
        other: { tokens: [{ env: 'OTHER_TOKEN' }] },
      },
    },
    env: { ...basicEnv, WEB_TOKEN: token },
    routes: [
      route({ name: 'voice', prefix: '/voice' }),
      route({ name: 'text', prefix: '/text' }),
      route({ name: 'nowhere', prefix: '/' }),
    ],
  });
  const faults = {
    policy: { path: '/nowhere' },
    form: {
      credentials: [
        ['cf-aig-authorization', token],
        ['cf-aig-authorization', other],
      ],
    },
    caller: { credentials: [['cf-aig-authorization', tokens.unknown]] },
    absent: { credentials: [] },
    route: { path: '/text' },
    origin: { origin: [['origin', 'https://evil.example.com']] },
    model: { query: '?model=gpt-5' },
  };
  const cases = [
    [['policy', 'form', 'origin', 'model'], 'no_policy'],
    [['policy', 'absent'], 'no_policy'],
    [['form', 'route', 'origin', 'model'], 'conflicting_credentials'],
    [['caller', 'route', 'origin', 'model'], 'invalid_gateway_token'],
    [['absent', 'route', 'origin', 'model'], 'missing_gateway_token'],
    [['route', 'origin', 'model'], 'route_not_allowed'],
    [['origin', 'model'], 'origin_not_allowed'],
    [['model'], 'model_not_allowed'],
  ];
  for (const [names, code] of cases) {
    test(`${names.join(', ')}: ${code}`, async () => {
      const parts = Object.assign(
        { path: '/voice', credentials: [['cf-aig-authorization', token]], origin: [], query: '?model=gpt-realtime' },
        ...names.map((name) => faults[name]),
      );
      await guarded.denied(
        upgradeRequest({ target: parts.path + parts.query, headers: [...parts.credentials, ...parts.origin] }),
        code,
      );
    });
  }
  test('none of them', () =>
    guarded.forwarded(
      upgradeRequest({
        target: '/voice?model=gpt-realtime',
        headers: [
          ['cf-aig-authorization', token],
          ['origin', 'https://app.example.com'],
        ],
      }),
    ));
});
