// A small, strict OpenAI, and Azure where its paths are others, for what aimock has not: client secrets and WebRTC calls.
// All else is aimock's.
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { startAimock } from './aimock.mjs';
import { useFor } from './hooks.mjs';
import { callDesk } from './openai/calls.mjs';
import { handOver, interpret, passOn } from './openai/conversation.mjs';
import {
  ApiError,
  expiredSecret,
  incorrectKey,
  missingCredential,
  missingParameter,
  notFound,
} from './openai/errors.mjs';
import { mintFaults } from './openai/faults.mjs';
import { attach, liveAnswer, readLiveCall } from './openai/live.mjs';
import { secretBook } from './openai/secrets.mjs';
import { mintEndpoints, readMintRequest, readSession } from './openai/shapes.mjs';
import { record } from './recorder.mjs';
import { providerKey } from './secrets.mjs';

/**
 * The paths that begin calls: the `kind` that their ids begin with, the collection that `location` names them in, none of
 * Live's, and the path that ends them. The hang-up of translations is as the official SDK for Ruby has it, Azure's as its
 * REST reference.
 */
const callPaths = {
  '/v1/realtime/calls': { location: '/v1/realtime/calls', hangup: /^\/v1\/realtime\/calls\/(rtc_[^/]+)\/hangup$/ },
  '/v1/realtime/translations/calls': {
    kind: 'rtc_t1',
    location: '/v1/realtime/translations/calls',
    hangup: /^\/v1\/realtime\/translations\/calls\/(rtc_t1[^/]+)\/hangup$/,
  },
  '/openai/v1/realtimertc': {
    kind: 'rtc_a1',
    location: 'https://eastus2.example.com/openai/v1/realtime/calls',
    hangup: /^\/openai\/v1\/realtime\/calls\/(rtc_a1[^/]+)\/hangup$/,
  },
  '/v1/live/sessions': { kind: 'live', hangup: /^\/v1\/live\/sessions\/(live_[^/]+)\/hangup$/ },
};

const keySubprotocol = 'openai-insecure-api-key.';

/** An upstream for this file. `options` as `startOpenai` takes them. */
export function useOpenai(options) {
  return useFor(() => startOpenai(options));
}

/**
 * Starts it on a free port. It takes the API keys in `keys`, and the client secrets that it has minted where OpenAI
 * takes them: on the realtime WebSocket and for `POST /v1/realtime/calls`. `fixtures` are aimock's.
 *
 * `usage` is what it says that a response has used, to those who come with a key; without it nothing, as aimock.
 *
 * A mint request may ask in `x-reply` for a faulty answer (`openai/faults.mjs`); any request for a refusal, with
 * `refuse STATUS`, that quotes the credential received.
 */
export async function startOpenai({ keys = [providerKey], fixtures, usage } = {}) {
  const aimockKey = `sk-aimock-${randomBytes(8).toString('hex')}`;
  const aimock = { ...(await startAimock({ keys: [aimockKey], fixtures })), key: aimockKey };
  const upstream = { keys, aimock, secrets: secretBook(), calls: callDesk(aimock), usage, hangupRefusals: [] };
  const requests = [];
  const sockets = new Set();
  const server = http.createServer();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  });
  server.on('request', async (incoming, response) => {
    const entry = record(incoming);
    requests.push(entry);
    try {
      const chunks = [];
      for await (const chunk of incoming) chunks.push(chunk);
      entry.body = Buffer.concat(chunks);
      await answerRest(upstream, entry, response);
    } catch (error) {
      answerError(error, response);
    }
  });
  server.on('upgrade', (incoming, socket, head) => {
    const entry = record(incoming);
    requests.push(entry);
    try {
      answerUpgrade(upstream, incoming, entry, socket, head);
    } catch (error) {
      refuseUpgrade(error, socket);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    port: server.address().port,
    /** Everything that has arrived, in order; entries as the recorder's, with the answer to minting as `minted`. */
    requests: () => [...requests],
    /** What arrived of the request that carried this `x-case`. */
    requestsOf: (id) => requests.filter((entry) => entry.header('x-case') === id),
    /** The client secrets that are out: `values()`, `expireAll()`, `restoreAll()`. */
    secrets: upstream.secrets,
    /** All calls so far: `[{ id, state, session }…]`. */
    calls: upstream.calls.list,
    /** The next hangups are refused with these statuses. */
    refuseHangups: (...statuses) => upstream.hangupRefusals.push(...statuses),
    async stop() {
      upstream.calls.stop();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await aimock.stop();
    },
  };
}

async function answerRest(upstream, entry, response) {
  const { pathname } = new URL(entry.target, 'http://upstream');
  const [reply, argument] = replyOf(entry);
  if (reply === 'refuse') throw refusal(entry, Number(argument));
  const hangup = Object.values(callPaths).find(({ hangup }) => hangup.test(pathname))?.hangup.exec(pathname);
  if (entry.method === 'POST' && Object.hasOwn(mintEndpoints, pathname)) {
    authenticateKey(upstream, entry);
    const answer = mint(upstream, mintEndpoints[pathname], entry);
    entry.minted = structuredClone(answer);
    const send = mintFaults[reply] ?? sendJson;
    await send(answer, response, argument);
  } else if (entry.method === 'POST' && Object.hasOwn(callPaths, pathname)) {
    await startCall(upstream, callPaths[pathname], entry, response);
  } else if (entry.method === 'POST' && hangup) {
    authenticateKey(upstream, entry);
    const status = upstream.hangupRefusals.shift();
    if (status !== undefined) throw new ApiError(status, { message: 'Not now.', code: 'upstream_text' });
    endCall(upstream, hangup[1], credentialOf(entry), response);
  } else {
    authenticateKey(upstream, entry);
    passOn({ entry, response, aimock: upstream.aimock });
  }
}

function endCall({ calls }, id, key, response) {
  if (!calls.hangUp(id, key)) throw noSuchCall();
  response.writeHead(200).end();
}

function noSuchCall() {
  return new ApiError(404, { message: 'No session found for the provided call_id', code: 'call_id_not_found' });
}

function mint({ secrets }, endpoint, entry) {
  if (!/^application\/json\b/i.test(entry.header('content-type') ?? '')) {
    throw new ApiError(415, { message: "Unsupported content type. This API method only accepts 'application/json'." });
  }
  const { session, seconds } = readMintRequest(endpoint, parseJson(entry.body));
  return endpoint.answer(secrets.mint(session, seconds, credentialOf(entry)), session, `sess_${randomBytes(12).toString('base64url')}`);
}

async function startCall(upstream, { kind, location }, entry, response) {
  const credential = authenticate(upstream, entry);
  const { sdp, session } = await (kind === 'live' ? readLiveCall(parseJson(entry.body)) : readCall(entry));
  if (!/^v=0\r?\n/.test(sdp)) throw new ApiError(400, { message: 'Invalid SDP offer.', code: 'invalid_offer' });
  const model = new URL(entry.target, 'http://upstream').searchParams.get('model');
  const ofCall = session ?? credential.session ?? (model === null ? undefined : { type: 'realtime', model });
  if (ofCall === undefined) throw missingParameter('session');
  const { id, answer } = await upstream.calls.start(sdp, ofCall, { kind, key: credential.key }).catch((error) => {
    throw new ApiError(400, { message: `Invalid SDP offer: ${error.message}`, code: 'invalid_offer' });
  });
  if (kind === 'live') {
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(liveAnswer(id, answer)));
  } else {
    response.writeHead(201, { 'content-type': 'application/sdp', location: `${location}/${id}` }).end(answer);
  }
}

/** The offer and, in a form, the session: `{ sdp, session? }`. */
async function readCall(entry) {
  const contentType = entry.header('content-type') ?? '';
  if (/^application\/sdp\b/i.test(contentType)) return { sdp: entry.body.toString('utf8') };
  if (!/^multipart\/form-data\b/i.test(contentType)) {
    throw new ApiError(415, { message: "Unsupported content type. Send 'application/sdp' or 'multipart/form-data'." });
  }
  const form = await new Response(entry.body, { headers: { 'content-type': contentType } }).formData().catch(() => {
    throw new ApiError(400, { message: 'The form could not be read.' });
  });
  const unknown = [...form.keys()].find((name) => !['sdp', 'session'].includes(name));
  if (unknown !== undefined)
    throw new ApiError(400, { message: `Unknown parameter: '${unknown}'.`, param: unknown, code: 'unknown_parameter' });
  if (!form.has('sdp')) throw missingParameter('sdp');
  const [sdp, session] = await Promise.all(['sdp', 'session'].map((name) => textOf(form.get(name))));
  return { sdp, session: session === undefined ? undefined : readSession(parseJson(session)) };
}

function textOf(part) {
  if (part === null) return undefined;
  return typeof part === 'string' ? part : part.text();
}

function answerUpgrade(upstream, incoming, entry, socket, head) {
  const { pathname, searchParams } = new URL(entry.target, 'http://upstream');
  const [reply, argument] = replyOf(entry);
  if (reply === 'refuse') throw refusal(entry, Number(argument));
  const attached = /^\/v1\/live\/sessions\/(live_[^/]+)\/attach$/.exec(pathname);
  if (attached) {
    const call = upstream.calls.running(attached[1], authenticate(upstream, entry).key);
    if (call === undefined) throw noSuchCall();
    return attach(call, { incoming, socket, head });
  }
  if (!['/v1/realtime', '/v1/realtime/translations'].includes(pathname)) throw notFound('GET', pathname);
  const credential = authenticate(upstream, entry);
  const joined = searchParams.has('call_id') ? upstream.calls.running(searchParams.get('call_id'), credential.key) : undefined;
  if (searchParams.has('call_id') && joined === undefined) throw noSuchCall();
  const session = joined?.session ?? credential.session;
  if (session === undefined && !searchParams.has('model')) throw missingParameter('model');
  const { aimock, usage } = upstream;
  if (usage === undefined || session !== undefined) {
    handOver({ entry, socket, head, aimock, model: session?.model });
  } else {
    interpret({ incoming, entry, socket, head, aimock, usage });
  }
}

/** Takes a key or a client secret: `{ key, session }`; a secret is of the key that minted it, and alone has a session. */
function authenticate(upstream, entry) {
  const credential = credentialOf(entry);
  if (credential.startsWith('ek_')) {
    const judgement = upstream.secrets.judge(credential);
    if (judgement === 'expired') throw expiredSecret(credential);
    if (judgement === 'good') return { key: upstream.secrets.keyOf(credential), session: upstream.secrets.sessionOf(credential) };
  }
  authenticateKey(upstream, entry);
  return { key: credential };
}

function authenticateKey({ keys }, entry) {
  const credential = credentialOf(entry);
  if (!keys.includes(credential)) throw incorrectKey(credential);
}

function credentialOf(entry) {
  const bearer = /^bearer +(\S+)$/i.exec(entry.header('authorization') ?? '');
  const offered = (entry.subprotocols() ?? '').split(/[,|]/).map((name) => name.trim());
  const subprotocol = offered.find((name) => name.startsWith(keySubprotocol));
  const credential = bearer?.[1] ?? subprotocol?.slice(keySubprotocol.length);
  if (credential === undefined) throw missingCredential();
  return credential;
}

function refusal(entry, status) {
  return new ApiError(status, { message: `Refused: ${entry.header('authorization')}`, code: 'upstream_text' });
}

function replyOf(entry) {
  return (entry.header('x-reply') ?? '').split(' ');
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, { message: 'We could not parse the JSON body of your request.' });
  }
}

function sendJson(answer, response) {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}

function answerError(error, response) {
  if (!(error instanceof ApiError)) return response.writeHead(500).end(error.stack);
  response
    .writeHead(error.status, { 'content-type': 'application/json', 'x-upstream-note': 'upstream_text' })
    .end(error.body);
}

function refuseUpgrade(error, socket) {
  socket.end(
    [
      `HTTP/1.1 ${error.status} Refused`,
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(error.body)}`,
      'connection: close',
      '',
      error.body,
    ].join('\r\n'),
  );
}
