// What every client meets: the gateway over TLS, and aimock behind it, which takes the provider's key only.
import assert from 'node:assert/strict';
import {
  basicConfiguration, basicEnv, clientKey, providerKey, route, sha256, tokens, useAimock, useGateway,
} from '../e2e/harness/index.mjs';

/** A gateway token that looks like a client secret, as the browser classes of the official SDKs want it. */
export const browserToken = 'ek_gt-browser-3Hd8sLp2';

/** What aimock answers to `hello`. */
export const answerText = 'Hello! How can I help you today?';

/** Everything that must not reach the upstream. */
const clientSecrets = [tokens.web, browserToken, clientKey];

/**
 * A gateway for this test file. `changes` gives what the caller `browser` has beside its token, and policies, each of
 * which has a route below its name.
 */
export function useClients(changes = () => ({})) {
  const aimock = useAimock({ keys: [providerKey] });
  const gateway = useGateway(() => ({
    upstreams: { upstream: aimock.port },
    env: basicEnv,
    tls: true,
    configuration: basicConfiguration({
      callers: {
        'web-app': { tokens: [{ sha256: sha256(tokens.web) }] },
        browser: { tokens: [{ sha256: sha256(browserToken) }], ...changes().browser },
      },
      policies: { default: { provider: 'openai' }, ...changes().policies },
    }),
    routes: [...Object.keys(changes().policies ?? {}).map((name) => route({ name, prefix: `/${name}/`, rewrite: '/' })), route({})],
  }));
  return {
    gateway,
    realtimeUrl: (policy) => `wss://localhost:${gateway.securePort}${below(policy)}/v1/realtime`,
    baseUrl: (policy) => `https://localhost:${gateway.securePort}${below(policy)}/v1`,
    /**
     * What reached the upstream while `use` ran: `{ result, arrived }`, journal entries of that time only. None of
     * them may hold anything of the client's.
     */
    async watch(use) {
      const before = (await aimock.journal()).length;
      const result = await use();
      const arrived = (await aimock.journal()).slice(before);
      for (const secret of clientSecrets) {
        assert.ok(!JSON.stringify(arrived).includes(secret), 'a credential of the client reached the upstream');
      }
      return { result, arrived };
    },
  };
}

/** The prefix of a policy's route. */
const below = (policy) => (policy === undefined ? '' : `/${policy}`);

/** A realtime conversation reached the upstream once, as a WebSocket with one credential in its right place. */
export function assertRealtime(arrived, subprotocols) {
  assert.deepEqual(arrived.map(({ method, path }) => [method, path]), [['WS', '/v1/realtime']]);
  const [{ headers, body }] = arrived;
  assert.equal(headers['sec-websocket-protocol'], subprotocols);
  assert.ok('authorization' in headers);
  assert.equal(headers['openai-beta'], undefined);
  assert.equal(body.model, 'gpt-realtime');
}

/** The client got a session, then a whole response. */
export function assertConversation({ events, text }) {
  assert.equal(events[0], 'session.created');
  assert.equal(events.at(-1), 'response.done');
  assert.equal(text, answerText);
}
