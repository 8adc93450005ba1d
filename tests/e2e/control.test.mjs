// The control API: who may ask, what it answers, and what becomes of a session that is told to stop.
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { delayMs, sha256, tokens, until, validateGateway } from './harness/index.mjs';
import { bodyOf, control, controlRequest, controlToken, operator } from './harness/control.mjs';
import { assertNowhere, mint, mintConfiguration, mintEnv, sealingKey } from './harness/minting.mjs';
import { seal } from './harness/sealing.mjs';
import { assertEnded, prices, responseDone, sessionCreated, useSessions } from './harness/sessions.mjs';
import { closePayload, frame, opcodes } from './harness/websocket.mjs';

const callers = ['apart', 'filters', 'newest', 'stopped', 'all', 'users', 'silent', 'used', 'half', 'paged'];
const usedLimits = { concurrent_sessions: 5, sessions_per_minute: 50, tokens_per_day: 10_000, cost_usd_per_day: 2 };
const tokenOf = (caller) => `gt-of-${caller}-2Pv6`;
const configuration = mintConfiguration({
  secrets: { mode: 'local' },
  prices,
  control,
  callers: Object.fromEntries(
    ['web-app', ...callers].map((name) => [
      name,
      {
        tokens: [{ sha256: sha256(name === 'web-app' ? tokens.web : tokenOf(name)) }],
        ...(name === 'used' ? { limits: usedLimits } : {}),
      },
    ]),
  ),
});
const { gateway, open } = useSessions({ concurrency: 2, env: mintEnv, configuration });
const { ask, page, sessions, session, stop, stopAll, usage, closed, listed } = operator(gateway);

const unknownId = `rb_${'0'.repeat(32)}`;

/** Opens a session of a caller's that is listed: `{ …session, id }`. */
async function opened(caller, request = {}) {
  const before = new Set((await sessions(`?caller=${caller}`)).map(({ id }) => id));
  const ends = await open({ token: tokenOf(caller), ...request });
  const id = await until('the session to be listed', async () =>
    (await sessions(`?caller=${caller}`)).map((record) => record.id).find((one) => !before.has(one)));
  return { ...ends, id };
}

/** The upstream says something every 50 ms until the client is told the end; returns how long that took. */
async function toldWithin({ client, upstream }, milliseconds) {
  const started = Date.now();
  const talking = setInterval(() => upstream.send(opcodes.ping, ''), 50);
  await assertEnded(client, 4410, 'session_stopped').finally(() => clearInterval(talking));
  const took = Date.now() - started;
  assert.ok(took < milliseconds + delayMs, `it took ${took} ms`);
}

const stoppedByGateway = { by: 'gateway', code: 4410, reason: 'session_stopped' };

function assertError(answer, status, type, code) {
  assert.equal(answer.status, status, `answered ${answer.status}: ${answer.body}`);
  const { error, ...others } = bodyOf(answer);
  assert.deepEqual(others, {});
  assert.deepEqual(Object.keys(error), ['message', 'type', 'param', 'code']);
  assert.deepEqual([error.type, error.param, error.code], [type, null, code]);
  assert.match(error.message, /\S/);
}

describe('the operator’s token', () => {
  const offers = {
    'no token': { token: null },
    'another token': { token: tokens.unknown },
    "a caller's": { token: tokens.web },
    'a part of it': { token: controlToken.slice(0, -1) },
    'more than it': { token: `${controlToken}A` },
    'an empty one': { token: '' },
    'its digest': { token: control.token.sha256 },
    'another scheme': { token: null, headers: [['authorization', `Basic ${controlToken}`]] },
    'no scheme': { token: null, headers: [['authorization', controlToken]] },
    "the callers' header": { token: null, headers: [['cf-aig-authorization', `Bearer ${controlToken}`]] },
    'an API key’s header': { token: null, headers: [['api-key', controlToken]] },
  };
  for (const [name, offer] of Object.entries(offers)) {
    test(`is not ${name}: 401, whatever is asked`, async () => {
      for (const [method, path] of [['GET', '/sessions'], ['DELETE', '/sessions?caller=web-app'], ['POST', '/nothing']]) {
        const answer = await gateway.send(controlRequest(method, path, offer));
        assertError(answer, 401, 'authentication_error', 'invalid_control_token');
        assert.deepEqual(answer.headerAll('www-authenticate'), ['Bearer realm="realtime-byok"']);
      }
    });
  }
  test('does not open anything else', async () => {
    const answer = await gateway.send({ ...controlRequest('GET', ''), target: '/v1/models' });
    assertError(answer, 401, 'authentication_error', 'invalid_gateway_token');
  });
  test('is taken in any case of its scheme, over HTTP/2 too', async () => {
    const headers = [['authorization', `bEARER ${controlToken}`]];
    assert.equal((await gateway.send(controlRequest('GET', '/sessions', { token: null, headers }))).status, 200);
    assert.equal((await gateway.sendHttp2({ target: `${control.path}/sessions`, headers })).status, 200);
  });
  test("must not be a caller's", async () => {
    const shared = { ...configuration, control: { ...control, token: { sha256: sha256(tokens.web) } } };
    const { ok, output } = await validateGateway({ configuration: shared, env: mintEnv, upstreams: { upstream: 1 } });
    assert.equal(ok, false);
    assert.match(output, /control\.token: caller "web-app" has this token; the control API needs one of its own/);
  });
});

describe('what cannot be answered', () => {
  const invalid = 'invalid_request_error';
  const requests = [
    ['GET', `/sessions/${unknownId}`, 404, 'session_not_found'],
    ['DELETE', `/sessions/${unknownId}`, 404, 'session_not_found'],
    ['GET', '/sessions/rb_1', 404, 'session_not_found'],
    ['GET', '/sessions?status=stopping', 400, 'malformed_request'],
    ['GET', '/sessions?caller=a&caller=b', 400, 'malformed_request'],
    ['GET', '/sessions?caller=', 400, 'malformed_request'],
    ['GET', '/sessions?limit=0', 400, 'malformed_request'],
    ['GET', '/sessions?limit=101', 400, 'malformed_request'],
    ['GET', '/sessions?limit=ten', 400, 'malformed_request'],
    ['GET', '/sessions?limit=5&limit=5', 400, 'malformed_request'],
    ['GET', '/sessions?after=rb_1', 400, 'malformed_request'],
    ['GET', `/sessions?after=${unknownId}`, 400, 'malformed_request'],
    ['DELETE', '/sessions?caller=a&limit=5', 400, 'malformed_request'],
    ['GET', '/usage?caller=a', 400, 'malformed_request'],
    ['DELETE', '/sessions', 400, 'malformed_request'],
    ['DELETE', '/sessions?status=open', 400, 'malformed_request'],
    ['DELETE', '/sessions?caller=a&status=open', 400, 'malformed_request'],
    ['POST', '/sessions', 405, 'method_not_allowed', 'GET, DELETE'],
    ['PUT', `/sessions/${unknownId}`, 405, 'method_not_allowed', 'GET, DELETE'],
    ['DELETE', '/usage', 405, 'method_not_allowed', 'GET'],
    ['GET', '', 404, 'not_found'],
    ['GET', '/sessions/', 404, 'session_not_found'],
    ['GET', '/sessions/x/y', 404, 'not_found'],
    ['GET', '/%73essions', 404, 'not_found'],
  ];
  for (const [method, path, status, code, allow] of requests) {
    test(`${method} ${path}: ${status}`, async () => {
      const answer = await ask(method, path);
      assertError(answer, status, invalid, code);
      assert.deepEqual(answer.headerAll('allow'), allow === undefined ? [] : [allow]);
    });
  }
  test('does not begin in the middle of a segment', async () => {
    const answer = await ask('GET', 'x/sessions');
    assertError(answer, 401, 'authentication_error', 'invalid_gateway_token');
  });
});

describe('a record', () => {
  test('grows with its session, and stays as it was at the end', async () => {
    const { client, upstream, id } = await opened('apart');
    const [status, first] = await session(id);
    assert.equal(status, 200);
    const { started_at: startedAt, duration_ms: duration, idle_ms: idle, usage: unused, ...rest } = first;
    assert.ok(Math.abs(Date.now() - Date.parse(startedAt)) < 5_000);
    assert.ok(duration < 5_000 && idle <= duration);
    assert.equal(unused.total_tokens, 0);
    assert.deepEqual(rest, {
      id, kind: 'websocket', status: 'open', upstream_id: null, caller: 'apart', user: null, policy: 'default',
      provider: 'openai', model: 'gpt-realtime', cost_usd: 0, frames: { client: 0, upstream: 0 },
      bytes: { client: 0, upstream: 0 }, close: null,
    });

    const said = [sessionCreated(), responseDone()].map((event) => frame(opcodes.text, JSON.stringify(event)));
    upstream.write(Buffer.concat(said));
    const asked = frame(opcodes.text, '{"type":"response.create"}', { mask: true });
    client.write(asked);
    const grown = await until('the record to grow', async () => {
      const [, record] = await session(id);
      return record.usage.responses === 1 && record.frames.client === 1 && record;
    });
    assert.deepEqual(grown.usage, {
      responses: 1, input_tokens: 1000, output_tokens: 500, total_tokens: 1500,
      input: { text: 200, audio: 800, image: 0, cached_text: 100, cached_audio: 200, cached_image: 0 },
      output: { text: 100, audio: 400 },
      transcription: { tokens: 0, seconds: 0 },
    });
    assert.equal(grown.cost_usd, 0.04692);
    assert.deepEqual([grown.upstream_id, grown.started_at], ['sess_1', startedAt]);
    assert.deepEqual(grown.frames, { client: 1, upstream: 2 });
    assert.deepEqual(grown.bytes, { client: asked.length, upstream: Buffer.concat(said).length });
    await sleep(1_200);
    const [, idling] = await session(id);
    assert.ok(idling.duration_ms >= grown.duration_ms + 1_100, 'it lasts');
    assert.ok(idling.idle_ms >= 1_000 && idling.idle_ms < idling.duration_ms, `idle for ${idling.idle_ms} ms`);

    client.send(opcodes.close, closePayload(1000, 'enough'));
    await upstream.frameCame(opcodes.close);
    upstream.destroy();
    const last = await closed(id);
    assert.deepEqual(last.close, { by: 'client', code: 1000, reason: 'enough' });
    assert.deepEqual([last.usage, last.cost_usd], [grown.usage, grown.cost_usd]);
    await sleep(100);
    assert.deepEqual((await session(id))[1], last, 'time goes on without it');
  });
  test('of a session that one side has closed says so only once it is over', async () => {
    const { client, upstream, id } = await opened('half');
    client.send(opcodes.close, closePayload(1000));
    await upstream.frameCame(opcodes.close);
    await sleep(1_300);
    assert.equal((await session(id))[1].status, 'open');
    client.destroy();
    assert.deepEqual((await closed(id)).close, { by: 'client', code: 1000, reason: '' });
  });
});

describe('the list', () => {
  test('is filtered by caller, user and status, each and together', async () => {
    const now = Math.floor(Date.now() / 1000);
    const secretOf = (user) =>
      seal(
        {
          caller: 'filters', provider: 'openai', policy: 'default', issued_at: now, expires_at: now + 600,
          model: 'gpt-realtime', user, upstream: 'ek_upstream',
        },
        sealingKey,
      );
    const local = await mint(gateway, 'current', { token: tokenOf('filters'), json: { gateway: { user: 'u of/local+é' } } });
    const plain = await opened('filters');
    const minted = await opened('filters', { token: local.value });
    const sealed = await opened('filters', { token: secretOf('u_sealed') });
    const ended = await opened('filters', { token: secretOf('u_sealed') });
    ended.client.destroy();
    await closed(ended.id);

    const ids = async (query) => (await sessions(query)).map(({ id }) => id);
    const all = [ended, sealed, minted, plain].map(({ id }) => id);
    const user = encodeURIComponent('u of/local+é');
    assert.deepEqual(await ids('?caller=filters'), all, 'newest first');
    assert.deepEqual(await ids('?caller=filters&status=open'), all.slice(1));
    assert.deepEqual(await ids('?caller=filters&status=closed'), [ended.id]);
    assert.deepEqual(await ids(`?user=${user}`), [minted.id]);
    assert.deepEqual(await ids('?user=u_sealed'), [ended.id, sealed.id]);
    assert.deepEqual(await ids('?user=u_sealed&status=open&caller=filters'), [sealed.id]);
    assert.deepEqual(await ids('?user=u_sealed&caller=web-app'), []);
    assert.deepEqual(await ids('?caller=nobody'), []);
    assert.equal((await session(minted.id))[1].user, 'u of/local+é');
    assert.equal((await session(plain.id))[1].user, null);
    for (const { client } of [plain, minted, sealed]) client.destroy();
  });
  test('is newest first, with open and ended sessions among each other', async () => {
    const opens = [];
    for (let count = 0; count < 6; count += 1) {
      opens.push(await opened('newest'));
      await sleep(5);
    }
    for (const { client } of [opens[4], opens[1]]) client.destroy();
    await listed(2, '?caller=newest&status=closed');
    const records = await sessions('?caller=newest');
    assert.deepEqual(records.map(({ id }) => id), opens.map(({ id }) => id).reverse());
    for (const { client } of opens) client.destroy();
  });
});

describe('a stop', () => {
  test('by id is told to the client within 2 s, as an event and a Close frame, and then is done', async () => {
    const ends = await opened('stopped');
    const bystander = await opened('stopped');
    const [status, record] = await stop(ends.id);
    assert.deepEqual([status, record.id, record.status], [202, ends.id, 'stopping']);
    assert.equal((await sessions('?caller=stopped&status=open')).find(({ id }) => id === ends.id).status, 'stopping');
    await toldWithin(ends, 2_000);
    const last = await closed(ends.id);
    assert.deepEqual(last.close, stoppedByGateway);
    assert.ok(!last.incomplete);
    const [again, same] = await stop(ends.id);
    assert.deepEqual([again, same], [200, last]);
    assert.equal((await session(bystander.id))[1].status, 'open');
    assert.deepEqual(bystander.client.frames().filter(({ opcode }) => opcode === opcodes.close), []);
    bystander.client.destroy();
  });
  test('that is asked for again is still the same one', async () => {
    const ends = await opened('stopped');
    const answers = await Promise.all(Array.from({ length: 8 }, () => stop(ends.id)));
    for (const [status, record] of answers) assert.deepEqual([status, record.status], [202, 'stopping']);
    await toldWithin(ends, 2_000);
    await closed(ends.id);
  });
  test('of a session in which nobody speaks is over in a few seconds all the same', async () => {
    const { client, id } = await opened('silent');
    await stop(id);
    await client.ended();
    assert.deepEqual((await closed(id)).close, stoppedByGateway);
  });
  test("of a caller's is one of all its sessions, and of nobody else's", async () => {
    const ends = [await opened('all'), await opened('all'), await opened('all')];
    const [over] = ends;
    over.client.destroy();
    await closed(over.id);
    const other = await opened('apart');
    const stopped = await stopAll('?caller=all');
    assert.deepEqual(stopped.map(({ id }) => id), [ends[2].id, ends[1].id], 'newest first, without those that are over');
    assert.ok(stopped.every(({ status }) => status === 'stopping'));
    await Promise.all(ends.slice(1).map((one) => toldWithin(one, 2_000)));
    for (const { id } of ends.slice(1)) assert.deepEqual((await closed(id)).close, stoppedByGateway);
    assert.deepEqual(await stopAll('?caller=all'), []);
    assert.equal((await session(other.id))[1].status, 'open');
    other.client.destroy();
  });
  test("of a user's is one of all the user's sessions", async () => {
    const secretOf = async (user) =>
      (await mint(gateway, 'current', { token: tokenOf('users'), json: { gateway: { user } } })).value;
    const ends = [
      await opened('users', { token: await secretOf('u_1') }),
      await opened('users', { token: await secretOf('u_1') }),
    ];
    const other = await opened('users', { token: await secretOf('u_2') });
    assert.deepEqual(await stopAll('?user=u_1&caller=apart'), []);
    assert.equal((await stopAll('?user=u_1')).length, 2);
    await Promise.all(ends.map((one) => toldWithin(one, 2_000)));
    assert.equal((await session(other.id))[1].status, 'open');
    other.client.destroy();
  });
});

test('the usage of today is listed by caller, with what runs and what has ended', async () => {
  const before = new Date().toISOString().slice(0, 10);
  const first = await opened('used');
  first.upstream.sendEvent(responseDone('resp_1'));
  await first.client.frameCame(opcodes.text);
  first.client.destroy();
  const second = await opened('used');
  second.upstream.sendEvent(responseDone('resp_1'));
  const mine = await until('the usage', async () => {
    const data = await usage();
    assert.deepEqual(data.map(({ caller }) => caller), ['web-app', ...callers].sort());
    const one = data.find(({ caller }) => caller === 'used');
    return one.sessions === 2 && one.usage.responses === 2 && one;
  });
  assert.ok([before, new Date().toISOString().slice(0, 10)].includes(mine.date));
  assert.equal(mine.cost_usd, 0.09384);
  assert.deepEqual([mine.usage.total_tokens, mine.usage.input.audio, mine.usage.output.audio], [3000, 1600, 800]);
  assert.deepEqual(mine.limits, usedLimits);
  assert.deepEqual(mine.remaining, {
    concurrent_sessions: 4, sessions_per_minute: 48, tokens_per_day: 7_000, cost_usd_per_day: 1.90616,
  });
  const unlimited = (await usage()).find(({ caller }) => caller === 'apart');
  assert.deepEqual([unlimited.limits, unlimited.remaining], [{}, {}]);
  second.client.destroy();
});

test('a list is read page by page, from the newest on, also behind a session that has ended meanwhile', async () => {
  const ends = [];
  for (let count = 0; count < 5; count += 1) ends.push(await opened('paged'));
  const newest = ends.map(({ id }) => id).toReversed();
  const seen = [];
  for (let after = ''; ;) {
    const { data, last_id: last, has_more: hasMore } = await page(`?caller=paged&status=open&limit=2${after}`);
    seen.push(...data.map(({ id }) => id));
    if (!hasMore) break;
    ends.find(({ id }) => id === last).client.destroy();
    await closed(last);
    after = `&after=${last}`;
  }
  assert.deepEqual(seen, newest);
  assert.deepEqual(await page('?user=nobody'), {
    object: 'list', data: [], first_id: null, last_id: null, has_more: false,
  });
  for (const { client } of ends) client.destroy();
});

test('the token is in no log, no statistic and no page', async () => {
  await ask('GET', '/sessions');
  await gateway.send(controlRequest('GET', '/sessions', { token: `${controlToken}A` }));
  await assertNowhere(gateway, [controlToken, ...callers.map(tokenOf)]);
});
