// `make demo`: the filter at work, in a real Envoy on loopback, scene by scene.
//
//   KEEP=1                 stays up afterwards and says how to connect: every command that it prints can be run then
//   UPSTREAM=host          talks to the real API there over TLS, with OPENAI_API_KEY as the provider's key
import { rmSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { certificate, modulePath, workDirectory } from '../../tests/e2e/harness/index.mjs';
import { scenes } from './scenes/index.mjs';
import { startStage } from './stage.mjs';
import { shortened, terminal } from './terminal.mjs';

const screen = terminal();
const environmentFile = join(workDirectory, 'demo/env');

process.exitCode = await run().catch((error) => {
  screen.line();
  screen.bad(error.message);
  return 1;
});

async function run() {
  const interrupted = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve('interrupted'));
  });
  const stage = await startStage(realUpstream(process.env));
  try {
    introduce(stage);
    if ((await Promise.race([playAll(stage), interrupted])) === 'interrupted') return 130;
    if (process.env.KEEP) {
      sayHowToConnect(stage);
      await interrupted;
    } else {
      screen.line(`\n  To try these commands: ${screen.paint.cyan('KEEP=1 make demo')}`);
    }
    screen.line();
    return 0;
  } finally {
    rmSync(environmentFile, { force: true });
    await stage.stop();
  }
}

/** The real API, where it was asked for, else null. */
function realUpstream({ UPSTREAM: host, OPENAI_API_KEY: key }) {
  if (!host) return null;
  if (!/^[a-z0-9.-]+$/i.test(host)) throw new Error(`UPSTREAM must be a host name such as api.openai.com, found ${host}`);
  if (!key) throw new Error(`OPENAI_API_KEY is not set: ${host} wants a key`);
  return { host, key };
}

function introduce(stage) {
  const { paint } = screen;
  const mock = stage.upstream === 'aimock';
  screen.line(`\n  ${paint.bold('realtime-byok')}  gateway token in, provider key out\n`);
  screen.facts([
    ['client', `Node's ws package. All it has is a gateway token: ${paint.cyan(shortened(stage.webAppToken))}`],
    ['gateway', `Envoy with envoy/envoy.yaml and the module (${Math.round(statSync(modulePath()).size / 1000)} KB), at ${stage.baseUrl}`],
    ['upstream', mock ? 'aimock, a mock of OpenAI\'s API, which takes this key and no other:' : `${stage.upstream}, over TLS, with your key:`],
    ['', `${paint.yellow(shortened(stage.providerKey))}, which only the gateway has`],
  ]);
}

async function playAll(stage) {
  for (const [index, { title, play }] of scenes.entries()) {
    screen.heading(index + 1, title);
    await play(stage, screen);
  }
}

/** The tokens of this run go into a file that only this user reads, not onto the screen. */
function sayHowToConnect(stage) {
  const { paint } = screen;
  const file = relative(process.cwd(), environmentFile);
  const variables = {
    NODE_EXTRA_CA_CERTS: certificate.chain,
    SSL_CERT_FILE: certificate.chain,
    OPENAI_BASE_URL: stage.baseUrl,
    OPENAI_API_KEY: stage.backendToken,
    REALTIME_URL: stage.url.replace(/\?.*$/, ''),
    CONTROL_URL: stage.controlUrl,
    CONTROL_TOKEN: stage.controlToken,
    METRICS_URL: stage.metricsUrl,
    OFFER: JSON.stringify(['realtime', `cf-aig-authorization.${stage.webAppToken}`]),
  };
  mkdirSync(join(workDirectory, 'demo'), { recursive: true });
  rmSync(environmentFile, { force: true });
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}='${value}'\n`);
  writeFileSync(environmentFile, lines.join(''), { mode: 0o600 });

  screen.heading('↻', 'It stays up until Ctrl-C');
  screen.facts([
    ['OPENAI_BASE_URL', stage.baseUrl],
    ['CONTROL_URL', stage.controlUrl],
    ['CONTROL_TOKEN', `${paint.cyan(shortened(stage.controlToken))}, whole in the file below`],
    ['METRICS_URL', stage.metricsUrl],
  ]);
  screen.line();
  screen.say('In another terminal, where the first line sets these, the gateway\'s certificate and its tokens:');
  for (const [note, command] of [
    ['first of all', `. ${file}`],
    ['a realtime session', 'node tests/clients/programs/ws.mjs'],
    ['the official SDK, with the token as its API key', 'node tests/clients/programs/openai_chat.mjs'],
    ['anything else', 'curl --cacert "$SSL_CERT_FILE" -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/models"'],
    ['the sessions so far', 'curl -H "Authorization: Bearer $CONTROL_TOKEN" "$CONTROL_URL/sessions"'],
    ['what callers have used today', 'curl -H "Authorization: Bearer $CONTROL_TOKEN" "$CONTROL_URL/usage"'],
    ['what Prometheus reads', 'curl "$METRICS_URL?filter=realtime_byok"'],
  ]) {
    screen.line(`    ${paint.dim(`# ${note}`)}`);
    screen.line(`    ${paint.cyan(command)}`);
  }
}
