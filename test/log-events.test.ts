import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

const root = new URL('..', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

interface Event {
  name: string;
  levels: Set<string>;
}

/** `logger.warn(` or `logger[isKnown ? 'debug' : 'warn'](`, and the first argument up to its comma or parenthesis. */
const call =
  /\b[lL]ogger(?:\.(?<level>info|warn|error)|\[(?<choice>[^\]\n]*'[^\]\n]*)\])\(\s*(?<name>'[^']*'|"[^"]*"|`[^`]*`|[\w.[\]]+)/g;

/** Quoted texts of `const events = { … }`, by key: names that are chosen by a state. */
function chosenNames(source: string): Map<string, string> {
  const [, body = ''] = /const events\b[^=]*= \{(.*?)\n\};/s.exec(source) ?? [];
  return new Map(Array.from(body.matchAll(/(\w+): '([^']+)'/g), ([, key, name]) => [key!, name!]));
}

/** Names that `expression` can have. A part that is put in at run time is `…`. */
function namesOf(expression: string, source: string): string[] {
  if (/^['"]/.test(expression)) return [expression.slice(1, -1)];
  if (expression.startsWith('`')) return [expression.slice(1, -1).replaceAll(/\$\{[^}]*\}/g, '…')];
  const names = chosenNames(source);
  const key = /^events\.(\w+)$/.exec(expression)?.[1];
  if (key !== undefined) return [names.get(key) ?? assert.fail(`no name for ${expression}`)];
  assert.match(
    expression,
    /^events\[\w+\]$/,
    `the log event ${expression} has no name that a reader can look up`,
  );
  const others = new Set(Array.from(source.matchAll(/events\.(\w+)/g), ([, other]) => other!));
  return [...names].filter(([name]) => !others.has(name)).map(([, name]) => name);
}

function eventsIn(source: string): Event[] {
  return Array.from(source.matchAll(call)).flatMap(({ groups }) => {
    const { level, choice, name } = groups!;
    const levels =
      level === undefined ? Array.from(choice!.matchAll(/'(\w+)'/g), ([, one]) => one!) : [level];
    const logged = new Set(levels.filter((one) => one !== 'debug'));
    return namesOf(name!, source).map((one) => ({ name: one, levels: logged }));
  });
}

/** What the code logs: each event's name and its levels, as the table writes them. */
function loggedEvents(): Map<string, string> {
  const all = new Map<string, Set<string>>();
  for (const path of globSync('src/**/*.ts', { cwd: root })) {
    for (const { name, levels } of eventsIn(read(path))) {
      all.set(name, new Set([...(all.get(name) ?? []), ...levels]));
    }
  }
  return new Map([...all].map(([name, levels]) => [name, [...levels].toSorted().join(', ')]));
}

const rows = read('docs/log-events.md')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.slice(2, -2).split(' | '));

describe('table of log events', () => {
  it('names every event that the code logs, with its level, and no other', () => {
    const documented = rows.map(([name, level]) => [name!.slice(1, -1), level!] as const);
    assert.equal(new Map(documented).size, documented.length, 'an event has two rows');
    assert.deepEqual(Object.fromEntries(documented), Object.fromEntries(loggedEvents()));
    assert.ok(documented.length > 50);
  });

  it('gives each event a meaning', () => {
    for (const [name, , , meaning, ...rest] of rows) {
      assert.ok(meaning !== undefined && meaning.length > 10 && rest.length === 0, `${name}: no meaning`);
    }
  });

  it('says of each event whether its name is stable', () => {
    for (const [name, , stable] of rows) assert.match(stable!, /^(yes|no)$/, name);
  });

  it('finds names over line ends, in choices of level and in templates', () => {
    const source = [
      "const events: Names = {\n  good: 'back',\n  lost: 'gone',\n};",
      "this.#logger.warn(\n  'one',\n)",
      "logger[known ? 'debug' : 'error']('two', {})",
      'deps.logger.info(`${what} fails`)',
      'logger.warn(events[state])',
      'logger.info(events.good)',
    ].join('\n');
    assert.deepEqual(
      eventsIn(source).map(({ name, levels }) => [name, [...levels]]),
      [
        ['one', ['warn']],
        ['two', ['error']],
        ['… fails', ['info']],
        ['gone', ['warn']],
        ['back', ['info']],
      ],
    );
    assert.throws(() => eventsIn('logger.warn(text)'), /has no name/);
  });
});
