// Errors as OpenAI words them.

const keysPage = 'https://platform.openai.com/account/api-keys';

/** An answer that is no success. */
export class ApiError extends Error {
  constructor(status, { message, type = 'invalid_request_error', param = null, code = null }) {
    super(message);
    this.status = status;
    this.body = JSON.stringify({ error: { message, type, param, code } });
  }
}

export const missingCredential = () =>
  new ApiError(401, { message: 'Missing bearer or basic authentication in header' });

/** Quotes both ends of the key, as OpenAI does. */
export const incorrectKey = (key) =>
  new ApiError(401, {
    message: `Incorrect API key provided: ${quoted(key)}. You can find your API key at ${keysPage}.`,
    code: 'invalid_api_key',
  });

export const expiredSecret = (secret) =>
  new ApiError(401, {
    message: `Client secret ${quoted(secret)} has expired.`,
    code: 'client_secret_expired',
  });

export const unknownParameter = (param) =>
  new ApiError(400, { message: `Unknown parameter: '${param}'.`, param, code: 'unknown_parameter' });

export const missingParameter = (param) =>
  new ApiError(400, { message: `Missing required parameter: '${param}'.`, param, code: 'missing_required_parameter' });

export const invalidType = (param, expected) =>
  new ApiError(400, {
    message: `Invalid type for '${param}': expected ${expected}.`,
    param,
    code: 'invalid_type',
  });

export const invalidValue = (param, expected) =>
  new ApiError(400, { message: `Invalid value for '${param}': expected ${expected}.`, param, code: 'invalid_value' });

export const notFound = (method, path) => new ApiError(404, { message: `Invalid URL (${method} ${path})` });

function quoted(key) {
  return `${key.slice(0, 8)}${'*'.repeat(12)}${key.slice(-4)}`;
}
