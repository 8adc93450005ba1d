// The files of envoy/, as their users get them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { repository } from '../e2e/harness/index.mjs';
import { newSealingKey } from '../e2e/harness/sealing.mjs';

/** What each host environment variable of the shipped configurations is set to in tests. */
export const environment = {
  OPENAI_API_KEY: 'sk-openai-provider-key',
  AZURE_OPENAI_API_KEY: 'azure-provider-key',
  WEB_APP_TOKEN: 'web-app-gateway-token',
  BACKEND_TOKEN: 'backend-gateway-token',
  CONTROL_TOKEN: 'operator-control-token',
  REALTIME_SEALING_KEY: newSealingKey(),
};

export const deployPath = (file) => join(repository, 'envoy', file);
export const deployText = (file) => readFileSync(deployPath(file), 'utf8');

/** All YAML documents of a file, anchors resolved. Compose's merge tags are read as the values they mark. */
export function documents(file) {
  const customTags = ['!override', '!reset'].flatMap((tag) => [
    { tag, collection: 'map', resolve: (node) => node },
    { tag, collection: 'seq', resolve: (node) => node },
  ]);
  return parseAllDocuments(deployText(file), { customTags }).map((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem) throw new Error(`${file}: ${problem.message}`);
    return document.toJS();
  });
}

/** The text with each key of `places`, a path or an address, replaced; every one must occur. */
export function placed(text, places) {
  return Object.entries(places).reduce((result, [from, to]) => {
    if (!result.includes(from)) throw new Error(`the file does not mention ${from}`);
    return result.replaceAll(from, to);
  }, text);
}

/** What the filter is configured with in the listener `gateway` of an Envoy file. */
export function filterConfiguration(file) {
  const [{ static_resources: { listeners } }] = documents(file);
  const [{ filters: [connectionManager] }] = listeners.find(({ name }) => name === 'gateway').filter_chains;
  const filters = connectionManager.typed_config.http_filters;
  return filters.find(({ name }) => name === 'envoy.filters.http.wasm').typed_config.config.configuration.value;
}
