// What the demo prints: plain text, with colours where a terminal shows them and nobody asked for none.
import { stripVTControlCharacters } from 'node:util';

const codes = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39], cyan: [36, 39] };

/** A terminal on `stream`. */
export function terminal(stream = process.stdout, env = process.env) {
  const isColoured = Boolean(stream.isTTY) && !env.NO_COLOR && env.TERM !== 'dumb';
  const width = Math.min(Math.max(stream.columns ?? 100, 60), 110);
  const paint = Object.fromEntries(
    Object.entries(codes).map(([name, [on, off]]) => [
      name,
      (text) => (isColoured ? `\u001b[${on}m${text}\u001b[${off}m` : text),
    ]),
  );
  const line = (text = '') => stream.write(`${text}\n`);
  const mark = (sign, text, note) =>
    line(`  ${sign} ${note === undefined ? text : `${text.padEnd(31)} ${paint.dim(note)}`}`);

  return {
    paint,
    line,
    heading(number, title) {
      const rule = '─'.repeat(Math.max(width - title.length - 8, 3));
      line(`\n${paint.dim('──')} ${paint.bold(`${number}  ${title}`)} ${paint.dim(rule)}\n`);
    },
    /** Prose, wrapped, and set apart from what follows. */
    say(text) {
      for (const one of wrap(text, width - 2)) line(`  ${one}`);
      line();
    },
    /** What was said, wrapped. */
    quote(text) {
      for (const one of wrap(text, width - 6)) line(`    ${paint.dim(one)}`);
    },
    /** The client's own lines. */
    code(lines) {
      for (const one of lines) line(`  ${paint.dim(one)}`);
      line();
    },
    /** One that went well, and what there is to note about it. */
    good: (text, note) => mark(paint.green('✓'), text, note),
    bad: (text, note) => mark(paint.red('✗'), text, note),
    /** Names and values, one a line. */
    facts(pairs) {
      const widest = Math.max(...pairs.map(([name]) => name.length));
      for (const [name, value] of pairs) line(`  ${paint.dim(name.padEnd(widest))}  ${value}`);
    },
    /** Two columns under their titles; `rows` is `[[left, right]…]`. */
    columns(titles, rows) {
      const left = Math.max(...[titles, ...rows].map(([one]) => visible(one)));
      const right = Math.max(...[titles, ...rows].map(([, one]) => visible(one)));
      const show = (a, b) => line(`  ${a}${' '.repeat(left - visible(a))}   ${b}`);
      line();
      show(paint.bold(titles[0]), paint.bold(titles[1]));
      line(`  ${paint.dim('─'.repeat(left))}   ${paint.dim('─'.repeat(right))}`);
      for (const [a, b] of rows) show(a, b);
    },
  };
}

/** The first and the last letters of a secret, enough to tell it from another. */
export function shortened(secret) {
  return secret.length < 20 ? '…' : `${secret.slice(0, 8)}…${secret.slice(-4)}`;
}

/** How many columns a text takes: every letter here takes one. */
function visible(text) {
  return [...stripVTControlCharacters(text)].length;
}

function wrap(text, width) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== '' && last.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
