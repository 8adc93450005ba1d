// The end-to-end rig: a real Envoy with the filter, upstreams, and clients that send exact bytes.
export { startAimock, defaultFixtures } from './aimock.mjs';
export { bootstrap, cluster, listener, nativeFilter, route, wasmFilter } from './config.mjs';
export { scratchDirectory, startEnvoy, validateBootstrap, validateFile } from './envoy.mjs';
export { nextCase, startGateway, validateGateway } from './gateway.mjs';
export { useAimock, useGateway, useRecorder } from './hooks.mjs';
export { assertSound, filterComponent, host, onlyIn, statisticLabel, statisticPrefix } from './host.mjs';
export { exchange, requestBytes } from './http1.mjs';
export { exchangeHttp2 } from './http2.mjs';
export { certificate, chromiumBinary, envoyBinary, modulePath, nativeDirectory, prometheusBinary, repository, workDirectory } from './paths.mjs';
export { freePort } from './ports.mjs';
export { startProcess } from './process.mjs';
export { startRecorder } from './recorder.mjs';
export { chatRequest, restRequest, upgradeRequest } from './requests.mjs';
export { assertDenial, denied, denials, forwarded, useRig } from './rig.mjs';
export { authorized, basicConfiguration, basicEnv, clientKey, providerKey, sha256, slot, tokens } from './secrets.mjs';
export { delayMs, until } from './wait.mjs';
