// Callers that Envoy knows by a JWT that its own filter has verified: what is an identity, and what a client cannot make one of.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authorized, chatRequest, providerKey, restRequest, sha256, tokens, upgradeRequest, useRig } from './harness/index.mjs';
import { claim, jwks, jwtAuthn, newIssuer, unsigned } from './harness/jwt.mjs';
import { newSealingKey } from './harness/sealing.mjs';

const rsa = await newIssuer();
const elliptic = await newIssuer({ algorithm: 'ES256' });
const foreign = await newIssuer();

const property = (name) => ({ property: claim(name) });
const callers = {
  'web-app': { tokens: [{ sha256: sha256(tokens.web) }] },
  acme: {
    identities: [{ ...property('tenant'), equals: 'acme' }],
    user: property('sub'),
    models: ['gpt-*'],
    origins: ['https://app.test'],
  },
  eight: { identities: [{ ...property('eight'), equals: 'acmecorp' }] },
  any: { identities: [{ ...property('any'), glob: '*' }] },
  numbered: { identities: [{ ...property('list'), equals: 'unused' }, { property: claim('list', '0'), equals: 'first' }] },
  ghost: { identities: [{ property: ['metadata', 'filter_metadata', 'client', 'tenant'], equals: 'acme' }] },
};
const sealing = { client_secrets: { mode: 'local', sealing_keys: [{ value: newSealingKey() }] } };
const rig = useRig({
  changes: { callers, ...sealing },
  filtersBefore: [jwtAuthn(jwks(rsa, elliptic), { prefix: '/v1/' })],
});

const bearer = (token) => [['authorization', `Bearer ${token}`]];
const logged = async (answer) => (await rig.gateway.envoy.accessLogOf(answer.case)).session;

for (const issuer of [rsa, elliptic]) {
  test(`a JWT of ${issuer.kid} is its caller's, by REST and by WebSocket, and goes no further`, async () => {
    const token = await issuer.sign({ tenant: 'acme', sub: 'u_1' });
    for (const request of [chatRequest, upgradeRequest]) {
      const { answer, seen } = await rig.forwarded(request({ headers: bearer(token) }));
      assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
      assert.ok(!JSON.stringify(seen.headers).includes(token), 'the JWT went on');
      const { caller, user } = await logged(answer);
      assert.deepEqual([caller, user], ['acme', 'u_1']);
    }
  });
}

test('a gateway token lets in who has no JWT, and is nothing beside one', async () => {
  const { answer } = await rig.forwarded(chatRequest({ headers: authorized }));
  assert.equal((await logged(answer)).caller, 'web-app');
  const token = await rsa.sign({ tenant: 'acme', sub: 'u_1' });
  const both = await rig.forwarded(chatRequest({ headers: [...authorized, ...bearer(token)] }));
  assert.equal((await logged(both.answer)).caller, 'acme');
  assert.ok(!JSON.stringify(both.seen.headers).includes(tokens.web));
});

test('what jwt_authn has not verified is nobody', async () => {
  const claims = { tenant: 'acme', sub: 'u_1' };
  const refused = {
    'another audience': await rsa.sign(claims, { aud: 'others' }),
    'another issuer': await rsa.sign(claims, { iss: 'https://others.test' }),
    expired: await rsa.sign(claims, { expires: '-10m' }),
    'alg none': unsigned(claims),
    'a foreign key': await foreign.sign(claims),
    'another tenant': await rsa.sign({ ...claims, tenant: 'nobody' }),
    'no tenant': await rsa.sign({ sub: 'u_1' }),
  };
  const token = await rsa.sign(claims);
  refused['changed claims'] = token.replace(/\.[^.]+\./, `.${unsigned(claims).split('.')[1]}.`);
  for (const [what, one] of Object.entries(refused)) {
    await rig.denied(chatRequest({ headers: bearer(one) }), 'invalid_gateway_token').catch((error) => {
      throw new Error(`${what}: ${error.message}`);
    });
  }
  await rig.denied(chatRequest(), 'missing_gateway_token');
});

test('no claim but a string is an identity', async () => {
  // The double whose eight bytes are the string that is looked for.
  const number = Buffer.from('acmecorp').readDoubleLE();
  const nobody = [
    { any: true }, { any: 7 }, { any: null }, { any: '' }, { any: ['x'] }, { any: { x: 'x' } }, { any: 'a\u0000b' },
    { any: 'a\nb' }, { any: 'x'.repeat(2049) }, { eight: number }, { eight: ['acmecorp'] }, { tenant: ['acme'] },
    { list: 'first' }, { list: [1] }, { list: [['first']] },
  ];
  for (const claims of nobody) {
    await rig.denied(chatRequest({ headers: bearer(await rsa.sign(claims)) }), 'invalid_gateway_token').catch((error) => {
      throw new Error(`${JSON.stringify(claims).slice(0, 40)}: ${error.message}`);
    });
  }
  for (const [claims, caller] of [
    [{ any: 'x' }, 'any'],
    [{ any: 'x'.repeat(2048) }, 'any'],
    [{ any: 'é☃' }, 'any'],
    [{ eight: 'acmecorp' }, 'eight'],
    [{ list: ['first', 2] }, 'numbered'],
  ]) {
    const { answer } = await rig.forwarded(chatRequest({ headers: bearer(await rsa.sign(claims)) }));
    assert.equal((await logged(answer)).caller, caller);
  }
});

test('what is true of two callers is no one', async () => {
  const token = await rsa.sign({ tenant: 'acme', any: 'x' });
  await rig.denied(chatRequest({ headers: bearer(token) }), 'conflicting_credentials');
});

test('models and origins hold as they do for tokens, and a denial knows whose request it was', async () => {
  const token = await rsa.sign({ tenant: 'acme', sub: 'u_1' });
  const model = await rig.denied(chatRequest({ model: 'o3', headers: bearer(token) }), 'model_not_allowed');
  assert.deepEqual([(await logged(model)).caller, (await logged(model)).user], ['acme', 'u_1']);
  const origin = [['origin', 'https://evil.test']];
  await rig.denied(upgradeRequest({ headers: [...bearer(token), ...origin] }), 'origin_not_allowed');
  await rig.forwarded(upgradeRequest({ headers: [...bearer(token), ['origin', 'https://app.test']] }));
});

test('a client secret that an identity minted has its caller and user', async () => {
  const token = await rsa.sign({ tenant: 'acme', sub: 'u_1' });
  const mint = (gateway) =>
    restRequest({
      target: '/v1/realtime/client_secrets',
      headers: bearer(token),
      json: { session: { type: 'realtime', model: 'gpt-realtime' }, ...(gateway ? { gateway } : {}) },
    });
  const minted = await rig.gateway.send(mint());
  assert.equal(minted.status, 200, minted.body.toString());
  const { answer } = await rig.forwarded(upgradeRequest({ headers: bearer(minted.json().value) }));
  const { caller, user } = await logged(answer);
  assert.deepEqual([caller, user], ['acme', 'u_1']);
  const other = await rig.denied(mint({ user: 'u_2' }), 'invalid_gateway_object');
  assert.equal(other.json().error.param, 'gateway.user');
});

test('a client can write no identity', async () => {
  const token = await rsa.sign({ tenant: 'nobody' });
  const payload = Buffer.from(JSON.stringify({ tenant: 'acme' })).toString('base64url');
  for (const [target, headers] of [
    ['/v1/chat/completions', [['x-forwarded-client-cert', 'URI=spiffe://cluster.local/ns/voice/sa/backend']]],
    ['/v1/chat/completions', [['tenant', 'acme'], ['corp', payload], ['envoy.filters.http.jwt_authn', payload]]],
    ['/v1/chat/completions', [['x-envoy-dynamic-metadata', `client=${payload}`], ['x-jwt-payload', payload]]],
    [`/v1/chat/completions?tenant=acme&metadata=${payload}`, []],
  ]) {
    await rig.denied(chatRequest({ target, headers: [...headers, ...bearer(token)] }), 'invalid_gateway_token');
    await rig.denied(chatRequest({ target, headers }), 'missing_gateway_token');
  }
});

test('where jwt_authn does not run there is no identity', async () => {
  const token = await rsa.sign({ tenant: 'acme' });
  await rig.denied(chatRequest({ target: '/v2/chat/completions', headers: bearer(token) }), 'invalid_gateway_token');
});
