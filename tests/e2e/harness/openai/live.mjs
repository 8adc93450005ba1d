// Calls of Live: what a request for one may hold, its answer, and the sidebands that attach to it. The names and the
// answer are checked against the official SDK's types.
import { WebSocketServer } from 'ws';
import { invalidValue, missingParameter, unknownParameter } from './errors.mjs';

/** The names that stand at the top of `POST /v1/live/sessions`, in its `transport`, and in its `session`. */
export const liveFields = {
  top: ['session', 'transport'],
  transport: ['sdp', 'type'],
  session: [
    'model',
    'audio',
    'client',
    'delegation',
    'input',
    'instructions',
    'safety_identifier',
    'store',
    'triggers',
  ],
};

/** Reads the body: `{ sdp, session }`. */
export function readLiveCall(body) {
  const { session, transport } = object(body, liveFields.top, '');
  object(transport, liveFields.transport, 'transport.');
  object(session, liveFields.session, 'session.');
  if (transport.type !== 'webrtc') throw invalidValue('transport.type', "'webrtc'");
  if (typeof session.model !== 'string') throw missingParameter('session.model');
  return { sdp: transport.sdp, session };
}

/** The body of the answer. */
export const liveAnswer = (id, sdp) => ({ session: { id }, transport: { type: 'webrtc', sdp } });

const server = new WebSocketServer({ noServer: true, handleProtocols: (offered) => offered.values().next().value });

/** Takes a sideband, which is silent until its call ends. */
export function attach(call, { incoming, socket, head }) {
  server.handleUpgrade(incoming, socket, head, (client) => call.endings.push(() => client.close(1000)));
}

function object(value, names, prefix) {
  if (typeof value !== 'object' || value === null) throw missingParameter(prefix.slice(0, -1) || 'body');
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined) throw unknownParameter(prefix + unknown);
  return value;
}
