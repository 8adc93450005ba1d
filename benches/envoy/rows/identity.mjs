// What it costs to know a caller by what Envoy says, beside knowing it by its token: the same REST request, on listeners with
// the same metadata, of which one configuration knows the caller. What Envoy itself spends is taken off.
import { wasmFilter } from '../../../tests/e2e/harness/index.mjs';
import { round } from '../measure/comparison.mjs';
import { configuration, realtimeByok, startVariants } from '../measure/envoy.mjs';
import { restLoad } from '../measure/load.mjs';
import { cpuPerRequest } from '../measure/rounds.mjs';
import { median } from '../measure/statistics.mjs';

export const title = 'A REST request of a caller that Envoy knows, beside one by a gateway token';

const namespace = 'bench';
const metadata = { tenant: 'acme-voice', sub: 'u_0123456789abcdef' };

/** Stands for the filter that has verified who it is. */
const verified = {
  name: 'envoy.filters.http.set_metadata',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config',
    metadata: [{ metadata_namespace: namespace, value: metadata }],
  },
};
const property = (name) => ['metadata', 'filter_metadata', namespace, name];

/** The caller by its tenant alone, or with the user that the metadata name. */
function byIdentity(vmId, more = {}) {
  const acme = { identities: [{ property: property('tenant'), equals: metadata.tenant }], ...more };
  return wasmFilter({ configuration: { ...configuration(), callers: { acme } }, hostEnvKeys: ['OPENAI_API_KEY'], vmId });
}

export async function measure() {
  const { envoy, variants } = await startVariants(
    {
      'no filter': null,
      token: realtimeByok('token'),
      identity: byIdentity('identity'),
      'identity and user': byIdentity('user', { user: { property: property('sub') } }),
    },
    { filtersBefore: [verified] },
  );
  try {
    return compared(await cpuPerRequest(envoy.pid, variants, (port) => restLoad(port, 1000), { rounds: 41, warmUps: 50 }));
  } finally {
    await envoy.stop();
  }
}

function compared(results) {
  const medians = Object.entries(results).map(([name, values]) => `${name} ${median(values).toFixed(1)} µs`);
  const added = (name) => median(results[name].map((value, index) => value - results['no filter'][index]));
  const ratio = (name) => added(name) / added('token');
  return {
    says: medians.join(' · '),
    rows: [
      { name: 'identity_added_vs_token', value: round(ratio('identity')), unit: 'ratio', aim: '<= 1.15', holds: ratio('identity') <= 1.15 },
      { name: 'user_added_vs_token', value: round(ratio('identity and user')), unit: 'ratio', aim: null, holds: true },
    ],
  };
}
