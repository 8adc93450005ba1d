// What the upstream sees: exactly what it would see without the filter, less what must go, plus the key.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import {
  clientKey, exchange, nextCase, providerKey, requestBytes, restRequest, slot, tokens, upgradeRequest, useGateway,
  useRig,
} from './harness/index.mjs';

const token = tokens.web;
const authorized = [['cf-aig-authorization', `Bearer ${token}`]];
const target = '/v1/realtime?model=gpt-realtime';

const rig = useRig({ changes: { gateway: { strip_headers: ['X-Internal', 'x-secret-note'] } } });
const { forwarded, recorder } = rig;
const bare = useGateway(() => ({ filter: false, upstreams: { upstream: recorder.port } }));

/** Header lines that Envoy or the rig makes anew for every request. */
const perRequest = new Set(['x-request-id', 'x-case']);

const lines = (seen) => seen.headers.filter(([name]) => !perRequest.has(name));

/** What the same request looks like to the upstream when no filter stands in between. */
async function unfiltered(request) {
  const id = nextCase();
  const answer = await exchange(bare.port, requestBytes({ ...request, headers: [...request.headers, ['x-case', id]] }));
  answer.socket?.destroy();
  return recorder.requestsOf(id)[0];
}

const members = (seen) =>
  (seen.subprotocols() ?? '')
    .split(/[,|]/)
    .map((name) => name.trim())
    .filter(Boolean);

describe('nothing else changes', () => {
  const noise = [
    ['user-agent', 'tester/1.0 (x; y)'],
    ['X-Mixed-Case', 'Value  with   spaces'],
    ['x-bytes', 'caf\xe9 \xff\x80 \xc3\xa9'],
    ['accept', 'a, b'],
    ['x-list', 'one'],
    ['accept', 'c ,d'],
    ['x-list', 'two, three'],
    ['x-empty', ''],
    ['x-quotes', '"a,b"; c=\'d\''],
    ['openai-beta', 'assistants=v2,  responses=v1'],
    ['x-tab', 'a\tb'],
  ];
  const cases = {
    'an upgrade': upgradeRequest({ headers: [...authorized, ...noise] }),
    'an upgrade with subprotocols on several lines': upgradeRequest({
      headers: [...noise, ...authorized],
      protocols: ['realtime ,x', '', 'openai-agents-sdk.0.20.0'],
    }),
    GET: restRequest({ target: '/v1/models?limit=1', headers: [...noise, ...authorized] }),
    POST: restRequest({ headers: [...noise, ...authorized], json: { model: 'gpt-5', messages: [] } }),
    'a target full of oddities': restRequest({
      target: "/v1/a%2Bb//c,p=1/%2e%2Ex/?x=%41&y&&z==1&keys=1&my_key=2&Model=a%2Bb+c&'()*!~:@/?",
      headers: authorized,
    }),
  };
  for (const [name, request] of Object.entries(cases)) {
    test(name, async () => {
      const want = await unfiltered(request);
      const { seen } = await forwarded(request);
      assert.equal(seen.target, want.target);
      assert.equal(seen.method, want.method);
      assert.deepEqual(seen.body, want.body);
      const kept = lines(want).filter(([header]) => header !== 'cf-aig-authorization');
      assert.deepEqual(
        lines(seen).filter(([header]) => header !== 'authorization'),
        kept,
      );
      assert.deepEqual(seen.headerAll('authorization'), [`Bearer ${providerKey}`]);
    });
  }
});

describe('subprotocols that are removed', () => {
  const removed = [
    slot,
    `CF-AIG-AUTHORIZATION.${token}`,
    `cf-aig-authorization-base64url.${Buffer.from(token).toString('base64url')}`,
    `openai-insecure-api-key.${clientKey}`,
    `xai-client-secret.${clientKey}`,
    'openai-organization.org-client',
    'OpenAI-Organization.org-client',
    'openai-project.proj_client',
    'openai-beta.realtime-v1',
    'OPENAI-BETA.anything',
  ];
  for (const name of removed) {
    test(name, async () => {
      const { seen } = await forwarded(
        upgradeRequest({ headers: authorized, protocols: [`realtime, ${name} ,b`, 'c,d'] }),
      );
      assert.deepEqual(members(seen), ['realtime', 'b', 'c', 'd']);
    });
  }
  test('all at once, with the header gone when nothing is left', async () => {
    const distinct = removed.filter((name) => name !== `CF-AIG-AUTHORIZATION.${token}`);
    const { seen } = await forwarded(upgradeRequest({ protocols: [distinct.join(', ')] }));
    assert.deepEqual(seen.headerAll('sec-websocket-protocol'), []);
  });
  test('the offer of the support ticket', async () => {
    const { seen } = await forwarded(upgradeRequest({ protocols: [`realtime, ${slot}, openai-beta.realtime-v1`] }));
    assert.equal(seen.subprotocols(), 'realtime');
  });
  test('names that only look alike stay', async () => {
    const alike = [
      'openai-betas',
      'openai-beta',
      'cf-aig-authorization',
      'x-openai-beta.v1',
      'openai-agents-sdk.0.20.0',
    ];
    const { seen } = await forwarded(upgradeRequest({ headers: authorized, protocols: [alike.join(', ')] }));
    assert.deepEqual(members(seen), alike);
  });
});

describe('headers that are removed', () => {
  const removed = [
    ['cookie', 'session=1'],
    ['Cookie', 'a=1; b=2'],
    ['openai-organization', 'org-client'],
    ['OpenAI-Project', 'proj_client'],
    ['api-key', clientKey],
    ['x-api-key', clientKey],
    ['x-goog-api-key', clientKey],
    ['authorization', `Bearer ${clientKey}`],
    ['authorization', 'Basic dXNlcjpwYXNz'],
    ['x-realtime-byok-provider', 'azure-eu'],
    ['x-internal', '1'],
    ['X-Secret-Note', '1'],
    ['openai-beta', 'realtime=v1'],
    ['OpenAI-Beta', ' Realtime=v1 '],
  ];
  for (const [name, value] of removed) {
    test(`${name}: ${value}`, async () => {
      const header = name.toLowerCase();
      for (const build of [upgradeRequest, restRequest]) {
        const { seen } = await forwarded(
          build({ headers: [[name, value], ...authorized, [name, value], ['x-kept', '1']] }),
        );
        assert.deepEqual(seen.headerAll(header), header === 'authorization' ? [`Bearer ${providerKey}`] : []);
        assert.equal(seen.header('x-kept'), '1');
      }
    });
  }

  const beta = [
    [['realtime=v1, assistants=v2'], ['assistants=v2']],
    [['assistants=v2,realtime=v1,responses=v1'], ['assistants=v2', 'responses=v1']],
    [['assistants=v2', 'realtime=v1'], ['assistants=v2']],
    [['realtime=v10, realtime=v2'], ['realtime=v10', 'realtime=v2']],
  ];
  for (const [sent, want] of beta) {
    test(`openai-beta ${sent.join(' | ')}`, async () => {
      const { seen } = await forwarded(
        upgradeRequest({ headers: [...authorized, ...sent.map((line) => ['openai-beta', line])] }),
      );
      assert.deepEqual(
        seen.headerAll('openai-beta').flatMap((line) => line.split(/, ?/)),
        want,
      );
    });
  }
});

describe('query parameters that are removed', () => {
  const cases = [
    ['?key=1&model=m', '?model=m'],
    ['?model=m&api_key=1', '?model=m'],
    ['?a=%20&api-key=1&b', '?a=%20&b'],
    ['?access_token=1&model=m&key=2', '?model=m'],
    ['?API_KEY=1&model=m&Key=2&ACCESS_token', '?model=m'],
    ['?%6bey=1&model=m&api%5Fkey=2&%61pi%2Dkey=3', '?model=m'],
    ['?key&model=m&key=&key==', '?model=m'],
    ['?keyx=1&xkey=2&model=m', '?keyx=1&xkey=2&model=m'],
    ['?model=m&x=key=1', '?model=m&x=key=1'],
    ['?key=1', ''],
  ];
  for (const [sent, want] of cases) {
    test(sent, async () => {
      for (const path of ['/v1/realtime', '/v1/models']) {
        const build = path === '/v1/realtime' ? upgradeRequest : restRequest;
        const { seen } = await forwarded(build({ target: path + sent, headers: authorized }));
        assert.equal(seen.target, path + want);
      }
    });
  }
});

test('a missing sec-websocket-key stays missing on HTTP/1.1', async () => {
  const { seen } = await forwarded(upgradeRequest({ headers: authorized, key: null }), { status: 400 });
  assert.deepEqual(seen.headerAll('sec-websocket-key'), []);
});

test('a single provider is not named to the upstream', async () => {
  const { seen } = await forwarded(upgradeRequest({ target, headers: authorized }));
  assert.deepEqual(seen.headerAll('x-realtime-byok-provider'), []);
});
