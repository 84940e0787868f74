import { MerestoneError } from '../../base/error.ts';
import type { CharacterSet, PatternNode } from './pattern-syntax.ts';

export const Op = { Set: 0, LineStart: 1, LineEnd: 2, Fork: 3, Jump: 4, Save: 5, Match: 6 } as const;
export type Op = (typeof Op)[keyof typeof Op];

/** A compiled pattern as parallel arrays: instruction n has `ops[n]` with its two arguments. */
export interface PatternProgram {
  ops: Uint8Array;
  /** Set: index of the set. Fork: where it goes first. Jump: where to. Save: the slot. */
  x: Int32Array;
  /** Fork: where it goes second. */
  y: Int32Array;
  sets: readonly CharacterSet[];
  /** Characters that a match can begin with, so that no thread need start elsewhere. */
  first: CharacterSet;
}

interface Instruction {
  op: Op;
  x: number;
  y: number;
}

/** No sensible pattern comes near. */
const instructionsMax = 512;

/** Throws ProfileInvalid for a pattern that is too long; group n (from 1) saves to slots 2n - 2 and 2n - 1. */
export function compileProgram(node: PatternNode, source: string): PatternProgram {
  const assembler = new Assembler(source);
  assembler.emit(node);
  assembler.append(Op.Match);
  const { instructions, sets } = assembler;
  const program = {
    ops: Uint8Array.from(instructions, ({ op }) => op),
    x: Int32Array.from(instructions, ({ x }) => x),
    y: Int32Array.from(instructions, ({ y }) => y),
    sets,
  };
  return { ...program, first: firstCharacters(program) };
}

class Assembler {
  readonly instructions: Instruction[] = [];
  readonly sets: CharacterSet[] = [];
  readonly #source: string;

  constructor(source: string) {
    this.#source = source;
  }

  append(op: Op, x = 0, y = 0): Instruction {
    if (this.instructions.length >= instructionsMax) {
      throw new MerestoneError('ProfileInvalid', `the pattern ${this.#source} is too long`, {
        hint: 'repeat less by number, or take the values apart with several fields',
      });
    }
    const instruction = { op, x, y };
    this.instructions.push(instruction);
    return instruction;
  }

  emit(node: PatternNode): void {
    switch (node.kind) {
      case 'set':
        this.append(Op.Set, this.sets.push(node.set) - 1);
        break;
      case 'line-start':
        this.append(Op.LineStart);
        break;
      case 'line-end':
        this.append(Op.LineEnd);
        break;
      case 'sequence':
        for (const part of node.nodes) this.emit(part);
        break;
      case 'either':
        this.#either(node.options);
        break;
      case 'repeat':
        this.#repeat(node);
        break;
      case 'group':
        this.append(Op.Save, 2 * node.index - 2);
        this.emit(node.node);
        this.append(Op.Save, 2 * node.index - 1);
    }
  }

  get #here(): number {
    return this.instructions.length;
  }

  #either(options: readonly PatternNode[]): void {
    const jumps: Instruction[] = [];
    for (const option of options.slice(0, -1)) {
      const fork = this.append(Op.Fork, this.#here + 1);
      this.emit(option);
      jumps.push(this.append(Op.Jump));
      fork.y = this.#here;
    }
    this.emit(options.at(-1)!);
    for (const jump of jumps) jump.x = this.#here;
  }

  #repeat({ node, min, max, lazy }: PatternNode & { kind: 'repeat' }): void {
    for (let count = 0; count < min; count++) this.emit(node);
    if (max === Infinity) {
      const loop = this.#here;
      const leave = this.#optional(node, lazy);
      this.append(Op.Jump, loop);
      leave(this.#here);
      return;
    }
    const leaves: ((to: number) => void)[] = [];
    for (let count = min; count < max; count++) leaves.push(this.#optional(node, lazy));
    for (const leave of leaves) leave(this.#here);
  }

  /** The node, with a way round it that the returned function sets. */
  #optional(node: PatternNode, lazy: boolean): (to: number) => void {
    const fork = this.append(Op.Fork);
    fork[lazy ? 'y' : 'x'] = this.#here;
    this.emit(node);
    return (to) => {
      fork[lazy ? 'x' : 'y'] = to;
    };
  }
}

function firstCharacters({ ops, x, y, sets }: Omit<PatternProgram, 'first'>): CharacterSet {
  const first = new Uint8Array(256);
  const seen = new Set<number>();
  const waiting = [0];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (seen.has(at)) continue;
    seen.add(at);
    const op = ops[at];
    if (op === Op.Match) return first.fill(1);
    if (op === Op.Set) for (let code = 0; code < 256; code++) first[code]! |= sets[x[at]!]![code]!;
    else if (op === Op.Fork) waiting.push(x[at]!, y[at]!);
    else waiting.push(op === Op.Jump ? x[at]! : at + 1);
  }
  return first;
}
