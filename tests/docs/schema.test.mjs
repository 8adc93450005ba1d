// docs/config.schema.json, with the validator that editors use, against what the filter's loader takes and refuses.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Ajv from 'ajv';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';
import { repository } from '../e2e/harness/index.mjs';
import { fences, pages } from './markdown.mjs';

const read = (name) => readFileSync(join(repository, name), 'utf8');
const validate = addFormats(new Ajv({ allErrors: true })).compile(JSON.parse(read('docs/config.schema.json')));
const everything = () => parse(read('tests/docs/everything.yaml'));

function assertFits(configuration, place) {
  assert.ok(validate(configuration), `${place}: ${JSON.stringify(validate.errors, null, 2)}`);
}

test('every setting fits, and so does every example', () => {
  assertFits(everything(), 'everything.yaml');
  assertFits({}, 'nothing');
  const whole = pages.flatMap((name) => fences(name, 'yaml')).filter(({ text }) => text.startsWith('# plugin configuration\n'));
  assert.ok(whole.length > 0);
  for (const { place, text } of whole) assertFits(parse(text), place);
});

const mistakes = {
  'an unknown setting': (config) => (config.gatway = {}),
  'an unknown setting deeper down': (config) => (config.policies.voice.modles = []),
  'null': (config) => (config.policies.voice.models = null),
  'a number for text': (config) => (config.gateway.header = 7),
  'a kind that there is not': (config) => (config.providers.openai.kind = 'openia'),
  'a provider without a key': (config) => delete config.providers.openai.key,
  'a provider with a key and a pool': (config) => (config.providers.openai.keys = []),
  'a bare key': (config) => (config.providers.openai.key = 'sk-key'),
  'a key from two places': (config) => (config.providers.openai.key = { env: 'A', value: 'b' }),
  'a key from nowhere': (config) => (config.providers.openai.key = {}),
  'a key without weight': (config) => (config.providers['azure-eu'].keys[0].weight = 0),
  'a caller without tokens or identities': (config) => (config.callers['web-app'] = { policies: ['voice'] }),
  'a digest that is none': (config) => (config.callers['web-app'].tokens[0].sha256 = '5f2c'),
  'a time that is none': (config) => (config.callers['web-app'].tokens[1].not_after = 'tomorrow'),
  'a policy without a provider': (config) => delete config.policies.default.provider,
  'a policy with provider and providers': (config) => (config.policies.default.providers = ['openai']),
  'off as YAML 1.1 reads it without quotes': (config) => (config.policies.health.auth = false),
  'a duration without a unit': (config) => (config.policies.voice.session.max_duration = 30),
};
for (const [name, make] of Object.entries(mistakes)) {
  test(`${name} does not fit`, () => {
    const configuration = everything();
    make(configuration);
    assert.equal(validate(configuration), false);
  });
}
