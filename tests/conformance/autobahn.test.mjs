// The Autobahn cases through the gateway: with metering, each has the result that it has without the filter.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import {
  basicConfiguration, basicEnv, repository, startGateway, startProcess, tokens, until, workDirectory,
} from '../e2e/harness/index.mjs';

const program = join(repository, 'tests/conformance/autobahn.py');
const maxPayload = 64 << 20;
const caseTimeoutMs = 30_000;

const autobahn = (...args) => startProcess(join(workDirectory, 'venv/bin/python'), [program, ...args]);

/** Adds the token that the Autobahn client cannot send. */
const withToken = {
  name: 'token',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
    mutations: {
      request_mutations: [{ append: { header: { key: 'authorization', value: `Bearer ${tokens.web}` } } }],
    },
  },
};

/** Runs `use(port)` with a gateway in front of `upstream`, with the filter or without. */
async function withGateway(upstream, filter, use) {
  const gateway = await startGateway({
    upstreams: { upstream },
    env: basicEnv,
    configuration: basicConfiguration(),
    filtersBefore: [withToken],
    ...(filter ? {} : { filter: false }),
  });
  try {
    const result = await use(gateway.port);
    assert.doesNotMatch(gateway.envoy.log(), /panicked|hostcall failed|Function: .* failed/);
    return result;
  } finally {
    await gateway.stop();
  }
}

async function resultsOf(process_) {
  await process_.finished();
  const last = process_.output().trim().split('\n').at(-1);
  assert.match(last, /^\{/, process_.output());
  return JSON.parse(last);
}

/** Runs all cases as a client, against an echo server behind the gateway. */
async function asClient(filter) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload });
  server.on('connection', echo);
  await once(server, 'listening');
  try {
    return await withGateway(server.address().port, filter, (port) =>
      resultsOf(autobahn('client', `ws://127.0.0.1:${port}/`)),
    );
  } finally {
    for (const socket of server.clients) socket.terminate();
    server.close();
  }
}

/** Runs all cases as the server behind the gateway, for an echo client. */
async function asServer(filter) {
  const server = autobahn('server');
  try {
    const port = await until('the Autobahn server', () => /^port (\d+)$/m.exec(server.output())?.[1]);
    return await withGateway(Number(port), filter, async (gatewayPort) => {
      const connect = (path) =>
        new WebSocket(`ws://127.0.0.1:${gatewayPort}${path}`, { perMessageDeflate: false, maxPayload });
      const counting = connect('/getCaseCount');
      const [count] = await once(counting, 'message');
      for (let number = 1; number <= Number(count); number += 1) {
        const socket = connect(`/runCase?case=${number}&agent=ws`);
        echo(socket);
        const timer = setTimeout(() => socket.terminate(), caseTimeoutMs);
        await new Promise((resolve) => socket.on('close', resolve));
        clearTimeout(timer);
      }
      connect('/updateReports?agent=ws').on('error', () => {});
      return resultsOf(server);
    });
  } finally {
    await server.stop();
  }
}

function echo(socket) {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
}

for (const [name, run] of Object.entries({ 'as a client': asClient, 'as a server': asServer })) {
  test(name, async () => {
    const plain = await run(false);
    assert.ok(Object.keys(plain).length > 200, 'all cases ran');
    const metered = await run(true);
    const differing = Object.keys({ ...plain, ...metered }).filter((id) => `${plain[id]}` !== `${metered[id]}`);
    assert.deepEqual(differing.map((id) => `${id}: ${plain[id]} is ${metered[id]}`), []);
  });
}
