// The demo as a newcomer runs it, and the configuration with which it would talk to the real API.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import { until, validateBootstrap, workDirectory } from '../../tests/e2e/harness/index.mjs';
import { runProgram } from '../../tests/clients/program.mjs';
import { demoBootstrap, demoEnvironment } from './gateway.mjs';
import { terminal } from './terminal.mjs';

const run = promisify(execFile);
const program = fileURLToPath(new URL('demo.mjs', import.meta.url));
const environmentFile = join(workDirectory, 'demo/env');

/** Marks the processes of this test: whatever they start has it in its environment too. */
const home = mkdtempSync(join(tmpdir(), 'realtime-byok-demo-'));
after(() => rmSync(home, { recursive: true }));

/** Starts the demo: `{ output(), kill(signal), ended }`; `ended` resolves to its exit code. */
function startDemo(env = {}) {
  const child = spawn(process.execPath, [program], {
    env: { PATH: process.env.PATH, HOME: home, ...given('REALTIME_BYOK_WASM'), ...given('ENVOY_BIN'), ...env },
  });
  const chunks = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => chunks.push(chunk));
  const ended = new Promise((resolve) => child.once('close', resolve));
  return { output: () => Buffer.concat(chunks).toString(), kill: (signal) => child.kill(signal), ended };
}

function given(name) {
  return process.env[name] === undefined ? {} : { [name]: process.env[name] };
}

/** The last of what the demo started ends a moment after it. */
function nothingLeft() {
  return until('the processes of the demo to end', () => leftOver().length === 0);
}

function leftOver() {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && environmentOf(pid).includes(`HOME=${home}\0`));
}

function environmentOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return ''; // It has just ended, or is another user's.
  }
}

/** Each of these commands, typed as it was printed, is answered by what it says it shows. */
async function assertRun(commands) {
  const answers = [
    ['a record', /^\{"id":"rb_\w+",.*"status":"closed"/],
    ['the stop of a session that is over', /^\{"id":"rb_\w+",.*"status":"closed"/],
    ['models', /"object":\s*"list"/],
    ['sessions', /^\{"object":"list","data":\[\{"id":"rb_/],
    ['usage', /^\{"object":"list","data":\[\{"caller":"/],
    ['statistics', /^realtime_byok_sessions_total\{.*caller="web-app"/m],
  ];
  assert.equal(commands.length, answers.length);
  for (const [index, [what, answer]] of answers.entries()) {
    const { stdout } = await run('sh', ['-c', `. '${environmentFile}'\n${commands[index]}`]);
    assert.match(stdout, answer, what);
  }
}

describe('the demo', () => {
  for (const run of ['first', 'second']) {
    test(`a ${run} run ends by itself`, async () => {
      const demo = startDemo();
      assert.equal(await demo.ended, 0, demo.output());
      const output = demo.output();
      assert.equal(output, stripVTControlCharacters(output), 'no colours where there is no terminal');
      for (const expected of [
        /without the gateway +the upstream answers 401/,
        /session\.created +model gpt-realtime/,
        /cf-aig-authorization\.gt-web-.….{4} +–/,
        /openai-insecure-api-key\.sk-page-….{4} +–/,
        /openai-beta\.realtime-v1 +–/,
        /authorization: Bearer sk-demo-….{4}/,
        /401 missing_gateway_token/,
        /a sealed secret +ek_.{5}….{4}, \d{3} letters, good for 10 minutes/,
        /response\.done +the official SDK in (Chromium|Node)/,
        /authorization: Bearer ek_/,
        /straight to it: 401 “Incorrect API key provided/,
        /with one letter changed: 401 invalid_gateway_token/,
        /after “hello” +[\d.]+ s, \d+ \+ \d+ frames, 1 response, 1500 tokens, \$0\.04692/,
        /after “hello again” +[\d.]+ s, \d+ \+ \d+ frames, 2 responses, 3000 tokens, \$0\.09384/,
        /202 Accepted +rb_.+ is stopping/,
        /the client's error event +session_stopped: “.+”/,
        /the client's close event +4410 session_stopped/,
        /its record +closed by the gateway, \$0\.09384 in all/,
      ]) {
        assert.match(output, expected);
      }
      assert.equal(output.match(/response\.done/g).length, 3);
      assert.doesNotMatch(output, /(?:sk-demo|sk-page|gt-web|gt-backend|gt-control)-[0-9a-f]{8}|ek_\w{20}/, 'secrets are shortened');
      await nothingLeft();
    });
  }
  test('with KEEP=1 it stays up for anybody who has its file, until it is interrupted', async () => {
    const demo = startDemo({ KEEP: '1' });
    try {
      await until('the demo to say how to connect', () => /curl "\$METRICS_URL/.test(demo.output()), { timeoutMs: 60_000 });
      assert.equal(statSync(environmentFile).mode & 0o777, 0o600);
      const exported = readFileSync(environmentFile, 'utf8').matchAll(/^export (\w+)='(.*)'$/gm);
      const variables = Object.fromEntries([...exported].map(([, name, value]) => [name, value]));
      assert.ok(!demo.output().includes(variables.OPENAI_API_KEY), 'a token on the screen');
      assert.equal((await runProgram('ws.mjs', variables)).events.at(-1), 'response.done');
      assert.match((await runProgram('openai_chat.mjs', variables)).plain, /^Hello!/);
      for (const name of ['OPENAI_BASE_URL', 'CONTROL_URL', 'METRICS_URL']) {
        assert.match(demo.output(), new RegExp(`${name} +${variables[name]}\n`));
      }
      await assertRun(demo.output().match(/^ +curl .+$/gm));
    } finally {
      demo.kill('SIGINT');
    }
    assert.equal(await demo.ended, 0, demo.output());
    assert.throws(() => statSync(environmentFile), /ENOENT/);
    await nothingLeft();
  });
  test('interrupted in the middle it leaves nothing behind', async () => {
    const demo = startDemo();
    await until('the first scene', () => demo.output().includes('The client of the support ticket'), { timeoutMs: 60_000 });
    demo.kill('SIGINT');
    // It may have been at its end.
    assert.ok([0, 130].includes(await demo.ended), demo.output());
    await nothingLeft();
  });
});

describe('the real API', () => {
  const env = demoEnvironment({
    providerKey: 'sk-real',
    sealingKey: Buffer.alloc(32, 1).toString('base64'),
    webAppToken: 'gt-web-7Qe2xVb9Lr4Ws1',
    backendToken: 'gt-backend-4Mn8cKd1Pz',
    controlToken: 'gt-control-5Tz6yHj3Bn',
  });

  test('Envoy takes the configuration: TLS with SNI, the system\'s trust store, the host\'s own name', async () => {
    const bootstrap = demoBootstrap({ host: 'api.openai.com' });
    const { ok, output } = await validateBootstrap(bootstrap, { env });
    assert.ok(ok, output);

    const [cluster] = bootstrap.static_resources.clusters;
    const { address } = cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint;
    assert.deepEqual(address.socket_address, { address: 'api.openai.com', port_value: 443 });
    const tls = cluster.transport_socket.typed_config;
    assert.equal(tls.sni, 'api.openai.com');
    const { trusted_ca: trusted, match_typed_subject_alt_names: names } = tls.common_tls_context.validation_context;
    assert.match(readFileSync(trusted.filename, 'utf8'), /BEGIN CERTIFICATE/);
    assert.deepEqual(names, [{ san_type: 'DNS', matcher: { exact: 'api.openai.com' } }]);
  });
  test('no other provider is left in the configuration', () => {
    for (const upstream of [{ host: 'api.openai.com' }, { port: 1 }]) {
      assert.doesNotMatch(JSON.stringify(demoBootstrap(upstream)), /azure/i);
    }
  });
  test('without a key it says what is missing', async () => {
    const demo = startDemo({ UPSTREAM: 'api.openai.com' });
    assert.equal(await demo.ended, 1);
    assert.match(demo.output(), /OPENAI_API_KEY is not set: api\.openai\.com wants a key/);
  });
  test('what is no host name is refused', async () => {
    const demo = startDemo({ UPSTREAM: 'https://api.openai.com', OPENAI_API_KEY: 'sk-real' });
    assert.equal(await demo.ended, 1);
    assert.match(demo.output(), /UPSTREAM must be a host name such as api\.openai\.com, found https:/);
  });
  test('an upstream that cannot be reached ends the demo with what the gateway says', async () => {
    const demo = startDemo({ UPSTREAM: 'localhost', OPENAI_API_KEY: 'sk-real-0123456789abcdef' });
    assert.equal(await demo.ended, 1, demo.output());
    assert.match(demo.output(), /the gateway answered 503/);
    assert.doesNotMatch(demo.output(), /0123456789/);
    await nothingLeft();
  });
});

describe('the terminal', () => {
  const written = (isTTY, env) => {
    let text = '';
    const screen = terminal({ isTTY, write: (more) => (text += more) }, env);
    screen.heading(1, 'Title');
    screen.good('well');
    return text;
  };
  test('colours only where they are wanted', () => {
    assert.match(written(true, {}), /\u001b\[/);
    for (const [isTTY, env] of [[false, {}], [true, { NO_COLOR: '1' }], [true, { TERM: 'dumb' }]]) {
      assert.doesNotMatch(written(isTTY, env), /\u001b/);
    }
  });
});
