// The client secrets that are out.
import { randomBytes } from 'node:crypto';

/** The book of the secrets that this upstream has minted. */
export function secretBook() {
  const sessions = new Map();
  let allExpired = false;
  return {
    /** A new secret for `session`, minted with `key`: `{ value, expires_at }`, as it stands in an answer. */
    mint(session, seconds, key) {
      const secret = { value: `ek_${randomBytes(16).toString('hex')}`, expires_at: now() + seconds };
      sessions.set(secret.value, { session, key, expiresAt: secret.expires_at });
      return secret;
    },
    /** `'good'`, `'expired'`, or `'unknown'` for what was not minted here. */
    judge(value) {
      const minted = sessions.get(value);
      if (minted === undefined) return 'unknown';
      return allExpired || minted.expiresAt <= now() ? 'expired' : 'good';
    },
    /** The session that a secret was minted for. */
    sessionOf: (value) => sessions.get(value)?.session,
    /** The key that a secret was minted with. */
    keyOf: (value) => sessions.get(value)?.key,
    /** All secrets so far, oldest first. */
    values: () => [...sessions.keys()],
    /** From here on no secret is good. */
    expireAll() {
      allExpired = true;
    },
    /** Secrets are good again until they expire by themselves. */
    restoreAll() {
      allExpired = false;
    },
  };
}

function now() {
  return Math.floor(Date.now() / 1000);
}
