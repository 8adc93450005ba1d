// What the filter costs by itself: REST requests of the official SDK to a route that Envoy answers.
import { compared, contenders } from '../measure/comparison.mjs';
import { startVariants } from '../measure/envoy.mjs';
import { restLoad } from '../measure/load.mjs';
import { cpuPerRequest } from '../measure/rounds.mjs';

export const title = 'Check, strip and inject: a REST request that Envoy answers itself';

export async function measure() {
  const { envoy, variants } = await startVariants(contenders());
  try {
    return compared('handshake', await cpuPerRequest(envoy.pid, variants, (port) => restLoad(port, 1000), { rounds: 61 }));
  } finally {
    await envoy.stop();
  }
}
