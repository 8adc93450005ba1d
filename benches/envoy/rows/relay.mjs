// What following and metering a voice session costs on the way: its audio through one Envoy without a filter, with a Lua
// filter that counts the bytes and does nothing else, with the least that a Proxy-Wasm filter can do that sees where
// messages begin, and with this filter.
import assert from 'node:assert/strict';
import { cluster, route, until } from '../../../tests/e2e/harness/index.mjs';
import { modules, ratio, ratios, says, spread } from '../measure/comparison.mjs';
import { append, responsePieces, responseTokens } from '../measure/conversation.mjs';
import { handWritten, lua, startVariants } from '../measure/envoy.mjs';
import { cpuPerRequest } from '../measure/rounds.mjs';
import { medianRatio } from '../measure/statistics.mjs';
import { openSession, startProvider } from '../measure/talk.mjs';

export const title = 'Relaying a voice session: 6.4 KB of audio there and back, per exchange';

const sessions = 8;
const piecesOfRound = 4 * responsePieces;

export async function measure({ old }) {
  const provider = await startProvider();
  try {
    return await against(provider, old);
  } finally {
    await provider.stop();
  }
}

async function against(provider, old) {
  const filters = {
    'no filter': null,
    'Lua that counts': lua('counting.lua'),
    'one look at each read': handWritten('one_read.wat'),
    ...modules(old),
  };
  const routes = [route({})];
  const clusters = [cluster('upstream', provider.port)];
  const { envoy, variants } = await startVariants(filters, { routes, clusters, hcm: {} });
  try {
    await assertCounting(variants.find(({ name }) => name === 'Lua that counts'));
    for (const name of ['this filter', 'dynamic module']) {
      await assertMetering(envoy, variants.find((variant) => variant.name === name));
    }
    return compared(await relayed(envoy, variants));
  } finally {
    await envoy.stop();
  }
}

/** Lua sees all bytes of both directions. */
async function assertCounting({ port }) {
  await oneResponse(port);
  const counted = Number(await (await fetch(`http://127.0.0.1:${port}/counted`)).text());
  const both = 2 * responsePieces * append.length;
  assert.ok(counted > both, `Lua has counted ${counted} of more than ${both} bytes`);
}

/** This filter counts the tokens of a response. */
async function assertMetering(envoy, { port }) {
  await oneResponse(port);
  const tokens = String(responseTokens);
  await until('a record of what was used', () => envoy.accessLog().some(({ session }) => session.tokens === tokens));
}

async function oneResponse(port) {
  const session = await openSession(port);
  await session.talk(responsePieces);
  await session.close();
}

/** Envoy's CPU per exchange, in sessions that stay open over all rounds. */
async function relayed(envoy, variants) {
  const open = {};
  for (const { name, port } of variants) {
    open[name] = await Promise.all(Array.from({ length: sessions }, () => openSession(port)));
  }
  const load = async (_, name) => {
    await Promise.all(open[name].map((session) => session.talk(piecesOfRound)));
    return sessions * piecesOfRound;
  };
  const results = await cpuPerRequest(envoy.pid, variants, load, { rounds: 61, warmUps: 40 });
  await Promise.all(Object.values(open).flat().map((session) => session.close()));
  return results;
}

function compared(results) {
  const { 'no filter': none, 'Lua that counts': counting, 'one look at each read': floor, 'this filter': mine } = results;
  return {
    says: `${says(results)} · the middle half of the rounds is ${spread(mine, none)} of no filter`,
    rows: [
      ...ratios('relay', results, { cpu_vs_none: 1.1, native_vs_none: 1.05 }),
      ratio('relay_cpu_vs_lua', medianRatio(mine, counting), 1),
      ratio('relay_cpu_vs_floor', medianRatio(mine, floor)),
      ratio('relay_floor_vs_none', medianRatio(floor, none)),
      ratio('relay_floor_vs_lua', medianRatio(floor, counting)),
    ],
  };
}
