// The measurements use the packages of the tests.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../../tests/package.json', import.meta.url));

export const autocannon = require('autocannon');
export const { Sender, WebSocket, WebSocketServer } = require('ws');
