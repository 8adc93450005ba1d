// Secrets that are not what they were: changed, cut, late, early, of another version or key; and the keys that rotate.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test, { describe } from 'node:test';
import {
  assertDenial, basicConfiguration, denied, forwarded, providerKey, sha256, tokens, upgradeRequest, validateGateway,
} from './harness/index.mjs';
import {
  assertNowhere, mint, mintConfiguration, mintEnv, mintRequest, sealingKey, useMinting,
} from './harness/minting.mjs';
import { useOpenai } from './harness/openai.mjs';
import { newSealingKey, open, seal } from './harness/sealing.mjs';

const secondKey = newSealingKey();
const foreignKey = newSealingKey();
const skewSeconds = 30;

const openai = useOpenai();
const gatewayWith = (sealingKeys, changes = {}) =>
  useMinting({
    upstream: openai,
    env: { ...mintEnv, SECOND_KEY: secondKey, FOREIGN_KEY: foreignKey },
    secrets: { sealing_keys: sealingKeys.map((env) => ({ env })), ...changes.secrets },
    changes: changes.configuration,
  }).gateway;
const gateway = gatewayWith(['REALTIME_SEALING_KEY']);
const twin = gatewayWith(['REALTIME_SEALING_KEY']);
const rotated = gatewayWith(['SECOND_KEY', 'REALTIME_SEALING_KEY']);
const foreign = gatewayWith(['FOREIGN_KEY']);
const bereft = gatewayWith(['REALTIME_SEALING_KEY'], {
  configuration: { callers: { other: { tokens: [{ sha256: sha256(tokens.other) }] } } },
});

const handshake = (secret) =>
  upgradeRequest({ protocols: [`realtime, openai-insecure-api-key.${secret}`], target: '/v1/realtime' });
const opens = (secret, at = gateway) => forwarded({ recorder: openai, gateway: at }, handshake(secret));
const refused = (secret, code, at = gateway) => denied({ recorder: openai, gateway: at }, handshake(secret), code);

/** Whether Envoy would start with this: `{ ok, output }`. */
const validated = (changes) => validateGateway({ upstreams: { upstream: 1 }, env: mintEnv, ...changes });

const now = () => Math.floor(Date.now() / 1000);

/** Sealed here, without an upstream's secret, so that the provider's key is used. */
function sealed({ issuedAt = now(), expiresAt = now() + 60, key = sealingKey, claims = {}, ...form } = {}) {
  return seal(
    {
      caller: 'web-app',
      provider: 'openai',
      policy: 'default',
      issued_at: issuedAt,
      expires_at: expiresAt,
      model: 'gpt-realtime',
      ...claims,
    },
    key,
    form,
  );
}

test('a secret that was sealed here by the documented layout opens', async () => {
  const { seen } = await opens(sealed());
  assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
});

describe('a changed secret', () => {
  // The filter's own tests change every bit and cut at every place; over the wire a sample will do.
  test('is invalid, wherever a bit is changed', async () => {
    const { value } = await mint(gateway);
    const form = 'ek_'.length;
    const bytes = Buffer.from(value.slice(form), 'base64url');
    for (let at = 0; at < bytes.length; at += 5) {
      const changed = Buffer.from(bytes);
      changed[at] ^= 1 << (at % 8);
      await refused(`ek_${changed.toString('base64url')}`, 'invalid_gateway_token');
    }
  });
  test('is invalid, wherever it is cut', async () => {
    const { value } = await mint(gateway);
    for (const kept of [1, 2, 3, 4, 8, 40, value.length >> 1, value.length - 2, value.length - 1]) {
      await refused(value.slice(0, kept), 'invalid_gateway_token');
    }
  });
  test('is invalid with more at its end', async () => {
    const { value } = await mint(gateway);
    for (const more of ['A', 'AAAA', '~', '.', value]) await refused(value + more, 'invalid_gateway_token');
  });
  test('is invalid in another spelling', async () => {
    const { value } = await mint(gateway);
    const target = '/v1/realtime';
    for (const spelling of [
      `EK_${value.slice(3)}`,
      value.slice(3),
      `${value}=`,
      `ek_${Buffer.from(value.slice(3), 'base64url').toString('base64')}`,
    ]) {
      const request = upgradeRequest({ target, headers: [['authorization', `Bearer ${spelling}`]] });
      const answer = await gateway.send(request);
      assertDenial(answer, 'invalid_gateway_token');
    }
  });
});

describe('what no gateway has sealed', () => {
  test('another version', async () => {
    for (const version of [0, 2, 255]) await refused(sealed({ version }), 'invalid_gateway_token');
  });
  test('another key', () => refused(sealed({ key: foreignKey }), 'invalid_gateway_token'));
  test('random bytes in the form of a secret', async () => {
    for (const length of [45, 46, 100, 300]) {
      await refused(`ek_${randomBytes(length).toString('base64url')}`, 'invalid_gateway_token');
    }
  });
  test("a provider's own client secret", () => refused('ek_68af296e8e408191a1120ab6383263c2', 'invalid_gateway_token'));
  test('claims that this version does not know', async () => {
    await refused(sealed({ more: Buffer.of(200, 1, 65) }), 'invalid_gateway_token');
    await refused(sealed({ more: Buffer.of(0) }), 'invalid_gateway_token');
  });
  test('claims that lack one', async () => {
    for (const name of ['caller', 'provider', 'policy', 'expires_at']) {
      await refused(sealed({ claims: { [name]: undefined } }), 'invalid_gateway_token');
    }
  });
  test('longer than a secret can be', () =>
    refused(sealed({ claims: { upstream: 'x'.repeat(5000) } }), 'invalid_gateway_token'));
});

describe('what names something that is not here', () => {
  test('a caller that has left', async () => {
    const { value } = await mint(gateway);
    await opens(value);
    await refused(value, 'invalid_gateway_token', bereft);
  });
  test('a provider or policy that is gone', async () => {
    for (const claims of [{ provider: 'gone' }, { policy: 'gone' }]) {
      await refused(sealed({ claims }), 'route_not_allowed');
    }
  });
});

describe('the time of a secret', () => {
  test('late is expired', async () => {
    for (const late of [skewSeconds + 1, 3600, 1e9]) {
      await refused(sealed({ issuedAt: 1, expiresAt: now() - late }), 'expired_gateway_token');
    }
  });
  test('late by less than clocks may differ is not', async () => {
    await opens(sealed({ issuedAt: now() - 600, expiresAt: now() - skewSeconds + 10 }));
    await opens(sealed({ issuedAt: now() - 600, expiresAt: now() }));
  });
  test('early by less than clocks may differ is good, by more is not', async () => {
    await opens(sealed({ issuedAt: now() + skewSeconds - 10 }));
    await refused(sealed({ issuedAt: now() + skewSeconds + 60, expiresAt: now() + 600 }), 'invalid_gateway_token');
  });
  test('late and changed is invalid', async () => {
    const late = sealed({ issuedAt: 1, expiresAt: 2 });
    const last = late.at(-1) === 'A' ? 'B' : 'A';
    await refused(late.slice(0, -8) + last + late.slice(-7), 'invalid_gateway_token');
  });
  test('an answer says the time that is sealed', async () => {
    const { value, expires_at: expiresAt } = await mint(gateway);
    assert.equal(open(value, sealingKey).expires_at, expiresAt);
  });
});

describe('replicas and keys', () => {
  test('two Envoys with one key accept what the other has sealed', async () => {
    const [ours, theirs] = [await mint(gateway), await mint(twin)];
    assert.notEqual(gateway.envoy.pid, twin.envoy.pid);
    for (const { value } of [ours, theirs]) {
      await opens(value, gateway);
      await opens(value, twin);
    }
  });
  test('one with another key refuses it', async () => {
    const [ours, theirs] = [await mint(gateway), await mint(foreign)];
    await refused(ours.value, 'invalid_gateway_token', foreign);
    await refused(theirs.value, 'invalid_gateway_token', gateway);
    await opens(theirs.value, foreign);
  });
  test('the first key seals and all open', async () => {
    const [before, after] = [await mint(gateway), await mint(rotated)];
    assert.throws(() => open(after.value, sealingKey));
    assert.equal(open(after.value, secondKey).caller, 'web-app');
    await opens(before.value, rotated);
    await opens(after.value, rotated);
    await refused(after.value, 'invalid_gateway_token', gateway);
  });
  test('keys can be there before minting is on', async () => {
    const answer = await gateway.send(mintRequest());
    assert.equal(answer.status, 200);
    const result = await validated({ configuration: mintConfiguration({ secrets: { mode: 'off' } }) });
    assert.ok(result.ok, result.output);
  });
});

test('the same secret sent straight to the upstream is refused by it', async () => {
  const { value } = await mint(gateway);
  await opens(value);
  const answer = await fetch(`http://127.0.0.1:${openai.port}/v1/realtime/calls`, {
    method: 'POST',
    body: 'v=0\r\n',
    headers: { authorization: `Bearer ${value}`, 'content-type': 'application/sdp' },
  });
  assert.equal(answer.status, 401);
  assert.equal((await answer.json()).error.code, 'invalid_api_key');
});

describe('a configuration of client secrets', () => {
  const cases = {
    'with no key': [{ sealing_keys: [] }, /client_secrets\.sealing_keys/],
    'with a key that is missing': [{ sealing_keys: [{ env: 'NO_SUCH_KEY' }] }, /client_secrets\.sealing_keys\[0\]/],
    'with a key that is no base64': [
      { sealing_keys: [{ value: '!secret-key!' }] },
      /client_secrets\.sealing_keys\[0\]/,
    ],
    'with a key of 31 bytes': [
      { sealing_keys: [{ value: randomBytes(31).toString('base64') }] },
      /client_secrets\.sealing_keys\[0\]/,
    ],
    'with a second key of 33 bytes': [
      { sealing_keys: [{ env: 'REALTIME_SEALING_KEY' }, { value: randomBytes(33).toString('base64') }] },
      /client_secrets\.sealing_keys\[1\]/,
    ],
    'with a mode that is none': [{ mode: 'on' }, /client_secrets\.mode/],
    'with a time that is none': [{ max_ttl: 600 }, /client_secrets\.max_ttl/],
    'with no time': [{ max_ttl: '0s' }, /client_secrets\.max_ttl/],
    'with a name that is not known': [{ ttl: '10m' }, /client_secrets.*ttl/],
  };
  for (const [name, [secrets, error]] of Object.entries(cases)) {
    test(name, async () => {
      const { ok, output } = await validated({ configuration: mintConfiguration({ secrets }) });
      assert.equal(ok, false);
      assert.match(output, error);
      for (const { value } of secrets.sealing_keys ?? []) {
        const messages = output
          .split('\n')
          .filter((line) => /wasm log/.test(line))
          .join('\n');
        if (value !== undefined) assert.ok(!messages.includes(value), 'the key is shown');
      }
    });
  }
  test('that is absent leaves minting off', async () => {
    const { ok } = await validated({ configuration: basicConfiguration() });
    assert.ok(ok);
  });
});

test('nothing of any of these is in a log, a statistic or a page', async () => {
  const { value } = await mint(gateway);
  const late = sealed({ issuedAt: 1, expiresAt: 2 });
  await refused(late, 'expired_gateway_token');
  await refused(`${value}A`, 'invalid_gateway_token');
  await assertNowhere(gateway, [value, late, ...openai.secrets.values(), sealingKey]);
});
