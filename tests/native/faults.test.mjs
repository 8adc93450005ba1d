// A panic in whatever hook: its stream is reset, nothing of it passes, and everything else goes on. The library is one of
// `cargo build --features faults`, which panics once in the place that REALTIME_BYOK_FAULT names.
import assert from 'node:assert/strict';
import http from 'node:http';
import { join } from 'node:path';
import test, { describe } from 'node:test';
import { useFor } from '../e2e/harness/hooks.mjs';
import {
  authorized, basicConfiguration, basicEnv, cluster, host, repository, restRequest, startGateway, statisticPrefix, until, upgradeRequest,
  validateGateway,
} from '../e2e/harness/index.mjs';
import { openSession, useSocketUpstream } from '../e2e/harness/sessions.mjs';

assert.equal(host, 'native', 'these are tests of the dynamic module: HOST=native');

const body = JSON.stringify({ model: 'gpt-5' });
const answerBody = '{"object":"response"}';
const upstream = useFor(startUpstream);
const sockets = useSocketUpstream();

/** A request whose body is read, with trailers, and an answer that has both as well. */
const request = () =>
  restRequest({
    method: 'POST',
    target: '/v1/responses',
    headers: [...authorized, ['content-type', 'application/json'], ['transfer-encoding', 'chunked'], ['trailer', 'x-sum']],
    body: `${body.length.toString(16)}\r\n${body}\r\n0\r\nx-sum: 1\r\n\r\n`,
  });

function options(place, changes = {}) {
  const withTrailers = { explicit_http_config: { http_protocol_options: { enable_trailers: true } } };
  return {
    module: 'realtime_byok_dynamic_module',
    env: {
      ...basicEnv,
      ENVOY_DYNAMIC_MODULES_SEARCH_PATH: join(repository, 'target/debug'),
      REALTIME_BYOK_FAULT: place,
    },
    hcm: { http_protocol_options: { enable_trailers: true } },
    configuration: basicConfiguration({ policies: { default: { provider: 'openai', models: ['gpt*'], session: { max_duration: '1s' } } } }),
    clusters: [
      {
        ...cluster('upstream', changes.port ?? upstream.port),
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
            ...withTrailers,
          },
        },
      },
    ],
    ...changes,
  };
}

/** A gateway that panics once there; when the test is over, Envoy has said so, has lived, and has quoted nothing. */
async function faulty(context, place, changes) {
  const gateway = await startGateway(options(place, changes));
  context.after(gateway.stop);
  const faults = () => gateway.envoy.log().match(/realtime_byok: a fault of its own, at \S+:\d+:\d+; /g) ?? [];
  return {
    gateway,
    fell: () => until(`the fault at ${place}`, () => faults().length > 0),
    async livesOn() {
      assert.equal(faults().length, 1, `${place}: ${gateway.envoy.log()}`);
      assert.ok(!gateway.envoy.log().includes('sk-secret'), 'what a panic says is nobody’s business');
      assert.equal(gateway.envoy.exit(), null);
      const answer = await gateway.send(request());
      assert.deepEqual([answer.status, answer.body.toString()], [200, answerBody]);
    },
  };
}

const outcome = (sent) => sent.then(({ status, body: got }) => `${status} ${got}`, () => 'reset');

describe('a panic', () => {
  for (const place of ['new', 'request_headers', 'request_body', 'request_trailers']) {
    test(`at ${place} resets the stream, and no upstream hears of it`, async (context) => {
      const { gateway, livesOn } = await faulty(context, place);
      const before = upstream.count();
      // Without a filter of the module's, Envoy itself answers: 500, and nothing else.
      const refused = place === 'new' ? ['500 ', 'reset'] : ['reset'];
      assert.ok(refused.includes(await outcome(gateway.send(request(), { timeoutMs: 10_000 }))));
      assert.equal(upstream.count(), before);
      await livesOn();
    });
  }

  for (const place of ['response_headers', 'response_body', 'response_trailers']) {
    test(`at ${place} resets the stream, whose answer does not become whole`, async (context) => {
      const { gateway, livesOn } = await faulty(context, place);
      assert.equal(await outcome(gateway.send(request(), { timeoutMs: 10_000 })), 'reset');
      await livesOn();
    });
  }

  for (const place of ['stream_complete', 'destroy']) {
    test(`at ${place} is that of a stream that is over`, async (context) => {
      const { gateway, fell, livesOn } = await faulty(context, place);
      assert.equal(await outcome(gateway.send(request())), `200 ${answerBody}`);
      await fell();
      await livesOn();
    });
  }

  test('at scheduled resets the stream that was to be reset', async (context) => {
    const { gateway, fell } = await faulty(context, 'scheduled', { port: sockets.port });
    const { client } = await openSession({ gateway, upstream: sockets }, { target: '/v1/realtime?model=gpt-realtime' });
    await client.ended({ timeoutMs: 30_000 });
    await fell();
    assert.equal(gateway.envoy.exit(), null);
    const again = await openSession({ gateway, upstream: sockets }, { target: '/v1/realtime?model=gpt-realtime' });
    await again.client.ended({ timeoutMs: 30_000 });
  });

  test('at config_scheduled is that of one second', async (context) => {
    const { gateway, fell, livesOn } = await faulty(context, 'config_scheduled');
    await fell();
    await gateway.send(upgradeRequest({}));
    const name = `${statisticPrefix}rejected_total.code.missing_gateway_token`;
    await until('the next second to be counted', async () => (await gateway.envoy.stat(name)) === 1);
    await livesOn();
  });

  test('at config_new refuses the configuration', async () => {
    const { ok, output } = await validateGateway(options('config_new'));
    assert.equal(ok, false);
    assert.match(output, /realtime_byok: a fault of its own, at /);
    assert.ok(!output.includes('sk-secret'));
  });

  test('at config_destroy is that of a configuration that is over', async (context) => {
    const { gateway, fell, livesOn } = await faulty(context, 'config_destroy', { discovered: true });
    await gateway.replaceFilter({ configuration: basicConfiguration() });
    await fell();
    await livesOn();
  });
});

async function startUpstream() {
  let count = 0;
  const server = http.createServer((incoming, response) => {
    count += 1;
    incoming.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json', trailer: 'x-sum' });
      response.write(answerBody);
      response.addTrailers({ 'x-sum': '2' });
      response.end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    /** How many requests have come. */
    count: () => count,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
