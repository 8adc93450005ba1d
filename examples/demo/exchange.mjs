// One exchange, as two columns: what the client offered, what the upstream received.
import { shortened } from './terminal.mjs';

const absent = '–';

/**
 * The rows of the table. `offer` is the client's list of subprotocols, `head` what the upstream saw; secrets are shortened.
 */
export function exchanged({ url, offer }, head, { paint }) {
  const { pathname, search } = new URL(url);
  const received = Object.fromEntries(head.headers);
  const kept = (received['sec-websocket-protocol'] ?? '').split(/, ?/);
  return [
    [`GET ${pathname}${search}`, head.line],
    ...offer.map((member) => [withoutSecret(member), kept.includes(member) ? paint.cyan(member) : paint.dim(absent)]),
    [paint.dim('(no header of its own)'), paint.yellow(`authorization: ${credential(received.authorization)}`)],
  ];
}

/** A subprotocol as it may be shown. */
export function withoutSecret(member) {
  const slot = /^(cf-aig-authorization\.|openai-insecure-api-key\.)(.+)$/.exec(member);
  return slot ? `${slot[1]}${shortened(slot[2])}` : member;
}

function credential(authorization = absent) {
  const [scheme, secret] = authorization.split(' ');
  return secret ? `${scheme} ${shortened(secret)}` : authorization;
}
