// The client of the support ticket: a page with a gateway token and no key.
import { converse } from '../conversation.mjs';
import { playSession } from './session.mjs';

export const title = 'The client of the support ticket: a gateway token, no key';

export async function play(stage, screen) {
  const offer = ['realtime', `cf-aig-authorization.${stage.webAppToken}`, 'openai-beta.realtime-v1'];
  screen.say('A browser cannot set headers on a WebSocket, so this client offers its gateway token as a subprotocol.');
  if (stage.directUrl !== null) {
    const { refused } = await converse({ url: stage.directUrl, offer, text: 'hello' });
    if (refused === undefined) throw new Error('the upstream took a gateway token for a key');
    screen.bad('without the gateway', `the upstream answers ${refused.status}: “${JSON.parse(refused.body).error.message}”`);
    screen.line('\n  Through the gateway:\n');
  }
  await playSession(stage, screen, offer);
}
