// The credentials of the tests. Each is unlike every other text, so that a search finds all leaks of it.
import { createHash } from 'node:crypto';

export const sha256 = (text) => createHash('sha256').update(text).digest('hex');

/** Gateway tokens by caller. */
export const tokens = { web: 'gt-web-7Qe2xVb9Lr4Ws1', other: 'gt-other-4Mn8cKd1Pz7Gt5', unknown: 'gt-nobody-5Tz6yHj3Bn8Cx2' };

/** Where clients put the token of `web-app`: a header line, or a subprotocol. */
export const authorized = [['cf-aig-authorization', tokens.web]];
export const slot = `cf-aig-authorization.${tokens.web}`;

/** What a client may send of its own, which must go nowhere. */
export const clientKey = 'sk-client-own-9Lw3pRs7';

/** The key of the default provider. */
export const providerKey = 'sk-provider-2Fg5hYu8';

/** One provider, two callers, one policy, and the environment that it reads. */
export function basicConfiguration(changes = {}) {
  return {
    providers: { openai: { kind: 'openai', key: { env: 'OPENAI_API_KEY' } } },
    callers: {
      'web-app': { tokens: [{ sha256: sha256(tokens.web) }] },
      other: { tokens: [{ env: 'OTHER_TOKEN' }] },
    },
    policies: { default: { provider: 'openai' } },
    ...changes,
  };
}

export const basicEnv = { OPENAI_API_KEY: providerKey, OTHER_TOKEN: tokens.other };
