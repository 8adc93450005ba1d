// The two kinds of request that the gateway treats, as plain values for `requestBytes`.

/** A WebSocket upgrade. `protocols` is a list of `sec-websocket-protocol` lines, each sent as it stands. */
export function upgradeRequest({
  target = '/v1/realtime?model=gpt-realtime',
  protocols = [],
  headers = [],
  key = 'dGhlIHNhbXBsZSBub25jZQ==',
} = {}) {
  return {
    method: 'GET',
    target,
    headers: [
      ['host', 'gateway.test'],
      ['connection', 'Upgrade'],
      ['upgrade', 'websocket'],
      ['sec-websocket-version', '13'],
      ...(key === null ? [] : [['sec-websocket-key', key]]),
      ...protocols.map((line) => ['sec-websocket-protocol', line]),
      ...headers,
    ],
  };
}

/** A REST request; `json` is serialised and typed, `body` goes out as it stands. */
export function restRequest({ method, target = '/v1/chat/completions', headers = [], json, body } = {}) {
  const content = json === undefined ? body : JSON.stringify(json);
  return {
    method: method ?? (content === undefined ? 'GET' : 'POST'),
    target,
    headers: [
      ['host', 'gateway.test'],
      ...(json === undefined ? [] : [['content-type', 'application/json']]),
      ...headers,
    ],
    body: content,
  };
}

/** A small chat completion. */
export function chatRequest({ model = 'gpt-5', text = 'hello', headers = [], stream, target, ...rest } = {}) {
  return restRequest({
    target,
    headers,
    json: { model, messages: [{ role: 'user', content: text }], ...(stream ? { stream: true } : {}), ...rest },
  });
}
