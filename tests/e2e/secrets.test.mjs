// No credential, the clients' or the providers', shows anywhere: a run with everything on, then a search.
import assert from 'node:assert/strict';
import test, { before, describe } from 'node:test';
import {
  basicConfiguration, chatRequest, clientKey, filterComponent, restRequest, route, sha256, tokens, upgradeRequest, useRecorder,
  useRig,
} from './harness/index.mjs';

const keys = {
  KEY_OPENAI: 'sk-openai-0Ae3kVq6',
  KEY_AZURE: 'azure-1Bf4lWr7',
  KEY_XAI: 'xai-2Cg5mXs8',
  KEY_GEMINI: 'AIza-3Dh6nYt9',
  KEY_ANTHROPIC: 'sk-ant-4Ei7oZu0',
  KEY_CUSTOM: 'custom-5Fj8pAv1',
  KEY_POOL_A: 'sk-pool-6Gk9qBw2',
  KEY_POOL_B: 'sk-pool-7Hl0rCx3',
};
const expired = 'gt-expired-8Im1sDy4';
const future = 'gt-future-9Jn2tEz5';
const base64url = (text) => Buffer.from(text).toString('base64url');
const secrets = [
  ...Object.values(keys),
  ...Object.values(tokens),
  expired,
  future,
  clientKey,
  ...Object.values(tokens).map(base64url),
  base64url(clientKey),
];

const kinds = {
  openai: { kind: 'openai', key: { env: 'KEY_OPENAI' }, organization: 'org-ours' },
  azure: { kind: 'azure_openai', key: { env: 'KEY_AZURE' } },
  xai: { kind: 'xai', key: { env: 'KEY_XAI' } },
  gemini: { kind: 'gemini', key: { env: 'KEY_GEMINI' } },
  anthropic: { kind: 'anthropic', key: { env: 'KEY_ANTHROPIC' } },
  // Not with `query`: what is in the path, Envoy's access log shows.
  custom: { kind: 'custom', key: { env: 'KEY_CUSTOM' }, header: { name: 'x-custom-key', prefix: 'Key ' } },
  pool: {
    kind: 'openai',
    keys: [
      { name: 'a', key: { env: 'KEY_POOL_A' } },
      { name: 'b', key: { env: 'KEY_POOL_B' } },
    ],
  },
};
const configuration = basicConfiguration({
  providers: kinds,
  callers: {
    'web-app': { tokens: [{ sha256: sha256(tokens.web) }] },
    other: { tokens: [{ env: 'OTHER_TOKEN' }], policies: ['openai'], origins: ['https://app.example.com'] },
    old: { tokens: [{ sha256: sha256(expired), not_after: '2020-01-01T00:00:00Z' }] },
    new: { tokens: [{ sha256: sha256(future), not_before: '2100-01-01T00:00:00Z' }] },
  },
  policies: {
    ...Object.fromEntries(Object.keys(kinds).map((name) => [name, { provider: name, aliases: { a: 'b' } }])),
    many: { providers: Object.keys(kinds), models: ['gpt-*'] },
  },
});
const routes = [...Object.keys(kinds), 'many', 'nowhere'].map((name) => route({ name, prefix: `/${name}/` }));
const env = { ...keys, OTHER_TOKEN: tokens.other };

const shared = { upstream: useRecorder(), env, configuration, routes };
const { gateway: quiet } = useRig({ ...shared, logLevel: 'info', componentLogLevel: `${filterComponent}:trace` });
const { gateway: loud } = useRig({ ...shared, logLevel: 'trace' });

/** Requests that bring credentials into every place and every outcome. */
function requests() {
  const gatewayToken = [['cf-aig-authorization', `Bearer ${tokens.web}`]];
  const own = [
    ['authorization', `Bearer ${clientKey}`],
    ['api-key', clientKey],
    ['cookie', `key=${clientKey}`],
  ];
  const slots = [
    { headers: [...gatewayToken, ...own] },
    { headers: [['authorization', `Bearer ${tokens.web}`]] },
    { headers: [['x-api-key', tokens.web]] },
    { headers: [['cf-aig-authorization', tokens.unknown], ...own] },
    {
      headers: [
        ['cf-aig-authorization', tokens.web],
        ['cf-aig-authorization', tokens.unknown],
      ],
    },
    { headers: [['cf-aig-authorization', `${tokens.web}\t${clientKey}`]] },
    { headers: [['cf-aig-authorization', expired]] },
    { headers: [['cf-aig-authorization', future]] },
    {
      headers: [
        ['cf-aig-authorization', tokens.other],
        ['origin', 'https://evil.example.com'],
      ],
    },
    { headers: [...gatewayToken, ['x-reply', 'refuse 401']] },
    { headers: [...gatewayToken, ['x-reply', 'refuse 403']] },
  ];
  const protocols = [
    [`realtime, cf-aig-authorization.${tokens.web}, openai-insecure-api-key.${clientKey}`],
    [`cf-aig-authorization-base64url.${base64url(tokens.web)}`],
    [`cf-aig-authorization-base64url.${base64url(clientKey)}`],
    [`cf-aig-authorization.${tokens.web}, cf-aig-authorization.${tokens.web}`],
    [`openai-insecure-api-key.${clientKey}`],
    [`xai-client-secret.${tokens.other}`],
    [`cf-aig-authorization.${tokens.web} ${clientKey}`],
  ];
  const targets = [
    ...Object.keys(kinds).map((name) => `/${name}/v1?model=m`),
    `/openai/v1?model=a&api_key=${clientKey}&key=${tokens.web}`,
    `/openai/v1?%61pi_key=${clientKey}&access_token=${tokens.web}`,
    `/nowhere/v1?key=${clientKey}`,
    `/many/v1?model=gpt-5&key=${clientKey}&model=gpt-5`,
    '/many/v1?model=azure/gpt-5',
  ];
  return targets.flatMap((target) => [
    ...slots.flatMap(({ headers }) => [
      upgradeRequest({ target, headers }),
      chatRequest({ target, headers, model: 'a' }),
      restRequest({ target, headers, body: `{"model":"${clientKey}`, method: 'POST' }),
    ]),
    ...protocols.map((lines) => upgradeRequest({ target, protocols: lines })),
  ]);
}

const found = (text) => secrets.filter((secret) => text.includes(secret));

for (const [name, gateway] of Object.entries({ quiet, loud })) {
  describe(name === 'quiet' ? 'Envoy at info, the filter at trace' : 'all of Envoy at trace', () => {
    const answers = [];
    before(async () => {
      const all = requests();
      for (let start = 0; start < all.length; start += 16) {
        answers.push(
          ...(await Promise.all(
            all.slice(start, start + 16).map(async (request) => {
              const answer = await gateway.send(request);
              answer.socket?.destroy();
              return { request, answer };
            }),
          )),
        );
      }
      for (const headers of [[['cf-aig-authorization', tokens.web]], [['authorization', `Bearer ${clientKey}`]]]) {
        const answer = await gateway.sendHttp2({ connect: 'websocket', target: '/openai/v1', headers });
        answer.close?.();
      }
      await gateway.envoy.accessLogOf(answers.at(-1).answer.case);
    });

    test('every outcome was met', () => {
      const outcomes = new Set(
        answers.map(({ answer }) =>
          answer.status === 101 || answer.status === 200 ? answer.status : answer.json().error.code,
        ),
      );
      for (const outcome of [
        101,
        200,
        'invalid_gateway_token',
        'expired_gateway_token',
        'conflicting_credentials',
        'malformed_credentials',
        'malformed_request',
        'model_not_allowed',
        'origin_not_allowed',
        'route_not_allowed',
        'no_policy',
        'provider_key_rejected',
      ])
        assert.ok(outcomes.has(outcome), String(outcome));
    });
    test('answers', () => {
      for (const { request, answer } of answers) {
        const headers = answer.headers.filter(([header]) => header.toLowerCase() !== 'sec-websocket-protocol');
        assert.deepEqual(found(JSON.stringify(headers) + answer.body), [], request.target);
        // The selected subprotocol must be one of the client's, so it may be its credential; never the provider's.
        for (const key of Object.values(keys)) assert.ok(!JSON.stringify(answer.headers).includes(key));
      }
    });
    test('the access log', () => {
      const log = gateway.envoy.accessLog();
      assert.ok(log.length > answers.length);
      for (const entry of log) assert.deepEqual(found(JSON.stringify(entry)), [], `${entry.path} ${entry.details}`);
    });
    test('what Envoy logs', () => {
      for (const { level, component, text } of logLines(gateway.envoy.log())) {
        // At debug and trace Envoy's own connection manager, codec and router print every header of every request,
        // whatever filters are there. That is theirs to answer for; nothing else may, the filter least of all.
        if (['http', 'router'].includes(component) && ['debug', 'trace'].includes(level)) continue;
        assert.deepEqual(found(text), [], `[${level}][${component}] shows a credential`);
      }
    });
    test('the admin pages', async () => {
      for (const page of [
        '/stats',
        '/stats/prometheus',
        '/config_dump?include_eds',
        '/clusters',
        '/listeners?format=json',
        '/server_info',
        '/runtime',
      ]) {
        const text = await (await gateway.envoy.admin(page)).text();
        assert.ok(text.length > 2, page);
        assert.deepEqual(found(text), [], page);
      }
    });
  });
}

test('the search would find what is there', () => {
  const lines = [...logLines(loud.envoy.log())];
  assert.ok(
    lines.some(({ component, text }) => component === 'http' && found(text).length > 0),
    'Envoy at trace prints headers',
  );
  assert.ok(lines.some(({ component }) => component === filterComponent));
});

/** Envoy's log by entry; an entry may span lines. */
function* logLines(log) {
  const start = /^\[\d{4}-[^\]]+\]\[\d+\]\[(\w+)\]\[(\w+)\]/;
  let entry = null;
  for (const line of log.split('\n')) {
    const match = start.exec(line);
    if (match) {
      if (entry) yield entry;
      entry = { level: match[1], component: match[2], text: line };
    } else if (entry) {
      entry.text += `\n${line}`;
    }
  }
  if (entry) yield entry;
}
