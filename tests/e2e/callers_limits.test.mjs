// What callers may use up, over all workers: who is let in, what frees a place, and what a spent day does.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { runProgram } from '../clients/program.mjs';
import {
  assertDenial,
  chatRequest,
  delayMs,
  restRequest,
  route,
  sha256,
  until,
  upgradeRequest,
  useRecorder,
} from './harness/index.mjs';
import { mintConfiguration, mintEnv, mintPaths, mintRequest } from './harness/minting.mjs';
import { useNobody, useSilence } from './harness/outages.mjs';
import { assertEnded, prices, responseDone, useSessions } from './harness/sessions.mjs';
import { closePayload, opcodes } from './harness/websocket.mjs';
import { connectionOn, connectionsByWorker } from './harness/workers.mjs';

const workers = 2;

/** How a place becomes free; each has a caller of its own, who may have one session at a time. */
const endings = {
  'when the client closes': async ({ open }) => {
    const { client, upstream } = await open();
    return async () => {
      client.send(opcodes.close, closePayload(1000));
      await upstream.frameCame(opcodes.close);
      upstream.send(opcodes.close, closePayload(1000));
      await client.frameCame(opcodes.close);
      upstream.socket.end();
      client.socket.end();
    };
  },
  'when the upstream closes': async ({ open }) => {
    const { client, upstream } = await open();
    return async () => {
      upstream.send(opcodes.close, closePayload(1001));
      await client.frameCame(opcodes.close);
      upstream.socket.end();
    };
  },
  'when the client is gone without a word': async ({ open }) => {
    const { client } = await open();
    return () => client.destroy();
  },
  'when the client resets its connection': async ({ open }) => {
    const { client } = await open();
    return () => client.socket.resetAndDestroy();
  },
  'when the upstream is gone without a word': async ({ open }) => {
    const { upstream } = await open();
    return () => upstream.destroy();
  },
  'when the gateway ends the session': async ({ open }) => {
    const { client } = await open({ target: '/brief/v1/realtime?model=gpt-realtime' });
    return () => client.ended();
  },
  'when a session that is not metered is over': async ({ open }) => {
    const { client } = await open({ target: '/unmetered/v1/realtime?model=gpt-realtime' });
    return () => client.destroy();
  },
  'when an HTTP/2 stream is over': async ({ token }) => {
    const { status, close } = await gateway.sendHttp2({
      connect: 'websocket',
      target: '/v1/realtime?model=gpt-realtime',
      headers: [['authorization', `Bearer ${token}`], ['sec-websocket-version', '13']],
    });
    assert.equal(status, 200);
    return close;
  },
  'when its client goes before the 101': async ({ pending }) => {
    const { socket, answer } = await pending({ headers: [['x-delay', '5000']] });
    return async () => {
      socket.destroy();
      await assert.rejects(answer);
    };
  },
  'when its client goes, whom the upstream has never answered': async ({ pending }) => {
    const { socket, answer } = await pending({ target: '/silent/v1/realtime?model=gpt-realtime' });
    return async () => {
      socket.destroy();
      await assert.rejects(answer);
    };
  },
  'when the upstream refuses': async ({ pending }) => {
    const headers = [['x-reply', 'refuse-late 503']];
    const { answer } = await pending({ target: '/recorder/v1/realtime?model=gpt-realtime', headers });
    return async () => assert.equal((await answer).status, 503);
  },
  "when the upstream refuses the gateway's key": async ({ pending }) => {
    const headers = [['x-reply', 'refuse-late 401']];
    const { answer } = await pending({ target: '/recorder/v1/realtime?model=gpt-realtime', headers });
    return async () => assertDenial(await answer, 'provider_key_rejected');
  },
};

/** What each caller may use up. */
const limits = {
  race: { concurrent_sessions: 7 },
  churn: { concurrent_sessions: 5 },
  unreachable: { concurrent_sessions: 1 },
  minute: { sessions_per_minute: 4 },
  tokens: { tokens_per_day: 4500 },
  dollars: { cost_usd_per_day: 0.14076 },
  spent: { tokens_per_day: 1500 },
  ...Object.fromEntries(Object.keys(endings).map((_, index) => [`ending-${index}`, { concurrent_sessions: 1 }])),
};
const tokenOf = (caller) => `gt-of-${caller}-5Jx1`;

const recorder = useRecorder();
const silence = useSilence();
const nobody = useNobody();
const { gateway, upstream, open } = useSessions({
  concurrency: workers,
  tls: true,
  env: mintEnv,
  upstreams: () => ({ recorder: recorder.port, silent: silence.port, nobody: nobody.port }),
  changes: mintConfiguration({
    secrets: { mode: 'local' },
    prices: { ...prices, 'gpt-5': { input_text: 1.25, output_text: 10 } },
    callers: Object.fromEntries(
      Object.entries(limits).map(([name, given]) => [name, { tokens: [{ sha256: sha256(tokenOf(name)) }], limits: given }]),
    ),
    policies: {
      default: { provider: 'openai' },
      brief: { provider: 'openai', session: { max_duration: '1s' } },
      unmetered: { provider: 'openai', meter: false },
    },
  }),
  routes: [
    ...['recorder', 'silent', 'nobody'].map((cluster) => route({ prefix: `/${cluster}/`, rewrite: '/', cluster })),
    ...['brief', 'unmetered'].map((name) => route({ name, prefix: `/${name}/`, rewrite: '/' })),
    route({}),
  ],
});

// A day that ends between spending and asking would be another day.
before(async () => {
  const left = 86_400_000 - (Date.now() % 86_400_000);
  if (left < 60_000) await sleep(left + 1_000);
});

const upgradeOf = (caller, request = {}) =>
  upgradeRequest({ ...request, headers: [...(request.headers ?? []), ['authorization', `Bearer ${tokenOf(caller)}`]] });

/** Sends one upgrade: its answer, whose socket reads on. */
async function knock(caller, request, sending) {
  const answer = await gateway.send(upgradeOf(caller, request), sending);
  answer.socket?.resume();
  return answer;
}

/** Asserts a refusal and returns its `retry-after` in seconds. */
function retryAfter(answer, code) {
  assertDenial(answer, code);
  const [value, ...more] = answer.headerAll('retry-after');
  assert.deepEqual(more, []);
  assert.match(value, /^[1-9]\d*$/);
  return Number(value);
}

/** Waits until the caller is let in again, and leaves. */
const freed = (caller) =>
  until(`a place for ${caller}`, async () => {
    const answer = await knock(caller);
    answer.socket?.destroy();
    if (answer.status !== 101) assertDenial(answer, 'session_limit_exceeded');
    return answer.status === 101;
  }, { intervalMs: 50 });

describe('sessions at a time', () => {
  test('are as many as the caller may have, however many knock at once at all workers', async () => {
    const before = await connectionsByWorker(gateway);
    const answers = await Promise.all(Array.from({ length: 60 }, () => knock('race')));
    const after = await connectionsByWorker(gateway);
    assert.equal(after.length, workers);
    after.forEach((count, worker) => assert.ok(count > before[worker], `worker ${worker} was asked`));
    const admitted = answers.filter(({ status }) => status === 101);
    assert.equal(admitted.length, limits.race.concurrent_sessions);
    for (const answer of answers) {
      if (answer.status !== 101) assert.ok(retryAfter(answer, 'session_limit_exceeded') <= 5);
      assert.equal(upstream.connectionOf(answer.case) !== undefined, answer.status === 101);
    }
    for (const { socket } of admitted) socket.destroy();
    await freed('race');
  });

  test('are never more, while some go and others come', async () => {
    let [openNow, most, admitted, refused] = [0, 0, 0, 0];
    const deadline = Date.now() + 4_000;
    const visitor = async () => {
      while (Date.now() < deadline) {
        const { status, socket } = await knock('churn');
        if (status !== 101) {
          refused += 1;
          continue;
        }
        openNow += 1;
        most = Math.max(most, openNow);
        admitted += 1;
        await sleep(Math.random() * 20);
        openNow -= 1;
        socket.destroy();
      }
    };
    await Promise.all(Array.from({ length: 12 }, visitor));
    assert.equal(most, limits.churn.concurrent_sessions);
    assert.ok(admitted > 20 && refused > 20, `${admitted} were let in, ${refused} refused`);
    const all = await Promise.all(Array.from({ length: limits.churn.concurrent_sessions }, () => eventually('churn')));
    retryAfter(await knock('churn'), 'session_limit_exceeded');
    for (const { socket } of all) socket.destroy();
  });

  const eventually = (caller) =>
    until('a place', async () => {
      const answer = await knock(caller);
      return answer.status === 101 && answer;
    }, { intervalMs: 50 });

  test('do not wait for a refusal: what is answered at once has no place', async () => {
    for (let count = 0; count < 3; count += 1) {
      const answer = await knock('unreachable', { target: '/nobody/v1/realtime?model=gpt-realtime' });
      assert.equal(answer.status, 503);
      assert.doesNotMatch(answer.body.toString(), /session_limit_exceeded/);
    }
    const unknown = { target: '/v1/realtime?model=a&model=b' };
    assertDenial(await knock('unreachable', unknown), 'malformed_request');
    await freed('unreachable');
  });
});

describe('a place is free again', () => {
  Object.entries(endings).forEach(([name, begin], index) => {
    test(name, async () => {
      const caller = `ending-${index}`;
      const token = tokenOf(caller);
      const end = await begin({
        token,
        open: (request) => open({ token, ...request }),
        /** An upgrade that waits: its socket, and the promise of its answer. */
        pending: async (request) => {
          const socket = await connectionOn(gateway, index % workers);
          const answer = knock(caller, request, { socket });
          answer.catch(() => {});
          await sleep(50);
          return { socket, answer };
        },
      });
      assert.ok(retryAfter(await knock(caller), 'session_limit_exceeded') <= 5);
      await end();
      await freed(caller);
    });
  });
});

describe('sessions in a minute', () => {
  test('are counted over all workers, however short they were', async () => {
    for (let count = 0; count < limits.minute.sessions_per_minute; count += 1) {
      const socket = await connectionOn(gateway, count % workers);
      const answer = await knock('minute', {}, { socket });
      assert.equal(answer.status, 101);
      socket.destroy();
    }
    for (let worker = 0; worker < workers; worker += 1) {
      const socket = await connectionOn(gateway, worker);
      const seconds = retryAfter(await knock('minute', {}, { socket }), 'rate_limit_exceeded');
      assert.ok(seconds > 40 && seconds <= 60, `${seconds} s`);
    }
  });
});

describe("a caller's day", () => {
  for (const caller of ['tokens', 'dollars']) {
    test(`of ${caller}, once used up, ends what runs at every worker and refuses what comes`, async () => {
      const token = tokenOf(caller);
      const sessions = [];
      for (let worker = 0; worker < workers; worker += 1) {
        sessions.push(await open({ token }, { socket: await connectionOn(gateway, worker) }));
      }
      const [spender, other] = sessions;
      spender.upstream.sendEvent(responseDone('resp_1'));
      other.upstream.sendEvent(responseDone('resp_1'));
      await Promise.all(sessions.map(({ client }) => client.frameCame(opcodes.text)));
      await sleep(1_500);
      assert.ok(sessions.every(({ client }) => client.frames().length === 1), 'two thirds of the day are not all of it');
      const spent = Date.now();
      spender.upstream.sendEvent(responseDone('resp_2'));
      await assertEnded(spender.client, 4429, 'budget_exceeded');
      const talking = setInterval(() => other.upstream.send(opcodes.ping, ''), 50);
      await assertEnded(other.client, 4429, 'budget_exceeded').finally(() => clearInterval(talking));
      assert.ok(Date.now() - spent < 2_000 + delayMs, `it took ${Date.now() - spent} ms`);
      await everythingIsRefused(caller);
    });
  }

  async function everythingIsRefused(caller) {
    const bearer = ['authorization', `Bearer ${tokenOf(caller)}`];
    const requests = [
      upgradeOf(caller),
      chatRequest({ target: '/recorder/v1/chat/completions', headers: [bearer] }),
      restRequest({ target: '/recorder/v1/models', headers: [bearer] }),
      restRequest({
        method: 'POST', target: '/recorder/v1/realtime/calls?model=gpt-realtime', body: 'v=0\r\n',
        headers: [bearer, ['content-type', 'application/sdp']],
      }),
      ...Object.keys(mintPaths).map((name) => mintRequest(name, { token: tokenOf(caller), prefix: '/recorder' })),
    ];
    for (const request of requests) {
      const answer = await gateway.send(request);
      const untilMidnight = 86_400 - (Math.floor(Date.now() / 1000) % 86_400);
      const seconds = retryAfter(answer, 'budget_exceeded');
      assert.ok(Math.abs(seconds - untilMidnight) <= 2, `${request.target}: ${seconds} s, not ${untilMidnight}`);
      assert.deepEqual(recorder.requestsOf(answer.case), []);
    }
  }

  test('is told to real clients as a 429', async () => {
    const token = tokenOf('spent');
    const { client, upstream: spending } = await open({ token });
    spending.sendEvent(responseDone());
    await assertEnded(client, 4429, 'budget_exceeded');
    const env = { OPENAI_API_KEY: token, OPENAI_BASE_URL: `https://localhost:${gateway.securePort}/v1` };
    const { complaints, ...told } = await runProgram('openai_refused.mjs', env);
    assert.deepEqual(told, { name: 'RateLimitError', status: 429, code: 'budget_exceeded', type: 'rate_limit_error' });
    assert.equal(complaints, '');
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/v1/realtime?model=gpt-realtime`, [
      'realtime',
      `openai-insecure-api-key.${token}`,
    ]);
    const [error] = await once(socket, 'error');
    assert.equal(error.message, 'Unexpected server response: 429');
  });

  test('of one caller is nothing to another', async () => {
    const { client } = await open({ token: tokenOf('unreachable') });
    client.destroy();
  });
});

test('a client secret is one of the sessions of the caller who minted it', async () => {
  const { value } = (await gateway.send(mintRequest('current', { token: tokenOf('ending-0') }))).json();
  const [first, second] = [await open({ token: value }), await knock('ending-0')];
  retryAfter(second, 'session_limit_exceeded');
  first.client.destroy();
});
