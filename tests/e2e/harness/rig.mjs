// A recorder behind the gateway, and the two ways in which a request can end: forwarded or denied.
import assert from 'node:assert/strict';
import { useGateway, useRecorder } from './hooks.mjs';
import { basicConfiguration, basicEnv } from './secrets.mjs';

/** The contract's errors: code to status and type. */
export const denials = {
  missing_gateway_token: [401, 'authentication_error'],
  invalid_gateway_token: [401, 'authentication_error'],
  expired_gateway_token: [401, 'authentication_error'],
  conflicting_credentials: [400, 'invalid_request_error'],
  malformed_credentials: [400, 'invalid_request_error'],
  malformed_request: [400, 'invalid_request_error'],
  method_not_allowed: [405, 'invalid_request_error'],
  unsupported_content_type: [400, 'invalid_request_error'],
  invalid_gateway_object: [400, 'invalid_request_error'],
  model_required: [400, 'invalid_request_error'],
  route_not_allowed: [403, 'permission_error'],
  model_not_allowed: [403, 'permission_error'],
  origin_not_allowed: [403, 'permission_error'],
  no_policy: [404, 'invalid_request_error'],
  session_limit_exceeded: [429, 'rate_limit_error'],
  rate_limit_exceeded: [429, 'rate_limit_error'],
  budget_exceeded: [429, 'rate_limit_error'],
  provider_key_rejected: [502, 'upstream_error'],
  invalid_upstream_response: [502, 'upstream_error'],
  body_unavailable: [500, 'server_error'],
  overloaded: [503, 'server_error'],
};

/**
 * A gateway for this file in front of `upstream`, a recorder unless another is given.
 *
 * `changes` is what the configuration has beside `basicConfiguration`. `upstreams` is called for further clusters, once
 * the parts that were asked for earlier run. Everything else is as `startGateway` takes it.
 */
export function useRig({ upstream = useRecorder(), changes, upstreams = () => ({}), ...options } = {}) {
  const gateway = useGateway(() => ({
    env: basicEnv,
    configuration: basicConfiguration(changes),
    upstreams: { upstream: upstream.port, ...upstreams() },
    ...options,
  }));
  const rig = { recorder: upstream, gateway };
  return {
    ...rig,
    forwarded: (request, sending) => forwarded(rig, request, sending),
    denied: (request, code, sending) => denied(rig, request, code, sending),
  };
}

/** Sends a request that must reach the upstream once: `{ answer, seen }`. An upgraded socket is closed. */
export async function forwarded({ recorder, gateway }, request, { status, ...sending } = {}) {
  const answer = await gateway.send(request, sending);
  const expected = status ?? (isUpgrade(request) ? 101 : 200);
  assert.equal(answer.status, expected, `answered ${answer.status}: ${answer.body}`);
  answer.socket?.destroy();
  const seen = recorder.requestsOf(answer.case);
  assert.equal(seen.length, 1, 'the upstream is reached once');
  return { answer, seen: seen[0] };
}

/** Sends a request that must be denied with this code, in the contract's shape, before any upstream. */
export async function denied({ recorder, gateway }, request, code, sending) {
  const answer = await gateway.send(request, sending);
  assertDenial(answer, code);
  const entry = await gateway.envoy.accessLogOf(answer.case);
  assert.equal(entry.details, `realtime_byok.${code}`);
  assert.deepEqual([entry.session.code, entry.session.close], [code, 'gateway'], 'the access log tells it');
  assert.equal(entry.upstream, null, 'no upstream was chosen');
  assert.deepEqual(recorder.requestsOf(answer.case), [], 'nothing reached the upstream');
  return answer;
}

/** Asserts status, headers and body of an error, byte for byte where the contract fixes them. */
export function assertDenial(answer, code) {
  const [status, type] = denials[code];
  assert.equal(answer.status, status, `answered ${answer.status}: ${answer.body}`);
  assert.deepEqual(answer.headerAll('content-type'), ['application/json']);
  assert.deepEqual(answer.headerAll('www-authenticate'), status === 401 ? ['Bearer realm="realtime-byok"'] : []);
  const { error, ...others } = answer.json();
  assert.deepEqual(others, {});
  assert.deepEqual(Object.keys(error), ['message', 'type', 'param', 'code']);
  assert.equal(error.code, code);
  assert.equal(error.type, type);
  assert.ok(error.param === null || typeof error.param === 'string');
  assert.match(error.message, /\S/);
  assert.equal(answer.body.toString('utf8'), JSON.stringify({ error }), 'the body is one compact object');
}

function isUpgrade(request) {
  return request.headers.some(([name]) => name.toLowerCase() === 'upgrade');
}
