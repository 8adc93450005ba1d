// Which model a request means, who serves it, and whether it may: in the query of upgrades, in JSON of REST.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import {
  authorized, chatRequest, restRequest, route, sha256, tokens, upgradeRequest, useRig,
} from './harness/index.mjs';

const mini = 'gt-mini-2Vq8Ku5Zs3Oa';
const bearer = (token) => [['cf-aig-authorization', token]];

const routesOf = (policy) => [
  route({ name: policy, prefix: `/${policy}/`, headers: { 'x-realtime-byok-provider': 'azure-eu' }, cluster: 'azure' }),
  route({ name: policy, prefix: `/${policy}/` }),
];

const { forwarded, denied, gateway, recorder } = useRig({
  upstreams: () => ({ azure: recorder.port }),
  changes: {
    providers: {
      openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' } },
      'azure-eu': { kind: 'azure_openai', key: { value: 'azure-key' } },
      xai: { kind: 'xai', key: { value: 'xai-key' } },
    },
    callers: {
      'web-app': { tokens: [{ sha256: sha256(tokens.web) }] },
      'mini-app': { tokens: [{ value: mini }], models: ['gpt-realtime-mini*', 'tiny'] },
    },
    policies: {
      single: { provider: 'openai' },
      open: { providers: ['openai', 'azure-eu'] },
      aliased: { provider: 'openai', aliases: { fast: 'gpt-5-nano' } },
      voice: {
        providers: ['openai', 'azure-eu'],
        models: ['gpt-realtime*'],
        aliases: { voice: 'gpt-realtime-2025-08-28', eu: 'azure-eu/gpt-realtime', text: 'gpt-5' },
      },
    },
  },
  routes: ['single', 'open', 'aliased', 'voice'].flatMap(routesOf),
});

const upgrade = (policy, query, credentials = authorized) =>
  upgradeRequest({ target: `/${policy}/v1/realtime${query}`, headers: credentials });

const post = (policy, body, { credentials = authorized, type = 'application/json', method = 'POST' } = {}) =>
  restRequest({
    method,
    target: `/${policy}/v1/chat/completions`,
    headers: [...credentials, ...(type === null ? [] : [['content-type', type]])],
    body,
  });

/** The provider that a request was sent to: by key, by header, and by the route that Envoy took. */
async function assertServedBy(provider, { answer, seen }, { named = true } = {}) {
  const azure = provider === 'azure-eu';
  assert.deepEqual(seen.headerAll('api-key'), azure ? ['azure-key'] : []);
  assert.equal(seen.headerAll('authorization').length, azure ? 0 : 1);
  assert.deepEqual(seen.headerAll('x-realtime-byok-provider'), named ? [provider] : []);
  assert.equal((await gateway.envoy.accessLogOf(answer.case)).cluster, azure ? 'azure' : 'upstream');
}

describe('the model of an upgrade', () => {
  const cases = [
    // policy, query sent, query seen, provider
    ['voice', '?model=gpt-realtime', '?model=gpt-realtime', 'openai'],
    ['voice', '?model=gpt-realtime-mini', '?model=gpt-realtime-mini', 'openai'],
    ['voice', '?model=openai/gpt-realtime', '?model=gpt-realtime', 'openai'],
    ['voice', '?model=azure-eu/gpt-realtime', '?model=gpt-realtime', 'azure-eu'],
    ['voice', '?model=azure-eu%2Fgpt-realtime', '?model=gpt-realtime', 'azure-eu'],
    ['voice', '?model=azure%2deu/gpt%2Drealtime', '?model=gpt-realtime', 'azure-eu'],
    ['voice', '?a=%41&model=azure-eu/gpt-realtime&b=%2f+c&', '?a=%41&model=gpt-realtime&b=%2f+c&', 'azure-eu'],
    ['voice', '?model=voice', '?model=gpt-realtime-2025-08-28', 'openai'],
    ['voice', '?model=azure-eu/voice', '?model=gpt-realtime-2025-08-28', 'azure-eu'],
    ['voice', '?model=eu', '?model=gpt-realtime', 'azure-eu'],
    ['voice', '?model=gpt%2Drealtime', '?model=gpt%2Drealtime', 'openai'],
    ['voice', '?%6dodel=gpt-realtime', '?%6dodel=gpt-realtime', 'openai'],
    ['open', '', '', 'openai'],
    ['open', '?model=anything', '?model=anything', 'openai'],
    ['open', '?model=azure-eu/anything', '?model=anything', 'azure-eu'],
    ['open', '?model=azure-eu/a/b', '?model=a%2Fb', 'azure-eu'],
    ['open', '?model=xai/grok', '?model=xai/grok', 'openai'],
    ['open', '?model=ft:gpt-4o:org::id', '?model=ft:gpt-4o:org::id', 'openai'],
  ];
  for (const [policy, sent, want, provider] of cases) {
    test(`${policy} ${sent}`, async () => {
      const result = await forwarded(upgrade(policy, sent));
      assert.equal(result.seen.target, `/${policy}/v1/realtime${want}`);
      await assertServedBy(provider, result);
    });
  }
  test('the prefix of the only provider goes, and the provider is not named', async () => {
    const result = await forwarded(upgrade('single', '?model=openai/gpt-realtime'));
    assert.equal(result.seen.target, '/single/v1/realtime?model=gpt-realtime');
    await assertServedBy('openai', result, { named: false });
  });
  test('a client cannot name the provider', async () => {
    const request = upgrade('open', '?model=m', [...authorized, ['x-realtime-byok-provider', 'azure-eu']]);
    await assertServedBy('openai', await forwarded(request));
  });

  const refused = [
    ['voice', '', 'model_required'],
    ['voice', '?', 'model_required'],
    ['voice', '?model', 'model_required'],
    ['voice', '?model=', 'model_required'],
    ['voice', '?models=gpt-realtime', 'model_required'],
    ['voice', '?model=gpt-5', 'model_not_allowed'],
    ['voice', '?Model=gpt-realtime', 'malformed_request'],
    ['voice', '?Model=gpt-5', 'malformed_request'],
    ['voice', '?m%6Fdel=gpt-5', 'model_not_allowed'],
    ['voice', '?model=azure-eu/gpt-5', 'model_not_allowed'],
    ['voice', '?model=text', 'model_not_allowed'],
    ['voice', '?model=xgpt-realtime', 'model_not_allowed'],
    ['voice', '?model=GPT-realtime', 'model_not_allowed'],
    ['voice', '?model=xai/gpt-realtime', 'model_not_allowed'],
    ['voice', '?model=AZURE-EU/gpt-realtime', 'model_not_allowed'],
    ['voice', '?model=%20gpt-realtime', 'model_not_allowed'],
    ['voice', '?model=gpt-realtime&model=gpt-realtime', 'malformed_request'],
    ['voice', '?model=gpt-realtime&model=gpt-5', 'malformed_request'],
    ['voice', '?model=gpt-realtime&MODEL=gpt-5', 'malformed_request'],
    ['voice', '?model=gpt-realtime&%6Dodel=gpt-5', 'malformed_request'],
    ['voice', '?model=gpt-realtime&model', 'malformed_request'],
    ['voice', '?model=gpt-realtime%', 'malformed_request'],
    ['voice', '?model=gpt-realtime%z1', 'malformed_request'],
    ['voice', '?model=gpt-realtime%ff', 'malformed_request'],
    ['open', '?model=a&model=b', 'malformed_request'],
    ['single', '?model=a&model=b', 'malformed_request'],
  ];
  for (const [policy, query, code] of refused) {
    test(`${policy} ${query}: ${code}`, () => denied(upgrade(policy, query), code));
  }
});

describe('a caller with a rule of its own', () => {
  test('uses its models', async () => {
    await forwarded(upgrade('single', '?model=gpt-realtime-mini-2', bearer(mini)));
    await forwarded(upgrade('voice', '?model=gpt-realtime-mini', bearer(mini)));
    await forwarded(post('single', '{"model":"tiny"}', { credentials: bearer(mini) }));
  });
  test('and no others, nor one that only the policy or only the caller allows', async () => {
    await denied(upgrade('single', '?model=gpt-realtime', bearer(mini)), 'model_not_allowed');
    await denied(upgrade('voice', '?model=gpt-realtime', bearer(mini)), 'model_not_allowed');
    await denied(upgrade('voice', '?model=tiny', bearer(mini)), 'model_not_allowed');
    await denied(upgrade('single', '', bearer(mini)), 'model_required');
    await denied(post('single', '{"model":"large"}', { credentials: bearer(mini) }), 'model_not_allowed');
    await denied(post('single', '{}', { credentials: bearer(mini) }), 'model_required');
  });
});

describe('the model of a JSON body', () => {
  const around = (model) =>
    `\r\n{ "a" : 1.0e+5, "model"\t:\n ${model} , "\\u00e9":"\\u0041\xc3\xa9", "n":12345678901234567890,` +
    ' "model_x":"azure-eu/m", "deep":{"model":"azure-eu/m","l":[{"model":"eu"}]}, "s":"\\"model\\":\\"eu\\"" }\n';
  const cases = [
    ['voice', '"gpt-realtime"', '"gpt-realtime"', 'openai'],
    ['voice', '"voice"', '"gpt-realtime-2025-08-28"', 'openai'],
    ['voice', '"azure-eu/gpt-realtime"', '"gpt-realtime"', 'azure-eu'],
    ['voice', '"azure-eu\\/gpt-realtim\\u0065"', '"gpt-realtime"', 'azure-eu'],
    ['voice', '"eu"', '"gpt-realtime"', 'azure-eu'],
    ['voice', '"gpt\\u002drealtime"', '"gpt\\u002drealtime"', 'openai'],
    ['open', '"azure-eu/x\\"y\\\\z\xc3\xa9"', '"x\\"y\\\\z\xc3\xa9"', 'azure-eu'],
    ['open', '"some-model"', '"some-model"', 'openai'],
  ];
  for (const [policy, sent, want, provider] of cases) {
    test(`${policy} ${sent}`, async () => {
      const result = await forwarded(post(policy, Buffer.from(around(sent), 'latin1')));
      assert.equal(result.seen.body.toString('latin1'), around(want));
      assert.equal(result.seen.header('content-length'), String(result.seen.body.length));
      assert.deepEqual(result.seen.headerAll('transfer-encoding'), []);
      await assertServedBy(provider, result);
    });
  }
  test('an escaped key is the key', async () => {
    const { seen } = await forwarded(post('voice', '{"mod\\u0065l":"voice"}'));
    assert.equal(seen.body.toString(), '{"mod\\u0065l":"gpt-realtime-2025-08-28"}');
  });
  test('an alias of a policy with one provider', async () => {
    const { seen } = await forwarded(post('aliased', '{"model":"fast","messages":[]}'));
    assert.equal(seen.body.toString(), '{"model":"gpt-5-nano","messages":[]}');
  });
  for (const type of ['application/json; charset=utf-8', 'APPLICATION/JSON', 'application/vnd.api+json']) {
    test(`is read from ${type}`, async () => {
      const { seen } = await forwarded(post('voice', '{"model":"voice"}', { type }));
      assert.equal(seen.body.toString(), '{"model":"gpt-realtime-2025-08-28"}');
      await denied(post('voice', '{"model":"gpt-5"}', { type }), 'model_not_allowed');
    });
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', null]) {
    test(`is not read from ${type}, which a models rule refuses`, async () => {
      await denied(post('voice', '{"model":"gpt-5"}', { type }), 'malformed_request');
      const { seen } = await forwarded(post('open', '{"model":"azure-eu/m"}', { type }));
      assert.equal(seen.body.toString(), '{"model":"azure-eu/m"}');
    });
  }
  test('behind a content coding is not readable', () =>
    denied(
      post('voice', '{"model":"gpt-realtime"}', { credentials: [...authorized, ['content-encoding', 'gzip']] }),
      'malformed_request',
    ));
  for (const method of ['PUT', 'PATCH', 'GET', 'DELETE']) {
    test(`is read under a models rule whatever the method: ${method}`, () =>
      denied(post('voice', '{"model":"gpt-5"}', { method }), 'model_not_allowed'));
  }

  const refused = [
    ['voice', '{"model":"gpt-5"}', 'model_not_allowed'],
    ['voice', '{"model":"text"}', 'model_not_allowed'],
    ['voice', '{"mod\\u0065l":"gpt-5"}', 'model_not_allowed'],
    ['voice', '{}', 'model_required'],
    ['voice', '{"Model":"gpt-realtime"}', 'malformed_request'],
    ['voice', '{"deep":{"model":"gpt-realtime"}}', 'model_required'],
    ['voice', '{"model":"gpt-realtime","model":"gpt-5"}', 'malformed_request'],
    ['voice', '{"model":"gpt-realtime","mod\\u0065l":"gpt-realtime"}', 'malformed_request'],
    ['voice', '{"model":"gpt-realtime"', 'malformed_request'],
    ['voice', '{"model":"gpt-realtime"} {"model":"gpt-5"}', 'malformed_request'],
    ['voice', 'model=gpt-realtime', 'malformed_request'],
    ['voice', '\xef\xbb\xbf{"model":"gpt-realtime"}', 'malformed_request'],
    ['voice', '{"model":"gpt-realtime","x":"\xff"}', 'malformed_request'],
    ['voice', '{"model":"gpt-realtime\\ud800"}', 'malformed_request'],
    ['voice', '\x1f\x8b\x08\x00', 'malformed_request'],
    ['voice', ' ', 'malformed_request'],
    ['open', '{"model":"azure-eu/m","model":"m"}', 'malformed_request'],
    ['open', '{"model":', 'malformed_request'],
  ];
  for (const [policy, body, code] of refused) {
    test(`${policy} ${JSON.stringify(body)}: ${code}`, () => denied(post(policy, Buffer.from(body, 'latin1')), code));
  }
  for (const body of [
    '{"model":5}',
    '{"model":null}',
    '{"model":["gpt-realtime"]}',
    '["gpt-realtime"]',
    '"gpt-realtime"',
    'null',
    '{"model":""}',
  ]) {
    test(`voice ${body}: refused, as no model can be read`, async () => {
      const answer = await gateway.send(post('voice', body));
      assert.equal(answer.status, 400);
      assert.ok(['model_required', 'malformed_request'].includes(answer.json().error.code));
      assert.deepEqual(recorder.requestsOf(answer.case), []);
    });
  }
  test('a body deep as a well is no trap', async () => {
    const depth = 200_000;
    const body = `{"a":${'['.repeat(depth)}${']'.repeat(depth)},"model":"gpt-realtime"}`;
    const answer = await gateway.send(post('voice', body));
    assert.ok([200, 400].includes(answer.status), `answered ${answer.status}`);
    await forwarded(post('voice', '{"model":"gpt-realtime"}'));
  });
});

describe('requests without a model', () => {
  for (const method of ['GET', 'HEAD', 'DELETE']) {
    test(`${method} passes under a models rule`, () =>
      forwarded(restRequest({ method, target: '/voice/v1/models', headers: authorized })));
  }
  test('an empty POST passes under a models rule', async () => {
    await forwarded(post('voice', ''));
    await forwarded(
      restRequest({ method: 'POST', target: '/voice/v1/x', headers: [...authorized, ['content-length', '0']] }),
    );
    await forwarded(
      restRequest({
        method: 'POST',
        target: '/voice/v1/x',
        headers: [...authorized, ['transfer-encoding', 'chunked']],
        body: '0\r\n\r\n',
      }),
    );
  });
  test('JSON without a model goes to the first provider where no rule asks for one', async () => {
    await assertServedBy('openai', await forwarded(post('open', '{"input":"x"}')));
  });
  test('a form passes where no rule asks for a model, and not where one does', async () => {
    const form = '--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n';
    const type = 'multipart/form-data; boundary=b';
    const { seen } = await forwarded(post('open', form, { type }));
    assert.equal(seen.body.toString(), form);
    await denied(post('voice', form, { type }), 'malformed_request');
  });
});

test('chat requests of many clients at once do not mix', async () => {
  const rounds = Array.from({ length: 60 }, (_, index) => index);
  await Promise.all(
    rounds.map(async (index) => {
      const model = index % 2 ? `azure-eu/m${index}` : `m${index}`;
      const { seen } = await forwarded(
        chatRequest({ target: '/open/v1/chat/completions', headers: authorized, model, text: `t${index}` }),
      );
      const body = JSON.parse(seen.body);
      assert.equal(body.model, `m${index}`);
      assert.equal(body.messages[0].content, `t${index}`);
      assert.equal(seen.headerAll('api-key').length, index % 2);
    }),
  );
});
