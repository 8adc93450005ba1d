// WebRTC calls: a real peer for every offer, on loopback.
import { randomBytes } from 'node:crypto';
import { PeerConnection, cleanup } from 'node-datachannel';
import { until } from '../wait.mjs';
import { relay } from './conversation.mjs';

/** How many upstreams of this process have calls: what they share of libdatachannel goes with the last. */
let desks = 0;

/** The calls of an upstream, whose conversations `aimock` leads. */
export function callDesk(aimock) {
  const calls = new Map();
  desks += 1;
  return {
    /** Answers an SDP offer: `{ id, answer }`; ids begin with `kind`. The call is `key`'s. Throws what libdatachannel says of an offer that it cannot take. */
    async start(offer, session, { kind = 'rtc_u1', key } = {}) {
      const id = `${kind}_${randomBytes(16).toString('hex')}`;
      const peer = new PeerConnection(id, { iceServers: [], bindAddress: '127.0.0.1' });
      const call = { id, session, key, peer, state: 'starting', endings: [() => peer.close()] };
      peer.onDataChannel((channel) => {
        call.state = 'connected';
        // Who speaks Live to a client of aimock's has a WebSocket; a channel of Live's says nothing here.
        if (kind !== 'live') call.endings.unshift(relay(channel, aimock, session?.model ?? 'gpt-realtime'));
      });
      try {
        peer.setRemoteDescription(withoutCandidates(offer), 'offer');
        await until('the candidates', () => peer.gatheringState() === 'complete');
      } catch (error) {
        end(call);
        throw error;
      }
      calls.set(id, call);
      return { id, answer: peer.localDescription().sdp };
    },
    /** Ends a call; false if this key has none of this id that runs. */
    hangUp(id, key) {
      const call = calls.get(id);
      if (call === undefined || call.state === 'ended' || call.key !== key) return false;
      end(call);
      return true;
    },
    /** The call of this id, if it runs and is this key's. */
    running: (id, key) => [calls.get(id)].find((call) => call?.key === key && call?.state !== 'ended'),
    /** All calls so far, oldest first: `{ id, state, session }`, `state` one of `starting`, `connected`, `ended`. */
    list: () => [...calls.values()].map(({ id, state, session }) => ({ id, state, session })),
    stop() {
      for (const call of calls.values()) end(call);
      desks -= 1;
      if (desks === 0) cleanup();
    },
  };
}

function end(call) {
  if (call.state === 'ended') return;
  call.state = 'ended';
  for (const ending of call.endings) ending();
}

/**
 * The caller has to begin: libdatachannel lets ICE connect before it has kept an answer, and then knows no certificate.
 * On loopback this end, once it knew where to, would be fast enough for that.
 */
function withoutCandidates(sdp) {
  return sdp.replace(/^a=(?:candidate:.*|end-of-candidates)\r?\n/gm, '');
}
