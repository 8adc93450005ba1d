// Metrics and logs: envoy.yaml with traffic that produces every statistic, and whether rules and dashboard ask for what
// was produced.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { WebSocketServer } from 'ws';
import { chatRequest, restRequest, until, upgradeRequest } from '../e2e/harness/index.mjs';
import { responseDone, sessionCreated } from '../e2e/harness/sessions.mjs';
import { closePayload, opcodes, peer } from '../e2e/harness/websocket.mjs';
import { fences } from '../docs/markdown.mjs';
import { deployPath, deployText, documents, environment } from './files.mjs';
import { dashboardProblems } from './grafana-schema.mjs';
import { prometheusIsMissing, promtool, startPrometheus } from './prometheus.mjs';
import { read } from './promql.mjs';
import { startProvider, startShipped } from './stand.mjs';

const model = 'gpt-realtime-2.1';
// Of no price in the shipped configuration.
const unpriced = 'text-embedding-3-small';
const bearer = (token) => ['authorization', `Bearer ${token}`];
const { WEB_APP_TOKEN, BACKEND_TOKEN } = environment;

const rules = parse(deployText('prometheus/rules.yml')).groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(deployText('grafana/dashboards/realtime-byok.json'));
const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const variables = dashboard.templating.list.filter(({ type }) => type === 'query');

/** A panel's expression as Grafana sends it when all of every variable is chosen. */
const asSent = (expression) =>
  expression
    .replaceAll('$__rate_interval', '1m')
    .replaceAll('$__range', '1h')
    .replace(/"\$(\w+)"/g, (_, name) => `"${variables.find((one) => one.name === name).allValue}"`);
const queries = [
  ...panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [`the panel ${title}`, asSent(expr)])),
  ...fences('docs/observability.md', 'promql').map(({ place, text }) => [place, text.trim()]),
];

let upstream;
let provider;
let gateway;
let prometheus;
let open;
let scraped;

before(async () => {
  upstream = await startUpstream();
  provider = await startProvider(upstream.port);
  gateway = await startShipped('envoy.yaml', provider, {
    places: {
      'session: { max_duration: 1h, max_cost_usd: 10 }': 'session: { max_tokens: 3000 }',
      'sessions_per_minute: 600': 'sessions_per_minute: 3',
      'key: { env: AZURE_OPENAI_API_KEY }': `keys: ${JSON.stringify(['a', 'b'].map((name) => ({ name, key: { env: 'AZURE_OPENAI_API_KEY' } })))}`,
    },
  });
  if (!prometheusIsMissing) prometheus = await startPrometheus(await gateway.envoy.port('metrics'));
  await traffic();
  scraped = await until('all sessions and refusals to be counted', async () => {
    const samples = await scrape();
    const counted = ['ended', 'rejected'].map((name) =>
      samples.filter(({ metric }) => metric === `realtime_byok_${name}_total`).reduce((sum, { value }) => sum + value, 0));
    return counted[0] === 2 && counted[1] === 3 && samples;
  });
});
after(async () => {
  open?.destroy();
  await prometheus?.stop();
  await gateway?.stop();
  await provider?.stop();
  await upstream?.stop();
});

/**
 * OpenAI, as far as it is needed: mints, refuses REST, and answers each `response.create` with a response, or with the
 * beginning of one where it has no id.
 */
async function startUpstream() {
  const server = http.createServer((request, response) => {
    request.resume();
    if (request.url === '/v1/embeddings') {
      response.writeHead(200, { 'content-type': 'application/json' });
      return response.end(JSON.stringify({ object: 'list', model: unpriced, usage: { prompt_tokens: 8, total_tokens: 8 } }));
    }
    const isMint = request.url === '/v1/realtime/client_secrets';
    const expires_at = Math.floor(Date.now() / 1000) + 600;
    const body = isMint ? { value: 'ek_upstream', expires_at, session: { type: 'realtime', model } } : { error: {} };
    response.writeHead(isMint ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    socket.send(JSON.stringify(sessionCreated({ model })));
    socket.on('message', (message) => {
      const { id } = JSON.parse(message);
      if (id !== undefined) return socket.send(JSON.stringify(responseDone(id, { model })));
      socket.send(JSON.stringify({ type: 'response.created', response: { id: 'resp_cut', status: 'in_progress' } }));
      socket.send(JSON.stringify({ type: 'response.output_text.delta', response_id: 'resp_cut', delta: 'a'.repeat(40) }));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    async stop() {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Opens a session and has so many responses. */
async function session(count) {
  const target = `/v1/realtime?model=${model}`;
  const answer = await gateway.send(upgradeRequest({ target, headers: [bearer(WEB_APP_TOKEN)] }));
  assert.equal(answer.status, 101);
  const client = peer(answer.socket, answer.rest, { isClient: true });
  for (let id = 1; id <= count; id += 1) {
    client.sendEvent({ type: 'response.create', id: `resp_${id}` });
    await until('a response', () => client.events().filter(({ type }) => type === 'response.done').length === id);
  }
  return client;
}

async function traffic() {
  assert.equal((await gateway.send(chatRequest())).status, 401);
  assert.equal((await gateway.send(chatRequest({ headers: [bearer(BACKEND_TOKEN)] }))).status, 502);
  const mint = { target: '/v1/realtime/client_secrets', headers: [bearer(BACKEND_TOKEN)], json: { session: { model } } };
  assert.equal((await gateway.send(restRequest({ method: 'POST', ...mint }))).status, 200);
  const embedding = { target: '/v1/embeddings', headers: [bearer(BACKEND_TOKEN)], json: { model: unpriced, input: 'A.' } };
  assert.equal((await gateway.send(restRequest({ method: 'POST', ...embedding }))).status, 200);
  open = await session(0);
  const closed = await session(1);
  closed.sendEvent({ type: 'response.create' });
  await until('a response that is cut', () => closed.events().some(({ type }) => type === 'response.output_text.delta'));
  closed.send(opcodes.close, closePayload(1000, 'bye'));
  await closed.frameCame(opcodes.close);
  closed.destroy();
  const spent = await session(2);
  await spent.frameCame(opcodes.close);
  spent.send(opcodes.close, closePayload(4429));
  await spent.ended();
  const oneMore = upgradeRequest({ target: `/v1/realtime?model=${model}`, headers: [bearer(WEB_APP_TOKEN)] });
  assert.equal((await gateway.send(oneMore)).status, 429);
}

/** What Prometheus gets: `[{ metric, labels, value }…]`. */
async function scrape() {
  const port = await gateway.envoy.port('metrics');
  const answer = await fetch(`http://127.0.0.1:${port}/stats/prometheus`);
  assert.equal(answer.status, 200);
  const samples = (await answer.text()).matchAll(/^(\w+)\{(.*)\} (\S+)$/gm);
  return Array.from(samples, ([, metric, labels, value]) => ({
    metric,
    labels: Object.fromEntries(Array.from(labels.matchAll(/(\w+)="([^"]*)"/g), ([, name, text]) => [name, text])),
    value: Number(value),
  }));
}

describe('statistics', () => {
  const session = { policy: 'voice', kind: 'websocket' };
  const paid = { caller: 'web-app', model };
  const tokens = (direction, modality) => ({ ...paid, direction, modality });
  const expected = {
    sessions_active: [[session, 1]],
    sessions_total: [[{ caller: 'web-app', ...session, provider: 'openai' }, 3]],
    ended_total: [
      [{ caller: 'web-app', policy: 'voice', reason: 'budget_exceeded', limit: 'session.max_tokens' }, 1],
      [{ caller: 'web-app', policy: 'voice', reason: 'client' }, 1],
    ],
    session_duration_ms_count: [[session, 2]],
    tokens_total: [
      [tokens('input', 'audio'), 2400],
      [tokens('input', 'cached_audio'), 800],
      [tokens('input', 'cached_text'), 400],
      [tokens('input', 'text'), 400],
      [tokens('output', 'audio'), 1200],
      [tokens('output', 'text'), 310],
      [{ caller: 'backend', model: unpriced, direction: 'input', modality: 'text' }, 8],
    ],
    estimated_tokens_total: [[{ caller: 'web-app' }, 1010]],
    unpriced_total: [[{ model: unpriced }, 1]],
    // What was cut is charged what the response before it read, and what was heard of it.
    cost_micro_usd_total: [[paid, 3 * 46_920 + 19_720 + 160]],
    rejected_total: [
      [{ code: 'rate_limit_exceeded', caller: 'web-app', limit: 'caller.sessions_per_minute' }, 1],
      [{ code: 'missing_gateway_token' }, 1],
      [{ code: 'provider_key_rejected', caller: 'backend' }, 1],
    ],
    key_rests_total: ['a', 'b'].map((key) => [{ provider: 'azure-eu', key }, 0]),
    secrets_minted_total: [[{ mode: 'sealed' }, 1]],
    upstream_rejected_total: [
      [{ provider: 'azure-eu', credential: 'key' }, 0],
      [{ provider: 'openai', credential: 'key' }, 1],
    ],
  };
  const sorted = (series) => series.map(([labels, value]) => [Object.entries(labels).toSorted(), value]).toSorted();
  for (const [name, series] of Object.entries(expected)) {
    test(`${name} has its labels, and what was sent`, () => {
      const own = scraped.filter(({ metric, value, labels }) => {
        const isIdle = metric === 'realtime_byok_sessions_active' && labels.policy === 'rest' && value === 0;
        return metric === `realtime_byok_${name}` && !isIdle;
      });
      assert.deepEqual(sorted(own.map(({ labels, value }) => [labels, value])), sorted(series));
    });
  }

  test('there are no others', () => {
    const names = scraped.map(({ metric }) => /^realtime_byok_(.*?)(?:_bucket|_sum)?$/.exec(metric)?.[1]);
    // What streams hold depends on the moment.
    const known = [...Object.keys(expected), 'session_duration_ms', 'memory_bytes'];
    assert.deepEqual(names.filter((name) => name !== undefined && !known.includes(name)), []);
  });

  test('are those of the documentation, with the labels that it says', () => {
    const row = /^\| `realtime_byok_(\w+)` \| (`[^|]+`) \|/gm;
    const told = Array.from(deployText('../docs/observability.md').matchAll(row), ([, name, labels]) => [
      name,
      Array.from(labels.matchAll(/`(\w+)`/g), ([, label]) => label),
    ]);
    const own = Object.entries(expected).map(([name, [[labels]]]) => [name.replace('_ms_count', '_ms'), labels]);
    assert.deepEqual(
      told.map(([name, labels]) => [name, labels.toSorted()]).toSorted(),
      own.map(([name, labels]) => [name, Object.keys(labels).toSorted()]).toSorted(),
    );
  });

  test('no path but theirs leads to the admin', async () => {
    const base = `http://127.0.0.1:${await gateway.envoy.port('metrics')}`;
    for (const path of ['/', '/stats', '/config_dump', '/stats/prometheus/../../config_dump', '/quitquitquit']) {
      assert.equal((await fetch(base + path)).status, 404, path);
    }
    assert.equal((await fetch(`${base}/stats/prometheus`, { method: 'POST' })).status, 404);
  });

  test('every file that loads the filter takes their labels out alike', () => {
    const [gatewayProxy] = documents('envoy-gateway/gateway.yaml').filter(({ kind }) => kind === 'EnvoyProxy');
    const [istio] = documents('istio/metrics.yaml');
    const bootstraps = {
      'external-key/envoy.yaml': parse(deployText('external-key/envoy.yaml')),
      'istio/metrics.yaml': istio.spec.configPatches[0].patch.value,
      'envoy-gateway/gateway.yaml': parse(gatewayProxy.spec.bootstrap.value),
    };
    const own = parse(deployText('envoy.yaml')).stats_config;
    for (const [file, { stats_config: other }] of Object.entries(bootstraps)) assert.deepEqual(other, own, file);
  });
});

test('the access log has what a session came to', async () => {
  const entries = () => gateway.accessLog().filter(({ realtime_byok: own }) => own?.id);
  const [closed, spent] = await until('two sessions', () => entries().length === 2 && entries());
  const { id, duration_ms: duration, ...others } = closed.realtime_byok;
  assert.match(id, /^rb_[0-9a-f]{32}$/);
  assert.match(duration, /^\d+$/);
  assert.deepEqual(others, {
    caller: 'web-app',
    user: null,
    policy: 'voice',
    provider: 'openai',
    model,
    code: '1000',
    limit: null,
    close: 'client',
    reason: 'bye',
    tokens: '2510',
    cost_usd: '0.066800',
  });
  const { code, limit, close, reason } = spent.realtime_byok;
  assert.deepEqual([code, limit, close, reason], ['4429', 'session.max_tokens', 'gateway', 'budget_exceeded']);
});

test('the access log has why a request was refused, and whose it was', async () => {
  const [refused] = gateway.accessLog().filter(({ status }) => status === 502);
  const known = Object.entries(refused.realtime_byok).filter(([, value]) => value !== null);
  assert.deepEqual(Object.fromEntries(known), {
    caller: 'backend', policy: 'rest', provider: 'openai', code: 'provider_key_rejected', close: 'gateway',
  });
  const [minted] = gateway.accessLog().filter(({ status }) => status === 200);
  assert.ok(Object.values(minted.realtime_byok).every((field) => field === null));
});

describe('rules and dashboard', () => {
  /** What Prometheus adds to what it scrapes. */
  const added = ['job', 'instance'];
  const expressions = [
    ...rules.map(({ alert, expr }) => [alert, expr]),
    ...queries,
  ];
  const labelsOf = (metric) =>
    metric === 'up' ? [] : scraped.filter((one) => one.metric === metric).flatMap(({ labels }) => Object.keys(labels));

  for (const [name, expression] of expressions) {
    test(`${name}: asks for what was produced`, () => {
      const { selectors, groupings } = read(expression);
      assert.ok(selectors.length > 0);
      for (const { metric, labels } of selectors) {
        assert.ok(metric === 'up' || scraped.some((one) => one.metric === metric), `there is no ${metric}`);
        for (const label of labels) {
          assert.ok([...added, ...labelsOf(metric)].includes(label), `${metric} has no ${label}`);
        }
      }
      for (const { labels, metrics } of groupings) {
        for (const label of labels) {
          assert.ok(metrics.every((metric) => [...added, ...labelsOf(metric)].includes(label)), `no ${label}`);
        }
      }
    });
  }

  for (const { name, query } of variables) {
    test(`the variable ${name} lists what was produced`, () => {
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(query.query);
      assert.ok(labelsOf(metric).includes(label));
      assert.ok(panels.some(({ targets }) => targets.some(({ expr }) => expr.includes(`"$${name}"`))), 'it is used');
    });
  }

  test('what is no PromQL, and what was not produced, is noticed', () => {
    assert.throws(() => read('sum by (code (x)'), /no PromQL/);
    const { selectors, groupings } = read('sum by (a, b) (rate(x{c="d"}[1m])) / y');
    assert.deepEqual(selectors.map(({ metric, labels }) => [metric, labels]), [['x', ['c']], ['y', []]]);
    assert.deepEqual(groupings, [{ labels: ['a', 'b'], metrics: ['x'] }]);
    assert.deepEqual(labelsOf('realtime_byok_nothing_total'), []);
  });

  test("the dashboard has Grafana's shape", async () => {
    assert.equal(await dashboardProblems(dashboard), '');
    const [variable, ...others] = dashboard.templating.list;
    const broken = { ...dashboard, templating: { list: [{ ...variable, kind: 'query' }, ...others] } };
    assert.match(await dashboardProblems(broken), /'"?kind"?' does not exist/);
    assert.match(await dashboardProblems({ ...dashboard, refresh: 30 }), /not assignable to type 'string/);
  });

  test('panels lie side by side, each with a number and a title of its own', () => {
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      assert.ok(x + w <= 24);
      return Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`);
    });
    assert.equal(new Set(cells).size, cells.length);
    for (const field of ['id', 'title']) {
      assert.equal(new Set(dashboard.panels.map((panel) => panel[field])).size, dashboard.panels.length);
    }
  });

  test('Grafana finds the dashboard, and Prometheus as its data source', () => {
    const [{ services }] = documents('docker-compose.yaml');
    const mounted = services.grafana.volumes.map((volume) => volume.split(':').slice(0, 2));
    const [{ providers }] = documents('grafana/provisioning/dashboards/realtime-byok.yaml');
    assert.deepEqual(mounted, [
      ['./grafana/provisioning', '/etc/grafana/provisioning'],
      ['./grafana/dashboards', providers[0].options.path],
    ]);
    const [{ datasources }] = documents('grafana/provisioning/datasources/prometheus.yaml');
    const [source] = dashboard.templating.list.filter(({ type }) => type === 'datasource');
    assert.deepEqual([source.query, source.current.value], [datasources[0].type, datasources[0].uid]);
    assert.equal(services.prometheus.network_mode, 'service:gateway');
  });
});

describe('Prometheus', { skip: prometheusIsMissing }, () => {
  test('takes configuration and rules', async () => {
    for (const command of [['check', 'config', 'prometheus.yml'], ['check', 'rules', 'rules.yml']]) {
      const { ok, output } = await promtool(...command);
      assert.ok(ok, output);
    }
  });

  test('raises every alert where it should, and only there', async () => {
    const path = deployPath('../tests/deploy/alerts.yaml');
    const { ok, output } = await promtool('test', 'rules', path);
    assert.ok(ok, output);
    const tested = parse(deployText('../tests/deploy/alerts.yaml')).tests.flatMap((one) => one.alert_rule_test);
    const raised = tested.filter(({ exp_alerts: alerts }) => alerts.length > 0).map(({ alertname }) => alertname);
    assert.deepEqual([...new Set(raised)].toSorted(), rules.map(({ alert }) => alert).toSorted());
  });

  test('finds every series that rules and dashboard select', async () => {
    const selected = [...rules.map(({ expr }) => expr), ...queries.map(([, expression]) => expression)];
    const selectors = new Set(selected.flatMap((expression) => read(expression).selectors.map(({ text }) => text)));
    for (const selector of selectors) {
      await until(`series of ${selector}`, async () => (await prometheus.query(selector)).length > 0);
    }
  });

  for (const [name, expression] of queries) {
    test(`has an answer for ${name}`, async () => {
      await until('a value', async () => (await prometheus.query(expression)).length > 0);
    });
  }

  test('evaluates every rule', async () => {
    const evaluated = async () => {
      const all = await prometheus.rules();
      return all.length === rules.length && all.every(({ health }) => health !== 'unknown') && all;
    };
    const all = await until('every rule to be looked at', evaluated);
    assert.deepEqual(all.filter(({ health }) => health !== 'ok'), []);
  });
});
