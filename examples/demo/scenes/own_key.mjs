// The same page before it was cleaned up: it still ships a key of its own.
import { randomBytes } from 'node:crypto';
import { playSession } from './session.mjs';

export const title = 'The same client, with a key still in the page';

export async function play(stage, screen) {
  screen.say('Pages that still ship a key can move over one by one: the key goes no further than the gateway.');
  const ownKey = `sk-page-${randomBytes(12).toString('hex')}`;
  await playSession(stage, screen, [
    'realtime',
    `openai-insecure-api-key.${ownKey}`,
    `cf-aig-authorization.${stage.webAppToken}`,
    'openai-beta.realtime-v1',
  ]);
}
