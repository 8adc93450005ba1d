// What the filter costs by itself: REST requests of the official SDK to a route that Envoy answers.
import { compared, contenders } from '../measure/comparison.mjs';
import { startVariants } from '../measure/envoy.mjs';
import { restLoad } from '../measure/load.mjs';
import { cpuPerRequest } from '../measure/rounds.mjs';
import { assertRefusing } from '../measure/same_job.mjs';

export const title = 'Check, strip and inject: a REST request that Envoy answers itself';

export async function measure({ old }) {
  const { envoy, variants } = await startVariants(contenders({ old }));
  try {
    await assertRefusing(variants);
    const load = (port) => restLoad(port, 1000);
    const results = await cpuPerRequest(envoy.pid, variants, load, { rounds: 61, warmUps: 100 });
    return compared('rest', results, { added_vs_lua: 1.6, native_added_vs_lua: 0.7 });
  } finally {
    await envoy.stop();
  }
}
