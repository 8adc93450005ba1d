// An issuer of JWTs, and Envoy's jwt_authn that verifies them.
import { SignJWT, exportJWK, generateKeyPair } from 'jose';

/** What tokens of `newIssuer` say unless a test says otherwise. */
export const issuer = 'https://issuer.test';
export const audience = 'realtime';

/** A key pair that signs: `{ jwk, sign(claims, options) }`; options say who issues, for whom, and when it is over. */
export async function newIssuer({ algorithm = 'RS256', kid = `${algorithm}-1` } = {}) {
  const { publicKey, privateKey } = await generateKeyPair(algorithm);
  return {
    kid,
    jwk: { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' },
    sign: (claims, { iss = issuer, aud = audience, expires = '10m', header = {} } = {}) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: algorithm, kid, ...header })
        .setIssuer(iss)
        .setAudience(aud)
        .setIssuedAt()
        .setExpirationTime(expires)
        .sign(privateKey),
  };
}

/** The set of these issuers' keys, as a JWKS endpoint serves it. */
export const jwks = (...issuers) => JSON.stringify({ keys: issuers.map(({ jwk }) => jwk) });

/** A token that nobody has signed. */
export function unsigned(claims, { iss = issuer, aud = audience } = {}) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const times = { iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 600 };
  return `${encode({ alg: 'none', typ: 'JWT' })}.${encode({ iss, aud, ...times, ...claims })}.`;
}

/** Envoy's filter, which puts what it has verified into dynamic metadata as `corp`, and lets everything through. */
export function jwtAuthn(keys, { header, prefix = '/' } = {}) {
  return {
    name: 'envoy.filters.http.jwt_authn',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
      providers: {
        corp: {
          issuer,
          audiences: [audience],
          local_jwks: { inline_string: keys },
          forward: true,
          payload_in_metadata: 'corp',
          ...(header === undefined ? {} : { from_headers: [{ name: header }] }),
        },
      },
      rules: [
        {
          match: { prefix },
          requires: { requires_any: { requirements: [{ provider_name: 'corp' }, { allow_missing_or_failed: {} }] } },
        },
      ],
    },
  };
}

/** The path of a claim among Envoy's attributes. */
export const claim = (...names) => ['metadata', 'filter_metadata', 'envoy.filters.http.jwt_authn', 'corp', ...names];
