// The blocks of code in the documentation.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { repository } from '../e2e/harness/index.mjs';

/** The fenced blocks of a document, in order: `{ place, language, text }`. */
export function fences(name) {
  const document = readFileSync(join(repository, name), 'utf8');
  return [...document.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(({ 1: language, 2: text, index }) => ({
    place: `${name}:${document.slice(0, index).split('\n').length}`,
    language,
    text,
  }));
}

/** The values of the README's YAML blocks whose first line is this comment, each as `{ place, value }`. */
export function examples(comment) {
  const found = fences('README.md').filter(({ language, text }) => language === 'yaml' && text.startsWith(`# ${comment}\n`));
  if (found.length === 0) throw new Error(`the README has no block that begins with # ${comment}`);
  return found.map(({ place, text }) => ({ place, value: parse(text) }));
}
