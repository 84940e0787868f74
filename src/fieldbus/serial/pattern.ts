import { MerestoneError } from '../../base/error.ts';
import { parsePattern } from './pattern-syntax.ts';
import type { CharacterSet, PatternNode } from './pattern-syntax.ts';

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
  match(frame: Uint8Array): PatternMatch | null;
}

export interface PatternMatch {
  /** The text of a group by name, or by number from 1; undefined where it took no part in the match. */
  group(which: string | number): string | undefined;
}

type Instruction =
  | { op: 'set'; set: CharacterSet }
  | { op: 'line-start' }
  | { op: 'line-end' }
  | { op: 'fork'; first: number; second: number }
  | { op: 'jump'; to: number }
  | { op: 'save'; slot: number }
  | { op: 'match' };

/** With frames of 4 kB at most a match stays under some 10 ms on a slow machine, and no sensible pattern comes near. */
const instructionsMax = 512;

/** Throws ProfileInvalid for what is no pattern, or one that is too long. */
export function compilePattern(source: string): Pattern {
  const { node, groups } = parsePattern(source);
  const program: Instruction[] = [];
  emit(node, program, source);
  append(program, { op: 'match' }, source);
  const slots = 2 * (groups.length + 1);
  const first = firstCharacters(program);
  return {
    source,
    groups,
    match: (frame) => {
      const found = run(program, first, slots, frame);
      if (found === null) return null;
      return {
        group: (which) => textOf(frame, found, typeof which === 'number' ? which : groups.indexOf(which) + 1),
      };
    },
  };
}

function textOf(frame: Uint8Array, slots: Int32Array, index: number): string | undefined {
  const from = slots[2 * index] ?? -1;
  const to = slots[2 * index + 1] ?? -1;
  return from < 0 || to < 0 ? undefined : latin1(frame.subarray(from, to));
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function append(program: Instruction[], instruction: Instruction, source: string): number {
  if (program.length >= instructionsMax) {
    throw new MerestoneError('ProfileInvalid', `the pattern ${source} is too long`, {
      hint: 'repeat less by number, or take the values apart with several fields',
    });
  }
  return program.push(instruction) - 1;
}

function emit(node: PatternNode, program: Instruction[], source: string): void {
  switch (node.kind) {
    case 'set':
      append(program, { op: 'set', set: node.set }, source);
      return;
    case 'line-start':
    case 'line-end':
      append(program, { op: node.kind }, source);
      return;
    case 'sequence':
      for (const part of node.nodes) emit(part, program, source);
      return;
    case 'either':
      emitEither(node.options, program, source);
      return;
    case 'repeat':
      emitRepeat(node, program, source);
      return;
    case 'group':
      append(program, { op: 'save', slot: 2 * node.index }, source);
      emit(node.node, program, source);
      append(program, { op: 'save', slot: 2 * node.index + 1 }, source);
  }
}

function emitEither(options: PatternNode[], program: Instruction[], source: string): void {
  const jumps: { op: 'jump'; to: number }[] = [];
  for (const option of options.slice(0, -1)) {
    const fork = { op: 'fork' as const, first: program.length + 1, second: 0 };
    append(program, fork, source);
    emit(option, program, source);
    const jump = { op: 'jump' as const, to: 0 };
    append(program, jump, source);
    jumps.push(jump);
    fork.second = program.length;
  }
  emit(options.at(-1)!, program, source);
  for (const jump of jumps) jump.to = program.length;
}

function emitRepeat(
  { node, min, max, lazy }: PatternNode & { kind: 'repeat' },
  program: Instruction[],
  source: string,
): void {
  for (let count = 0; count < min; count++) emit(node, program, source);
  if (max === Infinity) {
    const loop = program.length;
    const leave = emitOptional(node, lazy, program, source);
    append(program, { op: 'jump', to: loop }, source);
    leave(program.length);
    return;
  }
  const leaves: ((to: number) => void)[] = [];
  for (let count = min; count < max; count++) leaves.push(emitOptional(node, lazy, program, source));
  for (const leave of leaves) leave(program.length);
}

/** The node, with a way round it that the returned function sets. */
function emitOptional(
  node: PatternNode,
  lazy: boolean,
  program: Instruction[],
  source: string,
): (to: number) => void {
  const fork = { op: 'fork' as const, first: 0, second: 0 };
  append(program, fork, source);
  fork[lazy ? 'second' : 'first'] = program.length;
  emit(node, program, source);
  return (to) => {
    fork[lazy ? 'first' : 'second'] = to;
  };
}

interface Thread {
  at: number;
  slots: Int32Array;
}

/** The characters that a match can begin with, so that no thread need start elsewhere. */
function firstCharacters(program: readonly Instruction[]): CharacterSet {
  const first = new Uint8Array(256);
  const seen = new Set<number>();
  const waiting = [0];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (seen.has(at)) continue;
    seen.add(at);
    const instruction = program[at]!;
    if (instruction.op === 'match') return first.fill(1);
    if (instruction.op === 'set')
      for (let code = 0; code < 256; code++) first[code]! |= instruction.set[code]!;
    else if (instruction.op === 'fork') waiting.push(instruction.first, instruction.second);
    else waiting.push(instruction.op === 'jump' ? instruction.to : at + 1);
  }
  return first;
}

/** The slots of the leftmost match that comes first in the pattern's own order of preference, or null. */
function run(
  program: readonly Instruction[],
  first: CharacterSet,
  slotCount: number,
  frame: Uint8Array,
): Int32Array | null {
  let threads: Thread[] = [];
  let found: Int32Array | null = null;
  const lastSeen = new Int32Array(program.length).fill(-1);
  for (let position = 0; position <= frame.length; position++) {
    const code = frame[position];
    const canStart = code === undefined || first[code] === 1;
    if (found === null && canStart) {
      const slots = new Int32Array(slotCount).fill(-1);
      slots[0] = position;
      follow(program, 0, slots, position, frame, lastSeen, threads);
    }
    const next: Thread[] = [];
    for (const { at, slots } of threads) {
      const instruction = program[at]!;
      if (instruction.op === 'match') {
        found = slots;
        break;
      }
      if (instruction.op === 'set' && code !== undefined && instruction.set[code] === 1) {
        follow(program, at + 1, slots, position + 1, frame, lastSeen, next);
      }
    }
    threads = next;
    if (threads.length === 0 && found !== null) break;
  }
  return found;
}

/** Adds the threads that wait for a character at `position`, in order of preference, each instruction once. */
function follow(
  program: readonly Instruction[],
  start: number,
  startSlots: Int32Array,
  position: number,
  frame: Uint8Array,
  lastSeen: Int32Array,
  threads: Thread[],
): void {
  const stack: Thread[] = [{ at: start, slots: startSlots }];
  for (let thread = stack.pop(); thread !== undefined; thread = stack.pop()) {
    const { at, slots } = thread;
    if (lastSeen[at] === position) continue;
    lastSeen[at] = position;
    const instruction = program[at]!;
    switch (instruction.op) {
      case 'set':
      case 'match':
        threads.push(thread);
        break;
      case 'jump':
        stack.push({ at: instruction.to, slots });
        break;
      case 'fork':
        stack.push({ at: instruction.second, slots }, { at: instruction.first, slots });
        break;
      case 'save': {
        const saved = slots.slice();
        saved[instruction.slot] = position;
        stack.push({ at: at + 1, slots: saved });
        break;
      }
      case 'line-start':
        if (position === 0 || isLineEnd(frame[position - 1])) stack.push({ at: at + 1, slots });
        break;
      case 'line-end':
        if (position === frame.length || isLineEnd(frame[position])) stack.push({ at: at + 1, slots });
    }
  }
}

function isLineEnd(code: number | undefined): boolean {
  return code === 10 || code === 13;
}
