// A caller's end of a WebRTC call.
import { EventEmitter, once } from 'node:events';
import { PeerConnection } from 'node-datachannel';
import { until } from '../wait.mjs';

const eventTimeoutMs = 10_000;

/**
 * A peer that wants to talk: `offer` is its SDP. After `accept(answer)` and `opened()` it can `send` events, and
 * `next(type)` waits for one of the other side.
 */
export async function startPeer() {
  const peer = new PeerConnection('caller', { iceServers: [], bindAddress: '127.0.0.1' });
  const channel = peer.createDataChannel('oai-events');
  const received = [];
  const changes = new EventEmitter();
  channel.onMessage((message) => {
    received.push(JSON.parse(message.toString()));
    changes.emit('change');
  });
  channel.onOpen(() => changes.emit('change'));
  channel.onClosed(() => changes.emit('change'));
  const wait = async (probe) => {
    const signal = AbortSignal.timeout(eventTimeoutMs);
    for (;;) {
      const result = probe();
      if (result) return result;
      await once(changes, 'change', { signal });
    }
  };
  await until('the candidates', () => peer.gatheringState() === 'complete');
  return {
    offer: peer.localDescription().sdp,
    accept: (answer) => peer.setRemoteDescription(answer, 'answer'),
    opened: () => wait(() => channel.isOpen()),
    isOpen: () => channel.isOpen(),
    closed: () => wait(() => !channel.isOpen()),
    send: (event) => channel.sendMessage(JSON.stringify(event)),
    next: (type) => wait(() => received.find((event) => event.type === type)),
    close: () => peer.close(),
  };
}
