// Minting: what goes on to the upstream, what comes back, and what is sealed.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { assertDenial, clientKey, providerKey, restRequest, route, tokens } from './harness/index.mjs';
import {
  answerTypes, assertNowhere, mint, mintBodies, mintedThrough, mintModels, mintPaths, mintRequest, near, now,
  sealingKey, secretIn, useMinting,
} from './harness/minting.mjs';
import { useOpenai } from './harness/openai.mjs';
import { typeErrors } from './harness/openai/types.mjs';
import { open } from './harness/sealing.mjs';

const names = Object.keys(mintPaths);
const routes = [
  route({ name: 'choice', prefix: '/choice/', rewrite: '/' }),
  route({ name: 'ruled', prefix: '/ruled/', rewrite: '/' }),
  route({ prefix: '/openai/', rewrite: '/' }),
  route({ prefix: '/deep/er/openai/', rewrite: '/' }),
  route({}),
];

const rig = useMinting({
  upstream: useOpenai({ keys: [providerKey, 'sk-second-6Bn1'] }),
  changes: {
    providers: {
      openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' } },
      second: { kind: 'openai', key: { value: 'sk-second-6Bn1' } },
    },
    policies: {
      default: { provider: 'openai', aliases: { voice: 'gpt-realtime-2' } },
      choice: { providers: ['openai', 'second'], aliases: { voice: 'second/gpt-realtime-2' } },
      ruled: { provider: 'openai', models: ['gpt-realtime*'], aliases: { cheap: 'gpt-4o-realtime-preview' } },
    },
  },
  routes,
});
const { recorder: openai, gateway, forwarded, denied } = rig;

/** Mints successfully: `{ answer, seen, secret, claims }`. */
const minted = (name, options) => mintedThrough(rig, name, options);

const sentBody = (seen) => JSON.parse(seen.body.toString('utf8'));
const refusedAtOnce = (code, name, options) => denied(mintRequest(name, options), code);

describe('every mint path', () => {
  for (const name of names) {
    for (const prefix of ['', '/openai', '/deep/er/openai']) {
      test(prefix + mintPaths[name], async () => {
        const { answer, seen, secret, claims } = await minted(name, { prefix });
        const upstreams = secretIn(seen.minted);
        assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
        assert.deepEqual(sentBody(seen), mintBodies[name]);
        assert.ok(!answer.body.includes(upstreams.value), "the upstream's secret is not passed on");
        near(secret.expires_at, upstreams.expires_at);
        assert.ok(secret.expires_at <= upstreams.expires_at, 'it outlives what it holds');
        assert.deepEqual(Object.keys(answer.json()), Object.keys(seen.minted), 'the shape is kept, in its order');
        const restored = answer.json();
        Object.assign(secretIn(restored), { value: upstreams.value, expires_at: upstreams.expires_at });
        assert.deepEqual(restored, seen.minted, 'nothing else has changed');
        near(claims.issued_at, now());
        assert.deepEqual(claims, {
          caller: 'web-app',
          provider: 'openai',
          policy: 'default',
          issued_at: claims.issued_at,
          expires_at: secret.expires_at,
          model: mintModels[name],
          upstream: upstreams.value,
        });
      });
    }
  }
  test('answers in the shapes of the official SDK', async () => {
    const checks = [];
    for (const name of names) {
      const { answer } = await minted(name);
      checks.push({ ...answerTypes[name], value: answer.json() });
    }
    assert.equal(await typeErrors(checks), '');
  });
  test('over HTTP/2', async () => {
    const { headers, body, target } = mintRequest();
    const answer = await gateway.sendHttp2({
      method: 'POST',
      target,
      body,
      headers: headers.filter(([name]) => name !== 'host'),
    });
    assert.equal(answer.status, 200);
    assert.equal(open(answer.json().value, sealingKey).caller, 'web-app');
  });
  test('two secrets of one request are not alike', async () => {
    const [one, other] = [await mint(gateway), await mint(gateway)];
    const common = [...one.value].findIndex((char, index) => char !== other.value[index]);
    // `ek_`, version and key id are 10 characters; the 24 bytes of nonce that follow are random.
    assert.ok(common < 20, `they begin alike for ${common} characters`);
  });
  test('a secret is short enough for a subprotocol, with all that a backend may say', async () => {
    const said = {
      user: 'u_'.padEnd(40, '1'),
      max_duration: '5m',
      max_tokens: 20000,
      max_cost_usd: 0.5,
      origin: 'https://app.example.com',
    };
    const { value } = await mint(gateway, 'current', { json: { gateway: said } });
    assert.ok(`openai-insecure-api-key.${value}`.length < 1024);
  });
});

describe('the gateway object', () => {
  const said = {
    user: 'u_123',
    max_duration: '5m',
    max_tokens: 20000,
    max_cost_usd: 0.5,
    origin: 'https://app.example.com',
    max_sessions: 1,
    lock: ['instructions', 'audio.output.voice'],
  };
  for (const name of names) {
    test(`is removed and sealed: ${name}`, async () => {
      const { seen, claims } = await minted(name, { json: { gateway: said } });
      assert.deepEqual(sentBody(seen), mintBodies[name]);
      assert.equal(seen.header('content-length'), String(seen.body.length));
      const { user, origin, max_duration_ms, max_tokens, max_cost_micro_usd, max_sessions, lock } = claims;
      assert.deepEqual(
        { user, origin, max_duration_ms, max_tokens, max_cost_micro_usd, max_sessions, lock },
        {
          user: 'u_123',
          origin: said.origin,
          max_duration_ms: 300_000,
          max_tokens: 20_000,
          max_cost_micro_usd: 500_000,
          max_sessions: 1,
          lock: 'instructions\naudio.output.voice',
        },
      );
    });
  }
  test('may say anything less, or nothing', async () => {
    for (const [field, value] of Object.entries(said)) {
      const { seen } = await minted('current', { json: { gateway: { [field]: value } } });
      assert.deepEqual(sentBody(seen), mintBodies.current);
    }
    const { claims } = await minted('current', { json: { gateway: {} } });
    assert.equal(claims.user, undefined);
  });
  test('is removed wherever it stands in the body', async () => {
    const { session } = mintBodies.current;
    for (const body of [
      { gateway: { user: 'u' }, session },
      { session, gateway: { user: 'u' } },
    ]) {
      const request = { ...mintRequest(), body: JSON.stringify(body, null, 2) };
      const { seen } = await forwarded(request);
      assert.deepEqual(sentBody(seen), { session });
    }
  });

  const wrong = [
    ['gateway', 'u_123'],
    ['gateway', []],
    ['gateway', null],
    ['gateway.limit', { limit: 1 }],
    ['gateway.user', { user: '' }],
    ['gateway.user', { user: 7 }],
    ['gateway.user', { user: 'x'.repeat(513) }],
    ['gateway.user', { user: 'a\nb' }],
    ['gateway.max_duration', { max_duration: 300 }],
    ['gateway.max_duration', { max_duration: '0s' }],
    ['gateway.max_duration', { max_duration: 'soon' }],
    ['gateway.max_duration', { max_duration: '-5m' }],
    ['gateway.max_tokens', { max_tokens: 0 }],
    ['gateway.max_tokens', { max_tokens: -1 }],
    ['gateway.max_tokens', { max_tokens: 1.5 }],
    ['gateway.max_tokens', { max_tokens: '20000' }],
    ['gateway.max_cost_usd', { max_cost_usd: 0 }],
    ['gateway.max_cost_usd', { max_cost_usd: -0.5 }],
    ['gateway.max_cost_usd', { max_cost_usd: '0.5' }],
    ['gateway.max_cost_usd', { max_cost_usd: 1e300 }],
    ['gateway.origin', { origin: 'app.example.com' }],
    ['gateway.origin', { origin: 'https://app.example.com/' }],
    ['gateway.origin', { origin: '*' }],
    ['gateway.origin', { origin: '' }],
    ['gateway.max_sessions', { max_sessions: 0 }],
    ['gateway.max_sessions', { max_sessions: 1.5 }],
    ['gateway.max_sessions', { max_sessions: '1' }],
    ['gateway.lock', { lock: 'instructions' }],
    ['gateway.lock', { lock: [] }],
    ['gateway.lock', { lock: [1] }],
    ['gateway.lock[0]', { lock: ['instruction'] }],
    ['gateway.lock[1]', { lock: ['tools', 'colour'] }],
  ];
  for (const [param, gatewayObject] of wrong) {
    test(`that is wrong is refused: ${JSON.stringify(gatewayObject).slice(0, 60)}`, async () => {
      const answer = await refusedAtOnce('invalid_gateway_object', 'current', { json: { gateway: gatewayObject } });
      assert.equal(answer.json().error.param, param);
    });
  }
  test('that says one thing twice is refused', async () => {
    const body = '{"gateway":{"max_tokens":1,"max_tokens":2},"session":{"type":"realtime","model":"gpt-realtime"}}';
    const answer = await denied({ ...mintRequest(), body }, 'invalid_gateway_object');
    assert.equal(answer.json().error.param, 'gateway.max_tokens');
  });
});

describe('how long a secret is good', () => {
  const brief = useMinting({ upstream: openai, secrets: { max_ttl: '2m' } });
  const briefly = async (name, json) => {
    const { answer, seen } = await brief.forwarded(mintRequest(name, { json }));
    return { seen, secret: secretIn(answer.json()) };
  };
  const after = (seconds) => ({ anchor: 'created_at', seconds });

  test('as long as asked for', async () => {
    for (const name of ['current', 'translations']) {
      const { seen, secret, claims } = await minted(name, { json: { expires_after: after(60) } });
      assert.deepEqual(sentBody(seen).expires_after, after(60));
      near(secret.expires_at, now() + 60);
      assert.equal(claims.expires_at, secret.expires_at);
    }
  });
  test('ten minutes if nothing is said', async () => near((await mint(gateway)).expires_at, now() + 600));
  test('no longer than max_ttl, which the upstream is told', async () => {
    for (const name of ['current', 'translations']) {
      for (const json of [{}, { expires_after: after(7200) }, { expires_after: { seconds: 121 } }]) {
        const { seen, secret } = await briefly(name, json);
        assert.equal(sentBody(seen).expires_after.seconds, 120);
        near(secret.expires_at, now() + 120);
      }
    }
  });
  test('in the legacy shapes as well', async () => {
    const { seen, secret } = await briefly('sessions', { client_secret: { expires_after: after(300) } });
    assert.equal(sentBody(seen).client_secret.expires_after.seconds, 120);
    near(secret.expires_at, now() + 120);
    const unsaid = await briefly('transcriptions', {});
    assert.deepEqual(sentBody(unsaid.seen), mintBodies.transcriptions, 'nothing is said for the backend');
    near(unsaid.secret.expires_at, now() + 120);
  });
  test('what is none is refused', async () => {
    for (const value of [
      60,
      'soon',
      { seconds: '60' },
      { seconds: 0 },
      { seconds: -1 },
      { anchor: 'now', seconds: 60 },
    ]) {
      const answer = await refusedAtOnce('malformed_request', 'current', { json: { expires_after: value } });
      assert.equal(answer.json().error.param, 'expires_after');
    }
  });
  test("what is out of the upstream's bounds is the upstream's to refuse", async () => {
    const answer = await gateway.send(mintRequest('current', { json: { expires_after: after(5) } }));
    assert.equal(answer.status, 400);
    assert.equal(answer.json().error.param, 'expires_after.seconds');
  });
});

describe('the model', () => {
  const session = (model) => ({ session: { type: 'realtime', ...(model === undefined ? {} : { model }) } });
  const transcription = (model) => ({
    session: { type: 'transcription', audio: { input: { transcription: { model } } } },
  });
  const sentModel = async (prefix, json, name = 'current') => {
    const { seen, claims } = await minted(name, { prefix, json });
    const body = sentBody(seen);
    const { model } = body.session ?? body;
    return { model: model ?? body.session?.audio.input.transcription.model, claims, seen };
  };

  for (const [prefix, asked, model, provider] of [
    ['', 'gpt-realtime', 'gpt-realtime', 'openai'],
    ['', 'openai/gpt-realtime', 'gpt-realtime', 'openai'],
    ['', 'voice', 'gpt-realtime-2', 'openai'],
    ['/choice', 'gpt-realtime', 'gpt-realtime', 'openai'],
    ['/choice', 'second/gpt-realtime', 'gpt-realtime', 'second'],
    ['/choice', 'voice', 'gpt-realtime-2', 'second'],
  ]) {
    test(`${prefix} ${asked}`, async () => {
      for (const [name, json] of [
        ['current', session(asked)],
        ['sessions', { model: asked }],
      ]) {
        const { model: sent, claims, seen } = await sentModel(prefix, json, name);
        assert.equal(sent, model);
        assert.equal(claims.model, model);
        assert.equal(claims.provider, provider);
        assert.equal(seen.header('x-realtime-byok-provider'), prefix === '' ? undefined : provider);
        const key = provider === 'second' ? 'sk-second-6Bn1' : providerKey;
        assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${key}`]);
      }
    });
  }
  test('of a transcription session', async () => {
    const { model, claims } = await sentModel('', transcription('openai/gpt-realtime-whisper'));
    assert.equal(model, 'gpt-realtime-whisper');
    assert.equal(claims.model, 'gpt-realtime-whisper');
  });
  test('in a body of any spelling, without another byte changed', async () => {
    const body =
      '{ "session" : {"type":"realtime","instructions":"caf\\u00e9 \u{1f600}" , "mod\\u0065l":"openai\\/gpt-realtime" } }';
    const { seen } = await forwarded({ ...mintRequest(), body });
    assert.equal(seen.body.toString('utf8'), body.replace('"openai\\/gpt-realtime"', '"gpt-realtime"'));
  });
  test('that no rule allows is refused', async () => {
    const ruled = { prefix: '/ruled' };
    await minted('current', { ...ruled, json: session('gpt-realtime-mini') });
    for (const [name, json] of [
      ['current', session('gpt-4o-realtime-preview')],
      ['current', session('cheap')],
      ['current', transcription('whisper-1')],
      ['sessions', { model: 'gpt-4o-realtime-preview' }],
      ['translations', { session: { model: 'gpt-4o' } }],
      ['transcriptions', { input_audio_transcription: { model: 'whisper-1' } }],
    ]) {
      await refusedAtOnce('model_not_allowed', name, { ...ruled, json });
    }
  });
  test('is required under a rule', async () => {
    await refusedAtOnce('model_required', 'current', { prefix: '/ruled', json: session() });
    const { claims } = await minted('current', { json: session() });
    assert.equal(claims.model, undefined);
  });
  test('given twice is refused', async () => {
    const inside = '{"session":{"type":"realtime","model":"gpt-realtime","model":"gpt-5"}}';
    for (const body of [inside, '{"session":{"model":"a"},"session":{"model":"b"}}']) {
      await denied({ ...mintRequest(), body }, 'malformed_request');
    }
    await refusedAtOnce('malformed_request', 'current', { json: { ...session('gpt-realtime'), model: 'gpt-5' } });
  });
});

describe('a request that cannot be read', () => {
  const typed = (contentType, extra = []) => ({
    ...mintRequest('current', {
      body: JSON.stringify(mintBodies.current),
      headers: [...contentType.map((one) => ['content-type', one]), ...extra],
    }),
  });
  for (const contentType of [
    [],
    ['text/plain'],
    ['application/sdp'],
    ['multipart/form-data; boundary=x'],
    ['application/jsonx'],
    ['application/x-www-form-urlencoded'],
  ]) {
    test(`content type ${contentType[0] ?? 'none'}`, () =>
      denied(typed(contentType), 'unsupported_content_type'));
  }
  test('with a parameter of its type it can', () => forwarded(typed(['application/json; charset=utf-8'])));
  for (const body of [
    '',
    '{',
    'null',
    '[]',
    '"text"',
    '{}{}',
    '{"session":[]}',
    '{"session":{"audio":1}}',
    '{"a":"\xff"}',
  ]) {
    test(`body ${JSON.stringify(body)}`, () =>
      denied({ ...typed(['application/json']), body: Buffer.from(body, 'latin1') }, 'malformed_request'));
  }
  test('body in a content coding', () =>
    denied(typed(['application/json'], [['content-encoding', 'gzip']]), 'malformed_request'));
});

describe('who may mint', () => {
  test('nobody without a token', () => {
    const request = restRequest({ target: mintPaths.current, json: mintBodies.current });
    return denied(request, 'missing_gateway_token');
  });
  test('nobody with a token that is not known', () =>
    refusedAtOnce('invalid_gateway_token', 'current', { token: tokens.unknown }));
  test("the client's own key beside the token goes nowhere", async () => {
    const headers = [
      ['cf-aig-authorization', tokens.web],
      ['authorization', `Bearer ${clientKey}`],
    ];
    const { seen } = await forwarded(restRequest({ target: mintPaths.current, headers, json: mintBodies.current }));
    assert.ok(!seen.text().includes(clientKey) && !seen.text().includes(tokens.web));
  });
  test('nobody with a client secret, sealed or not', async () => {
    const { secret, seen } = await minted();
    await refusedAtOnce('route_not_allowed', 'current', { token: secret.value });
    await refusedAtOnce('invalid_gateway_token', 'current', { token: secretIn(seen.minted).value });
  });
  test('nobody by a path that is spelled otherwise', async () => {
    for (const target of [
      '/v1/realtime/client_secrets/',
      '/v1/realtime/client%5Fsecrets',
      '//v1//realtime//client_secrets',
    ]) {
      const answer = await gateway.send({ ...mintRequest(), target });
      assertDenial(answer, 'route_not_allowed');
    }
  });
});

test('nothing of a secret, sealed or not, is in a log, a statistic or a page', async () => {
  const { secret } = await minted('current', { json: { gateway: { user: 'u_1' } } });
  await gateway.send(mintRequest('current', { headers: [['x-reply', 'twice']] }));
  await assertNowhere(gateway, [secret.value, ...openai.secrets.values(), providerKey, tokens.web, sealingKey]);
});
