// A backend mints a client secret for one user, and a page uses it: it works through the gateway, and nowhere else.
import { inspect } from 'node:util';
import { startChromium, withoutChromium } from '../../../tests/clients/chromium.mjs';
import { runProgram } from '../../../tests/clients/program.mjs';
import { converse } from '../conversation.mjs';
import { exchanged } from '../exchange.mjs';
import { shortened } from '../terminal.mjs';

export const title = 'A client secret that is worthless elsewhere';

export async function play(stage, screen) {
  screen.say(
    'A backend mints one with its gateway token: for one user. It goes to the page, where the official ' +
      "SDK takes it for OpenAI's own. For ten minutes it opens sessions; each may last five minutes and cost a dollar.",
  );
  const chromium = withoutChromium ? null : await startChromium();
  try {
    const secret = await mint(stage, screen, chromium?.origin);
    await use(stage, screen, secret, chromium);
    await misuse(stage, screen, secret);
  } finally {
    await chromium?.stop();
  }
}

/** As a backend does, with the official SDK. */
async function mint(stage, screen, origin) {
  const said = { user: 'u_123', max_duration: '5m', max_cost_usd: 1, ...(origin ? { origin } : {}) };
  screen.code([
    'await client.realtime.clientSecrets.create({',
    "  session: { type: 'realtime', model: 'gpt-realtime' },",
    `  gateway: ${inspect(said, { breakLength: Infinity })},`,
    '})',
  ]);
  const answer = await runProgram('openai_secret.mjs', {
    OPENAI_API_KEY: stage.backendToken,
    OPENAI_BASE_URL: stage.baseUrl,
    GATEWAY: JSON.stringify(said),
  });
  if (!/^ek_[\w-]{100,}$/.test(answer.value)) throw new Error('the client secret is not sealed');
  const minutes = Math.round((answer.expires_at - Date.now() / 1000) / 60);
  screen.good(
    'a sealed secret',
    `${shortened(answer.value)}, ${answer.value.length} letters, good for ${minutes} minutes, the \`max_ttl\` of envoy.yaml`,
  );
  return answer.value;
}

/** As a page does: the official SDK in Chromium, over wss; without a Chromium, the same SDK in Node. */
async function use(stage, screen, secret, chromium) {
  const seen = stage.received()?.length;
  const { events, text } = chromium === null ? await inNode(stage, secret) : await inChromium(stage, secret, chromium);
  if (events.at(-1) !== 'response.done') throw new Error('the client secret opened no session');
  screen.good('response.done', `the official SDK in ${chromium === null ? 'Node' : 'Chromium'}, hello: “${text}”`);
  if (chromium === null) screen.quote(`There is no browser. ${withoutChromium}.`);

  const head = stage.received()?.[seen];
  if (head === undefined) return;
  const received = JSON.stringify(head);
  if (received.includes(secret)) throw new Error('the upstream received the sealed secret');
  if (!/Bearer ek_/.test(received)) throw new Error('the upstream did not receive its own secret');
  if (chromium === null) return;
  const offer = ['realtime', `openai-insecure-api-key.${secret}`];
  const url = `${stage.baseUrl}/realtime?model=gpt-realtime`;
  screen.columns(['the client offered', 'the upstream received'], exchanged({ url, offer }, head, screen));
  screen.line();
}

async function inChromium(stage, secret, chromium) {
  const page = await chromium.open('openai');
  try {
    return await page.converse({ client: { apiKey: secret, baseURL: stage.baseUrl } });
  } finally {
    await page.close();
  }
}

function inNode(stage, secret) {
  return runProgram('openai_realtime.mjs', { CLASS: 'ws', OPENAI_API_KEY: secret, OPENAI_BASE_URL: stage.baseUrl });
}

/** Past the gateway, and with one letter changed. */
async function misuse(stage, screen, secret) {
  if (stage.directUrl !== null) {
    const error = await refused(stage.directUrl, secret);
    screen.good('refused by the upstream', `straight to it: ${error.status} “${error.message.split('. ')[0]}.”`);
  }
  const at = secret.length >> 1;
  const changed = secret.slice(0, at) + (secret[at] === 'A' ? 'B' : 'A') + secret.slice(at + 1);
  const error = await refused(stage.url, changed);
  if (error.code !== 'invalid_gateway_token') throw new Error(`the gateway answered ${error.status} ${error.code}`);
  screen.good('refused by the gateway', `with one letter changed: ${error.status} ${error.code}`);
}

async function refused(url, secret) {
  const offer = ['realtime', `openai-insecure-api-key.${secret}`];
  const { refused: answer } = await converse({ url, offer, text: 'hello' });
  if (answer?.status !== 401) throw new Error('a secret that is good for nothing opened a session');
  return { status: answer.status, ...JSON.parse(answer.body).error };
}
