// Somebody without a token.
import { converse } from '../conversation.mjs';

export const title = 'Somebody without a token';

export async function play(stage, screen) {
  screen.say('The answer is plain HTTP, before any 101, in the shape of OpenAI\'s own errors.');
  screen.code([`new WebSocket('${stage.url}', ['realtime'])`]);

  const before = stage.received()?.length;
  const { refused } = await converse({ url: stage.url, offer: ['realtime'], text: 'hello' });
  if (refused?.status !== 401) throw new Error('a request without a token was let through');
  const { error } = JSON.parse(refused.body);
  screen.good(`${refused.status} ${error.code}`);
  screen.quote(`“${error.message}”`);
  if (stage.received() && stage.received().length !== before) throw new Error('the upstream was contacted');
  const logged = await stage.lastLogged();
  if (logged?.upstream_host) throw new Error('the gateway contacted an upstream');
  screen.good('the upstream was not contacted', `the access log's details: ${logged?.details}`);
}
