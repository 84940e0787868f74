import { MerestoneError } from '../../base/error.ts';

/** Which of the 256 Latin-1 characters belong: 1 at its code. */
export type CharacterSet = Uint8Array;

export type PatternNode =
  | { kind: 'set'; set: CharacterSet }
  | { kind: 'line-start' }
  | { kind: 'line-end' }
  | { kind: 'sequence'; nodes: PatternNode[] }
  | { kind: 'either'; options: PatternNode[] }
  | { kind: 'repeat'; node: PatternNode; min: number; max: number; lazy: boolean }
  | { kind: 'group'; node: PatternNode; index: number };

export interface ParsedPattern {
  node: PatternNode;
  /** Names of the capturing groups in order, null for a group without one. */
  groups: (string | null)[];
}

/** JavaScript's own syntax and meaning under flag `m`, less what cannot be matched in linear time. */
export function parsePattern(source: string): ParsedPattern {
  const parser = new PatternParser(source);
  return parser.parse();
}

const digits = setOf((code) => code >= 48 && code <= 57);
const wordCharacters = setOf((code) => /\w/.test(String.fromCharCode(code)));
const spaces = setOf((code) => /\s/.test(String.fromCharCode(code)));
const classEscapes: Readonly<Record<string, CharacterSet>> = {
  d: digits,
  D: inverse(digits),
  w: wordCharacters,
  W: inverse(wordCharacters),
  s: spaces,
  S: inverse(spaces),
};
const controlEscapes: Readonly<Record<string, string>> = {
  t: '\t',
  n: '\n',
  r: '\r',
  f: '\f',
  v: '\v',
  0: '\0',
};
const notLineEnd = setOf((code) => code !== 10 && code !== 13);

/** More would only make a program that is too long for the matcher anyway. */
const repeatMax = 256;

class PatternParser {
  readonly #source: string;
  readonly #groups: (string | null)[] = [];
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): ParsedPattern {
    const node = this.#alternatives();
    if (this.#at < this.#source.length) this.#refuse('has a ) without its (', 'write \\) for the character');
    return { node, groups: this.#groups };
  }

  #alternatives(): PatternNode {
    const options = [this.#sequence()];
    while (this.#take('|')) options.push(this.#sequence());
    return options.length === 1 ? options[0]! : { kind: 'either', options };
  }

  #sequence(): PatternNode {
    const nodes: PatternNode[] = [];
    while (this.#at < this.#source.length && !this.#sees('|') && !this.#sees(')'))
      nodes.push(this.#repeated());
    return { kind: 'sequence', nodes };
  }

  #repeated(): PatternNode {
    const groupsBefore = this.#groups.length;
    const node = this.#atom();
    const bounds = this.#quantifier();
    if (bounds === null) return node;
    const lazy = this.#take('?');
    if (canBeEmpty(node))
      this.#refuse('repeats something that can be empty', 'let it hold one character at least');
    const named = this.#groups.slice(groupsBefore).find((name) => name !== null);
    if (named !== undefined && bounds.max > 1) {
      this.#refuse(`repeats the group '${named}'`, 'a group is one value: put the repeat inside it');
    }
    return { kind: 'repeat', node, ...bounds, lazy };
  }

  #quantifier(): { min: number; max: number } | null {
    if (this.#take('*')) return { min: 0, max: Infinity };
    if (this.#take('+')) return { min: 1, max: Infinity };
    if (this.#take('?')) return { min: 0, max: 1 };
    const match = /^\{(\d{1,6})(,(\d{0,6}))?\}/.exec(this.#source.slice(this.#at, this.#at + 16));
    if (match === null) return null;
    this.#at += match[0].length;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === '' ? Infinity : Number(match[3]);
    if (min > max) this.#refuse(`has the repeat ${match[0]} with its bounds the wrong way round`);
    if (min > repeatMax || (max > repeatMax && max !== Infinity)) {
      this.#refuse(`repeats more than ${repeatMax} times by number`, 'use + or *');
    }
    return { min, max };
  }

  #atom(): PatternNode {
    const character = this.#source[this.#at]!;
    if (this.#take('(')) return this.#group();
    if (this.#take('[')) return { kind: 'set', set: this.#characterClass() };
    if (this.#take('^')) return { kind: 'line-start' };
    if (this.#take('$')) return { kind: 'line-end' };
    if (this.#take('.')) return { kind: 'set', set: notLineEnd };
    if (this.#take('\\')) return { kind: 'set', set: this.#escape() };
    if ('*+?'.includes(character)) this.#refuse(`has nothing before ${character} to repeat`);
    this.#at += 1;
    return { kind: 'set', set: this.#single(character) };
  }

  #group(): PatternNode {
    if (this.#take('?:')) return this.#closed(this.#alternatives());
    const name = /^\?<([A-Za-z_]\w*)>/.exec(this.#source.slice(this.#at));
    if (name === null && this.#sees('?')) {
      this.#refuse('looks ahead or behind', 'only (…), (?:…) and (?<name>…) are known');
    }
    if (name !== null) {
      this.#at += name[0].length;
      if (this.#groups.includes(name[1]!)) this.#refuse(`names the group '${name[1]}' twice`);
    }
    this.#groups.push(name?.[1] ?? null);
    const index = this.#groups.length;
    return { kind: 'group', node: this.#closed(this.#alternatives()), index };
  }

  #closed(node: PatternNode): PatternNode {
    if (!this.#take(')')) this.#refuse('has a ( without its )', 'write \\( for the character');
    return node;
  }

  #characterClass(): CharacterSet {
    const negated = this.#take('^');
    const set = new Uint8Array(256);
    while (!this.#take(']')) {
      if (this.#at >= this.#source.length)
        this.#refuse('has a [ without its ]', 'write \\[ for the character');
      const first = this.#classMember();
      const from = onlyMember(first);
      const isRange = this.#sees('-') && this.#source[this.#at + 1] !== ']' && from !== null;
      if (!isRange) {
        first.forEach((belongs, code) => {
          if (belongs) set[code] = 1;
        });
        continue;
      }
      this.#at += 1;
      const to = onlyMember(this.#classMember());
      if (to === null || to < from) this.#refuse('has a range in [] that runs backwards');
      set.fill(1, from, to + 1);
    }
    return negated ? inverse(set) : set;
  }

  #classMember(): CharacterSet {
    if (this.#take('\\')) return this.#take('b') ? this.#single('\b') : this.#escape();
    const character = this.#source[this.#at];
    if (character === undefined) this.#refuse('has a [ without its ]', 'write \\[ for the character');
    this.#at += 1;
    return this.#single(character);
  }

  #escape(): CharacterSet {
    const character = this.#source[this.#at];
    if (character === undefined) this.#refuse('ends in a single \\', 'write \\\\ for the character');
    this.#at += 1;
    const set = classEscapes[character];
    if (set !== undefined) return set;
    const hex = /^[0-9A-Fa-f]{2}/.exec(this.#source.slice(this.#at));
    if (character === 'x' && hex !== null) {
      this.#at += 2;
      return this.#single(String.fromCharCode(Number.parseInt(hex[0], 16)));
    }
    const control = controlEscapes[character];
    if (control !== undefined) return this.#single(control);
    if (/[A-Za-z1-9]/.test(character)) this.#refuse(`uses \\${character}, which is not known here`);
    return this.#single(character);
  }

  #single(character: string): CharacterSet {
    const code = character.charCodeAt(0);
    if (code > 255) {
      this.#refuse(`holds '${character}', which no single byte is`, 'frames are matched as Latin-1 text');
    }
    return setOf((other) => other === code);
  }

  #sees(text: string): boolean {
    return this.#source.startsWith(text, this.#at);
  }

  #take(text: string): boolean {
    if (!this.#sees(text)) return false;
    this.#at += text.length;
    return true;
  }

  #refuse(what: string, hint?: string): never {
    throw new MerestoneError(
      'ProfileInvalid',
      `the pattern ${this.#source} ${what}`,
      hint === undefined ? {} : { hint },
    );
  }
}

/** Quantifying such a node would let the matcher go round without reading on. */
function canBeEmpty(node: PatternNode): boolean {
  if (node.kind === 'set') return false;
  if (node.kind === 'sequence') return node.nodes.every(canBeEmpty);
  if (node.kind === 'either') return node.options.some(canBeEmpty);
  if (node.kind === 'repeat') return node.min === 0 || canBeEmpty(node.node);
  return node.kind === 'group' ? canBeEmpty(node.node) : true;
}

function onlyMember(set: CharacterSet): number | null {
  const first = set.indexOf(1);
  return first >= 0 && set.lastIndexOf(1) === first ? first : null;
}

function setOf(belongs: (code: number) => boolean): CharacterSet {
  return Uint8Array.from({ length: 256 }, (_, code) => (belongs(code) ? 1 : 0));
}

function inverse(set: CharacterSet): CharacterSet {
  return set.map((belongs) => 1 - belongs);
}
