import { nearestName } from '../base/nearest-name.ts';
import { isNumeric, rangeFaults } from './profile/range-schema.ts';
import type { RegisterType } from '../reading/point.ts';
import type { Limit } from '../reading/range.ts';
import { registerCount } from '../reading/registers.ts';

/*
 * Contradictions within a Modbus point, for the configuration and for profiles alike. Each fault reads
 * `what is wrong; what to do`.
 */

/** The keys that these rules look at. `address` is absent if a SunSpec model tells it. */
export interface PointShape {
  table: 'coil' | 'discrete' | 'input' | 'holding';
  address?: number | undefined;
  type?: RegisterType | undefined;
  scale?: number | undefined;
  offset?: number | undefined;
  scaleFrom?: string | undefined;
  length?: number | undefined;
  half?: 'high' | 'low' | undefined;
  sign?: 'magnitude' | undefined;
  bit?: number | undefined;
  bits?: Readonly<Record<string, string>> | undefined;
  enum?: Readonly<Record<string, string>> | undefined;
  invalid?: unknown;
  min?: Limit | undefined;
  max?: Limit | undefined;
}

/** Registers (or bits, in coil and discrete) that the point takes. */
export function pointWidth(point: PointShape): number {
  return registerCount({
    type: point.type ?? 'bool',
    ...(point.length !== undefined && { length: point.length }),
  });
}

/** Contradictions between the keys of one point. */
export function pointFaults(point: PointShape): [key: keyof PointShape, message: string][] {
  const bitTable = point.table === 'coil' || point.table === 'discrete';
  const faults: [keyof PointShape, string][] = [];
  if (bitTable && point.type !== undefined && point.type !== 'bool') {
    faults.push([
      'type',
      `a ${point.table} holds one bit, not '${point.type}'; write type: bool, or another table`,
    ]);
  }
  if (!bitTable && point.type === undefined) {
    faults.push(['type', "'type' is missing; say how the registers are read, such as uint16 or float32"]);
  }
  if (faults.length > 0) return faults;

  const type = point.type ?? 'bool';
  for (const [key, fits, types] of belongings) {
    if (point[key] !== undefined && !fits(type, bitTable)) {
      faults.push([key, `'${key}' does not go with type '${type}'; it is for ${types}`]);
    }
  }
  faults.push(...rangeFaults({ ...point, type }));
  if (type === 'string' && point.length === undefined) {
    faults.push(['length', "a string needs its 'length'; write how many registers it takes"]);
  }
  if (type === 'bits' && point.bits === undefined) {
    faults.push(['bits', "type 'bits' needs the names of its bits; write bits: { 0: name, … }"]);
  }
  if (type === 'bits' && (point.length ?? 1) > 2) {
    faults.push(['length', `bits take 1 or 2 registers, not ${point.length}; split them into points`]);
  }
  if (isWide(type) && point.length !== undefined && point.length !== 3 && point.length !== 4) {
    faults.push([
      'length',
      `${type} takes 3 registers (48 bits) or 4, not ${point.length}; write one of them`,
    ]);
  }
  const highest = Math.max(-1, ...Object.keys(point.bits ?? {}).map(Number));
  if (type === 'bits' && highest >= 16 * (point.length ?? 1)) {
    faults.push([
      'bits',
      `there is no bit ${highest} in ${point.length ?? 1} register; write length: 2, or another bit`,
    ]);
  }
  const last = (point.address ?? 0) + pointWidth(point) - 1;
  if (last > 65_535) {
    faults.push([
      'address',
      `the value reaches to ${last}, past the last address 65535; correct the address`,
    ]);
  }
  return faults;
}

export interface ListedPoint {
  name: string;
  scaleFrom?: string | undefined;
  /** SunSpec models: points of different models may have one name. */
  model?: readonly number[] | undefined;
}

/** Contradictions between the points of one device. */
export function listFaults(
  points: readonly ListedPoint[],
): { index: number; key: 'name' | 'scaleFrom'; message: string }[] {
  const names = points.map(({ name }) => name);
  return points.flatMap((point, index) => {
    const faults: ReturnType<typeof listFaults> = [];
    const twin = points.findIndex((other) => other.name === point.name && overlaps(other, point));
    if (twin < index) {
      const message = `point '${point.name}' is named twice; give each its own name`;
      faults.push({ index, key: 'name', message });
    }
    const { scaleFrom } = point;
    const others = names.filter((name) => name !== point.name);
    if (scaleFrom !== undefined && !others.includes(scaleFrom)) {
      const meant = nearestName(scaleFrom, others);
      const hint = meant ? `did you mean '${meant}'?` : 'name one of this device';
      const message = `there is no other point '${scaleFrom}' to scale by; ${hint}`;
      faults.push({ index, key: 'scaleFrom', message });
    }
    return faults;
  });
}

/** Different SunSpec models may give the same value under the same name. */
function overlaps(one: ListedPoint, other: ListedPoint): boolean {
  if (one.model === undefined || other.model === undefined) return true;
  return one.model.some((model) => other.model!.includes(model));
}

const isWide = (type: RegisterType): boolean => type === 'int64' || type === 'uint64';
const integer = (type: RegisterType): boolean => isNumeric(type) && !type.startsWith('float');

/** Which keys go with which types. */
const belongings: readonly [keyof PointShape, (type: RegisterType, bitTable: boolean) => boolean, string][] =
  [
    ['scale', isNumeric, 'numbers'],
    ['offset', isNumeric, 'numbers'],
    ['scaleFrom', isNumeric, 'numbers'],
    [
      'length',
      (type) => type === 'string' || type === 'bits' || isWide(type),
      'string, bits, int64 and uint64',
    ],
    ['half', (type) => type === 'int16' || type === 'uint16', 'int16 and uint16'],
    ['sign', (type) => type.startsWith('int'), 'int16, int32 and int64'],
    ['bit', (type, bitTable) => type === 'bool' && !bitTable, 'bool in a register'],
    ['bits', (type) => type === 'bits', 'bits'],
    ['enum', integer, 'whole numbers'],
    ['invalid', (type) => type !== 'bool', 'everything but bool'],
  ];
