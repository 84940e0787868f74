import type { ModbusPointOptions, SunSpecDiscovery } from '../../options.ts';

/**
 * SunSpec Device Information Model: the marker "SunS" is at one of a few addresses, followed by one model
 * after another, each with its id, its length and that many registers; id 0xFFFF ends the chain.
 */
export interface SunSpecModel {
  id: number;
  /** Of its id register. */
  address: number;
  /** Registers behind id and length. */
  length: number;
}

/** The next step of the walk. All reads are of holding registers. */
export type SunSpecWalk =
  | { kind: 'read'; address: number; quantity: 2; bases: readonly number[]; models: readonly SunSpecModel[] }
  | { kind: 'found'; models: readonly SunSpecModel[] }
  | { kind: 'failed'; reason: string };

const marker = 0x53756e53;
const endOfChain = 0xffff;
/** The largest devices (arrays of batteries) have some thirty; a longer chain is not valid. */
const modelsMax = 64;

export function startSunSpecWalk(bases: readonly number[]): SunSpecWalk {
  const [first] = bases;
  if (first === undefined) return { kind: 'failed', reason: 'no SunSpec marker found' };
  return { kind: 'read', address: first, quantity: 2, bases, models: [] };
}

/** `answer`: the two registers as four bytes, or null if the device refused or did not answer. */
export function stepSunSpecWalk(walk: SunSpecWalk, answer: Uint8Array | null): SunSpecWalk {
  if (walk.kind !== 'read') return walk;
  const { address, bases, models } = walk;
  const [base, ...otherBases] = bases;
  const registers =
    answer === null || answer.length < 4 ? null : new DataView(answer.buffer, answer.byteOffset);
  if (address === base) {
    const isMarked = registers?.getUint32(0) === marker;
    return isMarked ? { ...walk, address: base + 2 } : startSunSpecWalk(otherBases);
  }
  if (registers === null) return { kind: 'failed', reason: `the SunSpec chain breaks off at ${address}` };
  const [id, length] = [registers.getUint16(0), registers.getUint16(2)];
  if (id === endOfChain) return { kind: 'found', models };
  const next = address + 2 + length;
  if (models.length >= modelsMax || next > 65_534) {
    return { kind: 'failed', reason: `the SunSpec chain has no end behind ${address}` };
  }
  return { ...walk, address: next, models: [...models, { id, address, length }] };
}

/** The points that the device has, each at the first model in the chain that holds it. */
export function resolveSunSpec(
  points: SunSpecDiscovery['points'],
  models: readonly SunSpecModel[],
): ModbusPointOptions[] {
  const resolved = new Map<string, ModbusPointOptions>();
  for (const { models: wanted, register, ...point } of points) {
    const model = models.find(({ id, length }) => wanted.includes(id) && register < length + 2);
    if (model === undefined || resolved.has(point.name)) continue;
    resolved.set(point.name, { ...point, address: model.address + register });
  }
  return [...resolved.values()];
}
