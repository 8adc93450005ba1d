// Pages in a headless Chromium, from a server of their own on loopback.
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { chromiumBinary } from '../e2e/harness/index.mjs';

const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** Why the tests of this file cannot run here, or false. Under CI=true they must. */
export const withoutChromium =
  chromiumBinary() === null && process.env.CI !== 'true'
    ? 'Chromium is missing (Debian: apt-get install chromium, or set CHROMIUM_BIN)'
    : false;

/**
 * Starts Chromium and the server of the pages. `open(page)` shows `pages/<page>.js` and resolves to `converse`, which
 * calls the page's own function of that name.
 */
export async function startChromium() {
  const server = createServer(servePage);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  const executablePath = chromiumBinary() ?? 'chromium';
  const browser = await chromium.launch({ executablePath, args: flags }).catch((error) => {
    server.close();
    throw error;
  });
  return {
    /** The origin of every page, unless another `host` is asked for. */
    origin: `http://127.0.0.1:${port}`,
    async open(name, { host = '127.0.0.1' } = {}) {
      // A click through the warning, as for any self-signed certificate.
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      const page = await context.newPage();
      await page.goto(`http://${host}:${port}/${name}`);
      return {
        converse: (options) => page.evaluate((given) => window.converse(given), options),
        close: () => context.close(),
      };
    },
    async stop() {
      await browser.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function servePage(request, response) {
  const name = /^\/([a-z]+)$/.exec(request.url)?.[1];
  if (name === undefined) return response.writeHead(404).end();
  const entry = fileURLToPath(new URL(`pages/${name}.js`, import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false, format: 'iife', logLevel: 'error' });
  const script = outputFiles[0].text.replaceAll('</script', '<\\/script');
  return response
    .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
    .end(`<!doctype html><meta charset="utf-8"><title>${name}</title><script>${script}</script>`);
}
