// The control API as an operator uses it, and the shapes that its answers have.
import assert from 'node:assert/strict';
import { restRequest } from './requests.mjs';
import { sha256 } from './secrets.mjs';
import { until } from './wait.mjs';

/** The operator's token. */
export const controlToken = 'gt-operator-3Kd8wNz6';

/** The setting `control`. */
export const control = { path: '/realtime-byok', token: { sha256: sha256(controlToken) } };

/** A request to the control API; `token` null sends none. */
export function controlRequest(method, path, { token = controlToken, headers = [] } = {}) {
  const authorization = token === null ? [] : [['authorization', `Bearer ${token}`]];
  return restRequest({ method, target: control.path + path, headers: [...authorization, ...headers] });
}

/**
 * An operator at a gateway; `sending` is what its requests take beside the request, such as a listener's name.
 *
 * Every answer's shape is checked: `sessions`, `stopAll` and `usage` give the list, `session` and `stop` `[status, record]`.
 */
export function operator(gateway, sending = {}) {
  const ask = (method, path) => gateway.send(controlRequest(method, path), sending);
  const list = async (status, method, path) => {
    const answer = await ask(method, path);
    assert.equal(answer.status, status, `answered ${answer.status}: ${answer.body}`);
    return listIn(answer);
  };
  const page = async (query = '') => {
    const answer = await ask('GET', `/sessions${query}`);
    assert.equal(answer.status, 200, `answered ${answer.status}: ${answer.body}`);
    return pageIn(answer);
  };
  /** All sessions of a query, page by page. */
  const sessions = async (query = '') => {
    const all = [];
    for (let after = ''; ;) {
      const { data, last_id: last, has_more: hasMore } = await page(`${query || '?'}&limit=100${after}`);
      all.push(...data);
      if (!hasMore) return all;
      after = `&after=${last}`;
    }
  };
  const one = async (method, id) => {
    const answer = await ask(method, `/sessions/${id}`);
    assert.ok([200, 202].includes(answer.status), `answered ${answer.status}: ${answer.body}`);
    return [answer.status, assertRecord(bodyOf(answer))];
  };
  return {
    ask,
    page,
    sessions,
    session: (id) => one('GET', id),
    stop: (id) => one('DELETE', id),
    stopAll: async (query) => (await list(202, 'DELETE', `/sessions${query}`)).map(assertRecord),
    usage: async () => (await list(200, 'GET', '/usage')).map(assertUsage),
    /** Waits until the session of this id is over, and returns its record. */
    closed: (id) =>
      until(`session ${id} to be closed`, async () => {
        const [, record] = await one('GET', id);
        return record.status === 'closed' && record;
      }),
    /** Waits until this many sessions are listed by a query, and returns them. */
    listed: (count, query) =>
      until(`${count} sessions to be listed`, async () => {
        const records = await sessions(query);
        return records.length === count && records;
      }),
  };
}

/** The JSON of an answer of the control API. */
export function bodyOf(answer) {
  assert.deepEqual(answer.headerAll('content-type'), ['application/json']);
  return answer.json();
}

function pageIn(answer) {
  const page = bodyOf(answer);
  assert.deepEqual(Object.keys(page), ['object', 'data', 'first_id', 'last_id', 'has_more']);
  assert.equal(page.object, 'list');
  page.data.forEach(assertRecord);
  assert.deepEqual([page.first_id, page.last_id], [page.data[0]?.id ?? null, page.data.at(-1)?.id ?? null]);
  assert.equal(typeof page.has_more, 'boolean');
  return page;
}

function listIn(answer) {
  const { object, data, ...others } = bodyOf(answer);
  assert.equal(object, 'list');
  assert.ok(Array.isArray(data));
  assert.deepEqual(others, {});
  return data;
}

const count = (value) => Number.isSafeInteger(value) && value >= 0;
const dollars = (value) => typeof value === 'number' && value >= 0 && Math.round(value * 1e6) / 1e6 === value;
const text = (value) => typeof value === 'string' && value !== '';
const optional = (is) => (value) => value === null || is(value);
const one = (...values) => (value) => values.includes(value);
const matching = (pattern) => (value) => typeof value === 'string' && pattern.test(value);

const usage = {
  responses: count, input_tokens: count, output_tokens: count, total_tokens: count,
  input: { text: count, audio: count, image: count, cached_text: count, cached_audio: count, cached_image: count },
  output: { text: count, audio: count },
  transcription: { tokens: count, seconds: (value) => typeof value === 'number' && value >= 0 },
};

const record = {
  id: matching(/^rb_[0-9a-f]{32}$/),
  kind: one('websocket', 'webrtc'),
  status: one('open', 'stopping', 'closed'),
  upstream_id: optional(text),
  caller: text,
  user: optional(text),
  policy: text,
  provider: text,
  model: optional(text),
  started_at: matching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  duration_ms: count,
  idle_ms: count,
  usage,
  cost_usd: dollars,
  frames: { client: count, upstream: count },
  bytes: { client: count, upstream: count },
};

const close = { by: one('client', 'upstream', 'gateway'), code: count, reason: (value) => typeof value === 'string' };

const callerUsage = { caller: text, date: matching(/^\d{4}-\d\d-\d\d$/), sessions: count, usage, cost_usd: dollars };

/** What a caller may have limits of, and what a number of each is. */
const callerLimits = {
  concurrent_sessions: count, sessions_per_minute: count, tokens_per_day: count, cost_usd_per_day: dollars,
};

/** The limits that a session can reach. */
const limit = matching(/^((session|secret)\.(max_tokens|max_cost_usd|max_duration)|session\.idle_timeout|caller\.\w+_per_day)$/);

/** Asserts that a value is a record of the contract, name by name and in order; returns it. */
export function assertRecord(value) {
  const { close: closing, incomplete, estimated, ...rest } = value;
  assertShape(rest, record, 'record');
  assert.deepEqual(Object.keys(value).slice(Object.keys(record).length), [
    'close',
    ...(incomplete === undefined ? [] : ['incomplete']),
  ]);
  assert.ok(incomplete === undefined || incomplete === true);
  if (estimated !== undefined) assertShape(estimated, { tokens: (value) => count(value) && value > 0 }, 'estimated');
  if (closing !== null) assertShape(closing, 'limit' in closing ? { ...close, limit } : close, 'close');
  if (value.status === 'open') assert.equal(closing, null);
  return value;
}

function assertUsage(value) {
  const { limits, remaining, ...used } = value;
  assertShape(used, callerUsage, 'usage');
  assert.deepEqual(Object.keys(value).slice(-2), ['limits', 'remaining']);
  const own = Object.fromEntries(Object.entries(callerLimits).filter(([name]) => name in limits));
  assertShape(limits, own, 'limits');
  assertShape(remaining, own, 'remaining');
  return value;
}

function assertShape(value, shape, path) {
  assert.deepEqual(Object.keys(value), Object.keys(shape), path);
  for (const [name, is] of Object.entries(shape)) {
    if (typeof is === 'object') assertShape(value[name], is, `${path}.${name}`);
    else assert.ok(is(value[name]), `${path}.${name}: ${JSON.stringify(value[name])}`);
  }
}
