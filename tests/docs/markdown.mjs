// The blocks of code in the documentation.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { repository } from '../e2e/harness/index.mjs';

/** The documents for users: the README and the pages of docs/. */
export const pages = [
  'README.md',
  ...readdirSync(join(repository, 'docs')).filter((name) => name.endsWith('.md')).sort().map((name) => `docs/${name}`),
];

/** The fenced blocks of a document, in order: `{ place, language, text }`. With `wanted`, those of that language. */
export function fences(name, wanted) {
  const document = readFileSync(join(repository, name), 'utf8');
  const all = [...document.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(({ 1: language, 2: text, index }) => ({
    place: `${name}:${document.slice(0, index).split('\n').length}`,
    language,
    text,
  }));
  return all.filter(({ language }) => wanted === undefined || language === wanted);
}

/** The values of a page's YAML blocks whose first line is this comment, each as `{ place, value }`. */
export function examples(name, comment) {
  const found = fences(name, 'yaml').filter(({ text }) => text.startsWith(`# ${comment}\n`));
  if (found.length === 0) throw new Error(`${name} has no block that begins with # ${comment}`);
  return found.map(({ place, text }) => ({ place, value: parse(text) }));
}

/** The rows of a page's table below this heading row, each as its cells without backticks. */
export function table(name, head) {
  const lines = readFileSync(join(repository, name), 'utf8').split('\n');
  const start = lines.indexOf(head);
  if (start < 0) throw new Error(`${name} has no table ${head}`);
  const rest = lines.slice(start + 2);
  const rows = rest.slice(0, rest.findIndex((line) => !line.startsWith('|')));
  return rows.map((line) => line.replace(/^\| | \|$/g, '').split(' | ').map((cell) => cell.replaceAll('`', '').trim()));
}

/**
 * The requests of curl in a page's blocks of shell, each as `{ place, method, target, headers, body }`, with the values of
 * `variables` in the places of their names.
 */
export function curls(name, variables) {
  return fences(name, 'sh').flatMap(({ place, text }) => {
    const commands = text.replaceAll('\\\n', ' ').match(/^curl (?:'[^']*'|[^'\n])*/gm) ?? [];
    return commands.map((command) => ({ place, ...request(command, variables) }));
  });
}

function request(command, variables) {
  const named = (text) => text.replace(/\$(\w+)/g, (_, name) => variables[name] ?? missing(name));
  const words = Array.from(command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g), ([, verbatim, quoted, bare]) =>
    verbatim ?? named(quoted ?? bare),
  );
  const url = new URL(words.find((word) => /^https?:/.test(word)));
  const after = (option) => words.flatMap((word, index) => (word === option ? [words[index + 1]] : []));
  const [body] = after('-d');
  const [method = body === undefined ? 'GET' : 'POST'] = after('-X');
  const headers = [['host', url.host], ...after('-H').map(headerLine)];
  return { method, target: url.pathname + url.search, headers, ...(body === undefined ? {} : { body }) };
}

function missing(name) {
  throw new Error(`no value for $${name}`);
}

/** `name: value` as a pair. */
export function headerLine(line) {
  const [name, ...value] = line.split(': ');
  return [name, value.join(': ')];
}
