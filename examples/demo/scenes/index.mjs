// The scenes in their order. Each exports its `title` and `play(stage, screen)`, which throws where the gateway does not
// do what it promises.
import * as clientSecret from './client_secret.mjs';
import * as control from './control.mjs';
import * as noToken from './no_token.mjs';
import * as ownKey from './own_key.mjs';
import * as ticket from './ticket.mjs';

export const scenes = [ticket, ownKey, noToken, clientSecret, control];
