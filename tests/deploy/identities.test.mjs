// identities/: callers by JWT, by certificate, and by what a server of one's own says, in the shipped files.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import {
  chatRequest, exchange, freePort, nextCase, requestBytes, scratchDirectory, startProcess, startRecorder, until,
  upgradeRequest,
} from '../e2e/harness/index.mjs';
import { jwks, newIssuer, unsigned } from '../e2e/harness/jwt.mjs';
import { frame, opcodes } from '../e2e/harness/websocket.mjs';
import { deployPath, deployText, environment } from './files.mjs';
import { startProvider, startShipped } from './stand.mjs';

const gatewayToken = [['authorization', `Bearer ${environment.WEB_APP_TOKEN}`]];
const key = `Bearer ${environment.OPENAI_API_KEY}`;

let directory;
let recorder;
let provider;

before(async () => {
  directory = scratchDirectory();
  recorder = await startRecorder();
  provider = await startProvider(recorder.port);
});
after(async () => {
  await provider?.stop();
  await recorder?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** A shipped file, with an access log that tells whose each request was. */
async function start(file, places = {}) {
  const anchor = '                stat_prefix: gateway\n';
  const fields = { case: '%REQ(X-CASE)%' };
  for (const name of ['caller', 'user', 'code']) fields[name] = `%FILTER_STATE(wasm.realtime_byok.${name}:PLAIN)%`;
  const log = {
    name: 'envoy.access_loggers.stdout',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
      log_format: { json_format: fields },
    },
  };
  const logged = `${anchor}                access_log: [${JSON.stringify(log)}]\n`;
  const gateway = await startShipped(file, provider, { places: { [anchor]: logged, ...places } });
  return {
    ...gateway,
    logOf: (answer) => until('the access log', () => gateway.accessLog().find((entry) => entry.case === answer.case)),
  };
}

/** What became of a request: whose it was and the upstream's credential, or the code of the denial. */
async function fate(gateway, answer) {
  answer.socket?.destroy();
  const [seen] = recorder.requestsOf(answer.case);
  const { caller, user, code } = await gateway.logOf(answer);
  if (seen === undefined) return code;
  assert.deepEqual(seen.headerAll('authorization'), [key], 'the provider gets its key alone');
  return user === null ? caller : `${caller}/${user}`;
}

describe('jwt/', () => {
  const from = { iss: 'https://issuer.example.com' };
  const claims = { tenant: 'acme', sub: 'u_1' };
  let rsa;
  let elliptic;
  let foreign;
  let gateway;
  let folder;

  /** Puts the shipped file of jwt_authn in place, with these keys. */
  function putKeys(keys) {
    const shipped = parse(deployText('identities/jwt/jwt_authn.yaml'));
    const [{ typed_config: config }] = shipped.resources;
    assert.ok(JSON.parse(config.providers.corp.local_jwks.inline_string).keys.length === 1);
    config.providers.corp.local_jwks.inline_string = keys;
    writeFileSync(join(folder, 'next'), JSON.stringify(shipped));
    renameSync(join(folder, 'next'), join(folder, 'jwt_authn.yaml'));
  }

  before(async () => {
    rsa = await newIssuer();
    elliptic = await newIssuer({ algorithm: 'ES256' });
    foreign = await newIssuer({ algorithm: 'ES256' });
    folder = join(directory, 'identities');
    mkdirSync(folder);
    putKeys(jwks(rsa, elliptic));
    gateway = await start('identities/jwt/envoy.yaml', {
      '/etc/envoy/identities/jwt_authn.yaml': join(folder, 'jwt_authn.yaml'),
      '/etc/envoy/identities': folder,
    });
  });
  after(() => gateway?.stop());

  const sent = async (request) => fate(gateway, await gateway.send(request));
  const bearer = (token) => ({ headers: [['authorization', `Bearer ${token}`]] });
  /** A page offers its token between other subprotocols. */
  const offered = (token) => ({ protocols: [`realtime, cf-aig-authorization.${token}, openai-beta.realtime-v1`] });

  test('a JWT in any slot, of either kind of key', async () => {
    for (const issuer of [rsa, elliptic]) {
      const token = await issuer.sign(claims, from);
      assert.equal(await sent(chatRequest(bearer(token))), 'acme/u_1');
      assert.equal(await sent(upgradeRequest(bearer(token))), 'acme/u_1');
      assert.equal(await sent(upgradeRequest(offered(token))), 'acme/u_1');
      assert.equal(await sent(upgradeRequest({ protocols: [`openai-insecure-api-key.${token}`, 'realtime'] })), 'acme/u_1');
      const encoded = Buffer.from(token).toString('base64url');
      assert.equal(await sent(upgradeRequest({ protocols: [`cf-aig-authorization-base64url.${encoded}`] })), 'acme/u_1');
    }
  });

  test('the upstream sees neither the JWT nor the header between the filters', async () => {
    const token = await rsa.sign(claims, from);
    for (const request of [chatRequest(bearer(token)), upgradeRequest(offered(token))]) {
      const answer = await gateway.send(request);
      answer.socket?.destroy();
      const [seen] = recorder.requestsOf(answer.case);
      assert.ok(!JSON.stringify(seen.headers).includes(token));
      assert.deepEqual(seen.headerAll('x-gateway-token'), []);
    }
  });

  test('what the issuer has not signed for here is refused', async () => {
    const tokens = [
      await rsa.sign(claims, { ...from, aud: 'others' }),
      await rsa.sign(claims, { iss: 'https://others.example.com' }),
      await rsa.sign(claims, { ...from, expires: '-10m' }),
      await foreign.sign(claims, from),
      unsigned(claims, from),
    ];
    for (const token of tokens) {
      assert.equal(await sent(chatRequest(bearer(token))), 'invalid_gateway_token');
      assert.equal(await sent(upgradeRequest(offered(token))), 'invalid_gateway_token');
    }
    assert.equal(await sent(chatRequest(bearer(await rsa.sign({ ...claims, tenant: 'other' }, from)))), 'invalid_gateway_token');
    assert.equal(await sent(chatRequest()), 'missing_gateway_token');
  });

  test('a gateway token works beside JWTs, by header and by subprotocol', async () => {
    assert.equal(await sent(chatRequest({ headers: gatewayToken })), 'web-app');
    assert.equal(await sent(upgradeRequest(offered(environment.WEB_APP_TOKEN))), 'web-app');
  });

  test('a client\'s own header between the filters is nothing', async () => {
    const token = await rsa.sign(claims, from);
    assert.equal(await sent(chatRequest({ headers: [['x-gateway-token', token]] })), 'missing_gateway_token');
    assert.equal(await sent(chatRequest({ headers: [['x-gateway-token', token], ...gatewayToken] })), 'web-app');
  });

  test('two credentials are refused in front', async () => {
    const headers = [['authorization', 'Bearer one'], ['api-key', 'two']];
    assert.equal(await sent(chatRequest({ headers })), 'conflicting_credentials');
    assert.equal(await sent(upgradeRequest({ protocols: ['realtime, realtime'] })), 'malformed_credentials');
  });

  test('a page of another origin is refused', async () => {
    const token = await rsa.sign(claims, from);
    const request = (origin) => upgradeRequest({ ...offered(token), headers: [['origin', origin]] });
    assert.equal(await sent(request('https://evil.example.com')), 'origin_not_allowed');
    assert.equal(await sent(request('https://app.example.com')), 'acme/u_1');
  });

  test('keys that the issuer has rotated hold from the next request on, and open sessions stay', async () => {
    const next = await newIssuer({ algorithm: 'ES256', kid: 'next' });
    const before = await elliptic.sign(claims, from);
    const headers = [...bearer(before).headers, ['x-reply', 'frames']];
    const session = await gateway.send(upgradeRequest({ headers }));
    assert.equal(session.status, 101);
    session.socket.resume();
    putKeys(jwks(next));
    const after = await next.sign(claims, from);
    await until('Envoy to take the keys', async () => (await sent(chatRequest(bearer(after)))) === 'acme/u_1');
    assert.equal(await sent(chatRequest(bearer(before))), 'invalid_gateway_token');
    const echoed = once(session.socket, 'data');
    session.socket.write(frame(opcodes.text, 'still here', { mask: true }));
    assert.deepEqual((await echoed)[0], frame(opcodes.text, 'still here'));
    session.socket.destroy();
  });
});

describe('mtls/', () => {
  let gateway;
  const spiffe = (path) => `spiffe://cluster.local/ns/${path}`;
  const openssl = (...args) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });

  /** A certificate of an authority of this name, which is made when it is first asked for. */
  function certificate(authority, name, uri) {
    const made = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
    const extension = join(directory, `${name}.ext`);
    writeFileSync(extension, `subjectAltName=URI:${uri}\nextendedKeyUsage=clientAuth\n`);
    openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`,
      '-keyout', made[1], '-out', `${name}.csr`);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${authority}.crt`, '-CAkey', `${authority}.key`,
      '-CAcreateserial', '-days', '2', '-extfile', extension, '-out', made[0]);
    return { cert: execFileSync('cat', [made[0]]), key: execFileSync('cat', [made[1]]) };
  }

  function makeAuthority(name) {
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.crt`);
  }

  before(async () => {
    ['mesh', 'elsewhere'].forEach(makeAuthority);
    gateway = await start('identities/mtls/envoy.yaml', { '/etc/envoy/tls/ca.crt': join(directory, 'mesh.crt') });
  });
  after(() => gateway?.stop());

  /** What becomes of a request over a connection with this certificate. */
  async function sent(request, identity = {}) {
    const socket = tls.connect({ host: '127.0.0.1', port: gateway.port, rejectUnauthorized: false, ...identity });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    const id = nextCase();
    const bytes = requestBytes({ ...request, headers: [...request.headers, ['x-case', id]] });
    const answer = await exchange(gateway.port, bytes, { secure: true, socket });
    return fate(gateway, { ...answer, case: id });
  }

  test('a SPIFFE ID is its caller\'s, by REST and by WebSocket', async () => {
    const backend = certificate('mesh', 'backend', spiffe('voice/sa/backend'));
    assert.equal(await sent(chatRequest(), backend), 'backend');
    assert.equal(await sent(upgradeRequest(), backend), 'backend');
    const batch = certificate('mesh', 'nightly', spiffe('batch/sa/nightly'));
    assert.equal(await sent(chatRequest(), batch), `batch/${spiffe('batch/sa/nightly')}`);
  });

  test('another SPIFFE ID is nobody, and needs a token', async () => {
    const other = certificate('mesh', 'other', spiffe('voice/sa/backend2'));
    assert.equal(await sent(chatRequest(), other), 'missing_gateway_token');
    assert.equal(await sent(chatRequest({ headers: gatewayToken }), other), 'web-app');
  });

  test('without a certificate it takes a token', async () => {
    assert.equal(await sent(chatRequest()), 'missing_gateway_token');
    assert.equal(await sent(chatRequest({ headers: gatewayToken })), 'web-app');
  });

  test('a certificate of another authority opens no connection', async () => {
    const forged = certificate('elsewhere', 'forged', spiffe('voice/sa/backend'));
    await assert.rejects(sent(chatRequest(), forged));
  });

  test('x-forwarded-client-cert is a client\'s own word', async () => {
    const header = `By=spiffe://x;Hash=00;URI=${spiffe('voice/sa/backend')}`;
    const headers = [['x-forwarded-client-cert', header]];
    assert.equal(await sent(chatRequest({ headers })), 'missing_gateway_token');
    const answer = await gateway.send(chatRequest({ headers: [...headers, ...gatewayToken] }));
    const [seen] = recorder.requestsOf(answer.case);
    assert.deepEqual(seen.headerAll('x-forwarded-client-cert'), []);
  });
});

describe('ext-authz/', () => {
  let gateway;
  let server;

  before(async () => {
    const sessions = join(directory, 'sessions.json');
    writeFileSync(sessions, JSON.stringify({ 'c00kie-of-u1': { tenant: 'acme', user: 'u_1' }, 'c00kie-of-x': { tenant: 'x', user: 'x' } }));
    const port = await freePort();
    const script = deployPath('identities/ext-authz/authorize.mjs');
    server = startProcess(process.execPath, [script], { env: { PORT: String(port), SESSIONS: sessions } });
    await until('the server to listen', () => fetch(`http://127.0.0.1:${port}/`).catch(() => null));
    gateway = await start('identities/ext-authz/envoy.yaml', {
      'address: authorize.internal, port_value: 9000': `address: 127.0.0.1, port_value: ${port}`,
    });
  });
  after(async () => {
    await gateway?.stop();
    await server?.stop();
  });

  const sent = async (request) => fate(gateway, await gateway.send(request));
  const cookie = (id) => ({ headers: [['cookie', `theme=dark; session=${id}`]] });

  test('whoever is logged in needs no token, and the cookie goes no further', async () => {
    assert.equal(await sent(chatRequest(cookie('c00kie-of-u1'))), 'acme/u_1');
    const answer = await gateway.send(upgradeRequest(cookie('c00kie-of-u1')));
    assert.equal(await fate(gateway, answer), 'acme/u_1');
    const [seen] = recorder.requestsOf(answer.case);
    assert.deepEqual([seen.headerAll('cookie'), seen.headerAll('x-identity-user')], [[], []]);
  });

  test('another page cannot use the cookie of its visitor', async () => {
    const { headers } = cookie('c00kie-of-u1');
    const request = (origin) => upgradeRequest({ headers: [...headers, ['origin', origin]] });
    assert.equal(await sent(request('https://evil.example.com')), 'origin_not_allowed');
    assert.equal(await sent(request('https://app.example.com')), 'acme/u_1');
  });

  test('whoever the server does not know needs a token', async () => {
    assert.equal(await sent(chatRequest(cookie('guessed'))), 'missing_gateway_token');
    assert.equal(await sent(chatRequest(cookie('c00kie-of-x'))), 'missing_gateway_token');
    assert.equal(await sent(chatRequest({ headers: [...cookie('guessed').headers, ...gatewayToken] })), 'web-app');
  });

  test('a client cannot say what the server would', async () => {
    const headers = [['x-identity-tenant', 'acme'], ['x-identity-user', 'u_1']];
    assert.equal(await sent(chatRequest({ headers })), 'missing_gateway_token');
    assert.equal(await sent(chatRequest({ headers: [...headers, ...gatewayToken] })), 'web-app');
  });

  test('without the server nobody comes in', async () => {
    await server.stop();
    const answer = await gateway.send(chatRequest({ headers: gatewayToken }));
    assert.equal(answer.status, 403);
    assert.deepEqual(recorder.requestsOf(answer.case), []);
  });
});
