// A session seen and stopped from the server side: its record grows while it runs, and its client is told why it ends.
import { setTimeout as sleep } from 'node:timers/promises';
import { dialogue } from '../conversation.mjs';
import { shortened } from '../terminal.mjs';

export const title = 'A session listed, metered and stopped by its id';

export async function play(stage, screen) {
  screen.say(
    'The control API is on a listener of its own, with a token of its own. It knows every session of this Envoy, ' +
      'whichever worker runs it.',
  );
  if (stage.received() !== null) screen.quote('aimock counts no tokens: those shown here are made up by the demo.\n');
  const offer = ['realtime', `cf-aig-authorization.${stage.webAppToken}`];
  const client = await dialogue({ url: stage.url, offer });
  try {
    const id = await open(stage);
    screen.code([`curl -H "authorization: Bearer $CONTROL_TOKEN" ${stage.controlUrl}/sessions/${id}`]);
    await say(stage, screen, client, id, 'hello');
    await say(stage, screen, client, id, 'hello again');
    await stop(stage, screen, client, id);
  } finally {
    client.terminate();
  }
}

/** The id of the one session that is open. */
async function open(stage) {
  const { body } = await stage.control('GET', '/sessions?caller=web-app&status=open');
  const [session, ...others] = body.data;
  if (session === undefined || others.length > 0) throw new Error(`one session is open, and ${body.data.length} are listed`);
  return session.id;
}

/** Says something, and shows what the record has become. */
async function say(stage, screen, client, id, text) {
  const before = await stage.control('GET', `/sessions/${id}`);
  await client.say(text);
  const after = await recordAfter(stage, id, before.body);
  const { frames, usage, cost_usd: cost } = after;
  screen.good(
    `after “${text}”`,
    `${(after.duration_ms / 1000).toFixed(1)} s, ${frames.client} + ${frames.upstream} frames, ` +
      `${usage.responses} ${usage.responses === 1 ? 'response' : 'responses'}, ${usage.total_tokens} tokens, $${cost}`,
  );
}

/** The record once it knows of one more response. Workers write theirs every second. */
async function recordAfter(stage, id, before) {
  for (let tries = 0; tries < 50; tries += 1) {
    const { body } = await stage.control('GET', `/sessions/${id}`);
    if (body.frames.upstream > before.frames.upstream && body.usage.responses > before.usage.responses) return body;
    await sleep(100);
  }
  throw new Error('the record does not grow');
}

async function stop(stage, screen, client, id) {
  screen.line();
  screen.code([`curl -X DELETE -H "authorization: Bearer $CONTROL_TOKEN" ${stage.controlUrl}/sessions/${id}`]);
  const { status, body } = await stage.control('DELETE', `/sessions/${id}`);
  if (status !== 202 || body.status !== 'stopping') throw new Error(`the stop was answered ${status}, ${body.status}`);
  screen.good(`${status} Accepted`, `${shortened(id)} is ${body.status}`);
  client.keepTalking();
  const { error, code, reason } = await client.closed();
  if (error?.code !== 'session_stopped' || code !== 4410) throw new Error(`the client saw ${error?.code} and ${code}`);
  screen.good('the client\'s error event', `${error.code}: “${error.message}”`);
  screen.good('the client\'s close event', `${code} ${reason}`);
  const { body: closed } = await stage.control('GET', `/sessions/${id}`);
  if (closed.status !== 'closed') throw new Error(`the session is ${closed.status}`);
  screen.good('its record', `${closed.status} by the ${closed.close.by}, $${closed.cost_usd} in all`);
}
