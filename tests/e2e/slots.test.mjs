// Where a client may put its gateway token: every slot, over upgrades and REST, in every spelling.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { chatRequest, clientKey, providerKey, sha256, tokens, upgradeRequest, useRig } from './harness/index.mjs';

const token = tokens.web;
// A token that a subprotocol cannot hold as it is.
const awkward = 'gt/awk ward="t{ok}en"';
const base64url = (text) => Buffer.from(text).toString('base64url');

const { forwarded, denied } = useRig({
  changes: {
    callers: {
      'web-app': { tokens: [{ sha256: sha256(token) }, { sha256: sha256(awkward) }] },
      other: { tokens: [{ env: 'OTHER_TOKEN' }] },
    },
  },
});

const renamed = useRig({
  changes: {
    gateway: { header: 'X-My-Gateway', subprotocol: 'my-gateway', accept_provider_slot: false },
  },
});

const headerSlots = [
  ['cf-aig-authorization', `Bearer ${token}`],
  ['cf-aig-authorization', token],
  ['cf-aig-authorization', `bearer ${token}`],
  ['cf-aig-authorization', `BEARER \t ${token}`],
  ['CF-AIG-Authorization', `  Bearer ${token}  `],
  ['cf-aig-authorization', `Bearer ${awkward}`],
  ['Authorization', `Bearer ${token}`],
  ['authorization', `bEaReR ${token}`],
  ['api-key', token],
  ['Api-Key', token],
  ['x-api-key', token],
  ['x-goog-api-key', token],
];

const subprotocolSlots = [
  `cf-aig-authorization.${token}`,
  `CF-AIG-Authorization.${token}`,
  `cf-aig-authorization-base64url.${base64url(token)}`,
  `cf-aig-authorization-base64url.${base64url(awkward)}`,
  `Cf-Aig-Authorization-Base64Url.${base64url(awkward)}`,
  `openai-insecure-api-key.${token}`,
  `OpenAI-Insecure-API-Key.${token}`,
  `xai-client-secret.${token}`,
];

/** The gateway token and the slots are gone, the provider's key is there. */
function assertExchanged(seen) {
  assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
  for (const name of ['cf-aig-authorization', 'api-key', 'x-api-key', 'x-goog-api-key', 'x-my-gateway']) {
    assert.deepEqual(seen.headerAll(name), [], name);
  }
  for (const secret of [token, awkward, base64url(token), base64url(awkward), clientKey, tokens.other]) {
    assert.ok(!seen.text().includes(secret), `the upstream sees ${secret}`);
  }
}

describe('every slot', () => {
  for (const [name, value] of headerSlots) {
    test(`${name}: ${JSON.stringify(value)}`, async () => {
      assertExchanged((await forwarded(upgradeRequest({ headers: [[name, value]] }))).seen);
      assertExchanged((await forwarded(chatRequest({ headers: [[name, value]] }))).seen);
    });
  }
  for (const subprotocol of subprotocolSlots) {
    test(`subprotocol ${subprotocol}`, async () => {
      const { seen } = await forwarded(upgradeRequest({ protocols: [`realtime, ${subprotocol}`] }));
      assertExchanged(seen);
      assert.equal(seen.subprotocols(), 'realtime');
    });
  }
});

describe('lists', () => {
  const slot = `cf-aig-authorization.${token}`;
  const cases = {
    alone: [slot],
    'several lines': ['realtime', slot],
    'the token in the first of several lines': [slot, 'realtime', 'other'],
    'empty members': [`,, realtime,,  ${slot} , ,`],
    'an empty line beside': ['', slot],
    tabs: [`realtime\t,\t${slot}\t`],
    'no white space': [`realtime,${slot},other`],
  };
  for (const [name, protocols] of Object.entries(cases)) {
    test(name, async () => assertExchanged((await forwarded(upgradeRequest({ protocols }))).seen));
  }
});

describe('the same token in several slots is one token', () => {
  test('both gateway slots', async () => {
    const { seen } = await forwarded(
      upgradeRequest({
        headers: [
          ['cf-aig-authorization', `Bearer ${token}`],
          ['cf-aig-authorization', token],
        ],
        protocols: [`cf-aig-authorization.${token}, cf-aig-authorization-base64url.${base64url(token)}`],
      }),
    );
    assertExchanged(seen);
  });
  test('all provider slots', async () => {
    const { seen } = await forwarded(
      upgradeRequest({
        headers: [
          ['authorization', `Bearer ${token}`],
          ['api-key', token],
          ['x-api-key', token],
          ['x-goog-api-key', token],
        ],
        protocols: [`openai-insecure-api-key.${token}`, `xai-client-secret.${token}`],
      }),
    );
    assertExchanged(seen);
  });
});

describe('a gateway slot wins over the provider slots', () => {
  const gatewaySlots = {
    header: { headers: [['cf-aig-authorization', token]] },
    subprotocol: { protocols: [`cf-aig-authorization.${token}`] },
  };
  const providerSlots = {
    Authorization: { headers: [['authorization', `Bearer ${clientKey}`]] },
    'api-key': { headers: [['api-key', clientKey]] },
    'x-api-key': { headers: [['x-api-key', clientKey]] },
    'x-goog-api-key': { headers: [['x-goog-api-key', clientKey]] },
    'openai-insecure-api-key': { protocols: [`openai-insecure-api-key.${clientKey}`] },
    'xai-client-secret': { protocols: [`xai-client-secret.${clientKey}`] },
    'two different keys': {
      headers: [
        ['api-key', clientKey],
        ['authorization', `Bearer ${tokens.other}`],
      ],
    },
    'an empty key': { headers: [['api-key', '']] },
    'another scheme': { headers: [['authorization', `Basic ${clientKey}`]] },
  };
  for (const [gatewayName, gatewaySlot] of Object.entries(gatewaySlots)) {
    for (const [providerName, providerSlot] of Object.entries(providerSlots)) {
      test(`${gatewayName} beside ${providerName}`, async () => {
        const { seen } = await forwarded(
          upgradeRequest({
            headers: [...(providerSlot.headers ?? []), ...(gatewaySlot.headers ?? [])],
            protocols: [...(providerSlot.protocols ?? []), ...(gatewaySlot.protocols ?? []), 'realtime'],
          }),
        );
        assertExchanged(seen);
        assert.equal(seen.subprotocols(), 'realtime');
      });
    }
  }
});

describe('no token', () => {
  const cases = {
    nothing: [],
    'another scheme': [['authorization', 'Basic dXNlcjpwYXNz']],
    'a word that begins like the scheme': [['authorization', `Bearerish ${token}`]],
    'a token in the query': [],
    'a token in a cookie': [['cookie', `cf-aig-authorization=${token}`]],
  };
  for (const [name, headers] of Object.entries(cases)) {
    const target = name === 'a token in the query' ? `/v1/realtime?model=gpt-realtime&api_key=${token}` : undefined;
    test(name, async () => {
      await denied(upgradeRequest({ headers, target, protocols: ['realtime'] }), 'missing_gateway_token');
      await denied(chatRequest({ headers, target }), 'missing_gateway_token');
    });
  }
  test('a subprotocol without the dot is not a slot', async () => {
    await denied(upgradeRequest({ protocols: [`cf-aig-authorization${token}`] }), 'missing_gateway_token');
  });
});

describe('an unknown token', () => {
  const close = [
    token.slice(0, -1),
    `${token}x`,
    token.toUpperCase(),
    ` ${token}`.repeat(2).trim(),
    sha256(token),
    'x',
  ];
  for (const guess of close) {
    test(guess, async () => {
      await denied(upgradeRequest({ headers: [['cf-aig-authorization', guess]] }), 'invalid_gateway_token');
      await denied(chatRequest({ headers: [['authorization', `Bearer ${guess}`]] }), 'invalid_gateway_token');
    });
  }
  test('in a gateway slot is not saved by a good one in a provider slot', async () => {
    await denied(
      upgradeRequest({
        headers: [
          ['cf-aig-authorization', tokens.unknown],
          ['authorization', `Bearer ${token}`],
        ],
      }),
      'invalid_gateway_token',
    );
  });
});

describe('configured names', () => {
  test('the configured header and subprotocol are slots', async () => {
    const header = await renamed.forwarded(upgradeRequest({ headers: [['x-my-gateway', token]] }));
    assertExchanged(header.seen);
    const subprotocol = await renamed.forwarded(upgradeRequest({ protocols: [`my-gateway.${token}`] }));
    assertExchanged(subprotocol.seen);
    const encoded = await renamed.forwarded(
      upgradeRequest({ protocols: [`my-gateway-base64url.${base64url(token)}`] }),
    );
    assertExchanged(encoded.seen);
  });
  test('the default names are then no slots', async () => {
    await renamed.denied(upgradeRequest({ headers: [['cf-aig-authorization', token]] }), 'missing_gateway_token');
    await renamed.denied(upgradeRequest({ protocols: [`cf-aig-authorization.${token}`] }), 'missing_gateway_token');
  });
  test('closed provider slots hold no token, and are removed all the same', async () => {
    for (const [name, value] of [
      ['authorization', `Bearer ${token}`],
      ['api-key', token],
    ]) {
      await renamed.denied(chatRequest({ headers: [[name, value]] }), 'missing_gateway_token');
    }
    await renamed.denied(upgradeRequest({ protocols: [`openai-insecure-api-key.${token}`] }), 'missing_gateway_token');
    const { seen } = await renamed.forwarded(
      upgradeRequest({
        headers: [
          ['x-my-gateway', token],
          ['api-key', clientKey],
        ],
        protocols: [`openai-insecure-api-key.${clientKey}`, 'realtime'],
      }),
    );
    assertExchanged(seen);
  });
});
