// What the first two scenes share: a session through the gateway, shown from both sides.
import { converse } from '../conversation.mjs';
import { exchanged, withoutSecret } from '../exchange.mjs';
import { shortened } from '../terminal.mjs';

/** Plays a session with this offer; throws where it is not what the gateway promises. */
export async function playSession(stage, screen, offer) {
  screen.code([`new WebSocket('${stage.url}', [`, ...offer.map((member) => `  '${withoutSecret(member)}',`), '])']);

  const seen = stage.received()?.length;
  const { refused, subprotocol, model, answer } = await converse({ url: stage.url, offer, text: 'hello' });
  if (refused) throw new Error(`the gateway answered ${refused.status}: ${refused.body}`);
  screen.good('101 Switching Protocols', `subprotocol ${subprotocol}`);
  screen.good('session.created', `model ${model}`);
  screen.good('response.done', `hello: “${answer}”`);

  const received = stage.received();
  if (received === null) {
    screen.line();
    screen.say(`TLS hides what ${stage.upstream} received. It opened a session, so it got the key ${shortened(stage.providerKey)}.`);
    return;
  }
  const head = received[seen];
  assertExchanged(head, stage, offer);
  screen.columns(['the client offered', 'the upstream received'], exchanged({ url: stage.url, offer }, head, screen));
}

/** The provider's key is there, and nothing of what the client offered as a credential. */
function assertExchanged(head, { providerKey }, offer) {
  const text = JSON.stringify(head);
  if (!text.includes(`Bearer ${providerKey}`)) throw new Error('the upstream did not receive the provider\'s key');
  for (const member of offer.slice(1)) {
    if (text.includes(member)) throw new Error(`the upstream received ${withoutSecret(member)}`);
  }
}
