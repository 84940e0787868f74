import { MerestoneError } from '../../base/error.ts';
import { compileProgram, Op } from './pattern-program.ts';
import type { PatternProgram } from './pattern-program.ts';
import { parsePattern } from './pattern-syntax.ts';

/**
 * Patterns from configuration meet bytes from outside, and JavaScript's own regular expressions backtrack:
 * one unlucky pattern and one hostile frame could stop the daemon for hours. These have the same syntax and
 * the same answers, but every byte of a frame is looked at once for each instruction at most, so that a match
 * costs at most frame × program steps, whatever the bytes. (R. Pike's machine, as in K. Thompson, CACM 11:6.)
 */
export interface Pattern {
  source: string;
  /** Names of the capturing groups in order, null for one without a name. */
  groups: readonly (string | null)[];
  /** Steps for each byte of a frame that a match costs at most: its instructions, each carrying the groups. */
  stepsPerByte: number;
  /** The leftmost match that begins at `from` or behind it. */
  match(frame: Uint8Array, from?: number): PatternMatch | null;
}

export interface PatternMatch {
  /** The text of a group by name, or by number from 1; undefined where it took no part in the match. */
  group(which: string | number): string | undefined;
  /** Where the last of its groups ends; 0 where none took part. */
  groupsEnd: number;
}

/** Each thread of a match carries its groups along. */
const groupsMax = 32;

/** Throws ProfileInvalid for what is no pattern, or one that is too long. */
export function compilePattern(source: string): Pattern {
  const { node, groups } = parsePattern(source);
  if (groups.length > groupsMax) {
    throw new MerestoneError('ProfileInvalid', `the pattern ${source} has more than ${groupsMax} groups`, {
      hint: 'write (?:…) for groups that are no values',
    });
  }
  const program = compileProgram(node, source);
  const machine = new PatternMachine(program, groups.length);
  return {
    source,
    groups,
    stepsPerByte: program.ops.length * (1 + groups.length),
    match: (frame, from = 0) => {
      const slots = machine.run(frame, from);
      if (slots === null) return null;
      return {
        groupsEnd: Math.max(0, ...slots),
        group: (which) => textOf(frame, slots, typeof which === 'number' ? which : groups.indexOf(which) + 1),
      };
    },
  };
}

function textOf(frame: Uint8Array, slots: Int32Array, index: number): string | undefined {
  const from = slots[2 * index - 2] ?? -1;
  const to = slots[2 * index - 1] ?? -1;
  return from < 0 || to < 0 ? undefined : latin1(frame.subarray(from, to));
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** Threads that wait at one byte, in order of preference; the slots of a thread never change. */
class ThreadList {
  readonly at: Int32Array;
  readonly slots: Int32Array[] = [];
  count = 0;

  constructor(capacity: number) {
    this.at = new Int32Array(capacity);
  }

  add(at: number, slots: Int32Array): void {
    this.at[this.count] = at;
    this.slots[this.count] = slots;
    this.count += 1;
  }
}

/** Its working memory is allocated once: a match allocates only what its groups need. */
class PatternMachine {
  readonly #program: PatternProgram;
  readonly #unset: Int32Array;
  /** The byte at which an instruction was last reached: it need not be followed twice. */
  readonly #seenAt: Int32Array;
  readonly #stack: ThreadList;
  #threads: ThreadList;
  #next: ThreadList;

  constructor(program: PatternProgram, groupCount: number) {
    const { length } = program.ops;
    this.#program = program;
    this.#unset = new Int32Array(2 * groupCount).fill(-1);
    this.#seenAt = new Int32Array(length);
    this.#stack = new ThreadList(2 * length + 1);
    this.#threads = new ThreadList(length);
    this.#next = new ThreadList(length);
  }

  /** The slots of the leftmost match that comes first in the pattern's own order of preference, or null. */
  run(frame: Uint8Array, from: number): Int32Array | null {
    const { first } = this.#program;
    let found: Int32Array | null = null;
    this.#seenAt.fill(-1);
    this.#threads.count = 0;
    for (let position = from; position <= frame.length; position++) {
      const canStart = position === frame.length || first[frame[position]!] === 1;
      if (found === null && canStart) this.#follow(0, this.#unset, position, frame, this.#threads);
      if (this.#threads.count === 0) {
        if (found !== null) break;
        continue;
      }
      found = this.#step(position, frame) ?? found;
      const read = this.#threads;
      this.#threads = this.#next;
      this.#next = read;
    }
    return found;
  }

  /** Reads one byte. A thread that has matched ends those behind it, and its slots are the best so far. */
  #step(position: number, frame: Uint8Array): Int32Array | null {
    const { ops, x, sets } = this.#program;
    const threads = this.#threads;
    this.#next.count = 0;
    for (let index = 0; index < threads.count; index++) {
      const at = threads.at[index]!;
      if (ops[at] === Op.Match) return threads.slots[index]!;
      if (position === frame.length || sets[x[at]!]![frame[position]!] === 0) continue;
      this.#follow(at + 1, threads.slots[index]!, position + 1, frame, this.#next);
    }
    return null;
  }

  /** Adds the threads that wait for a byte at `position`, in order of preference, each instruction once. */
  #follow(
    start: number,
    startSlots: Int32Array,
    position: number,
    frame: Uint8Array,
    into: ThreadList,
  ): void {
    const { ops, x, y } = this.#program;
    const stack = this.#stack;
    stack.count = 0;
    stack.add(start, startSlots);
    while (stack.count > 0) {
      stack.count -= 1;
      const at = stack.at[stack.count]!;
      const slots = stack.slots[stack.count]!;
      if (this.#seenAt[at] === position) continue;
      this.#seenAt[at] = position;
      switch (ops[at]! as Op) {
        case Op.Jump:
          stack.add(x[at]!, slots);
          break;
        case Op.Fork:
          stack.add(y[at]!, slots);
          stack.add(x[at]!, slots);
          break;
        case Op.Save: {
          const saved = slots.slice();
          saved[x[at]!] = position;
          stack.add(at + 1, saved);
          break;
        }
        case Op.LineStart:
          if (position === 0 || isLineEnd(frame[position - 1]!)) stack.add(at + 1, slots);
          break;
        case Op.LineEnd:
          if (position === frame.length || isLineEnd(frame[position]!)) stack.add(at + 1, slots);
          break;
        case Op.Set:
        case Op.Match:
          into.add(at, slots);
      }
    }
  }
}

function isLineEnd(code: number): boolean {
  return code === 10 || code === 13;
}
