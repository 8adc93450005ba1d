// The demo uses the packages of the tests.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../tests/package.json', import.meta.url));

export const { WebSocket } = require('ws');
export const { parse } = require('yaml');
