// Tells Envoy who a request is of: by the session cookie of an application, looked up here in a file of JSON such as
// {"<cookie>": {"tenant": "acme", "user": "u_123"}}. PORT and SESSIONS are its environment.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const sessions = () => JSON.parse(readFileSync(process.env.SESSIONS, 'utf8'));

function sessionOf(cookies = '') {
  const id = cookies.split(/; */).find((one) => one.startsWith('session='))?.slice('session='.length);
  const known = sessions();
  return id !== undefined && Object.hasOwn(known, id) ? known[id] : undefined;
}

const server = createServer((request, response) => {
  const session = sessionOf(request.headers.cookie);
  // Nobody that is known here: the gateway asks for a token of its own then.
  if (session === undefined) return response.writeHead(200).end();
  response.writeHead(200, { 'x-identity-tenant': session.tenant, 'x-identity-user': session.user }).end();
});
server.listen(Number(process.env.PORT ?? 9000), process.env.HOST ?? '127.0.0.1');
