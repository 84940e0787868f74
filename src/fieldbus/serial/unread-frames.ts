import type { SerialDeviceOptions } from '../options.ts';
import { excerptOf, isReadable } from './excerpt.ts';
import { compilePattern } from './pattern.ts';

/**
 * Received bytes without a value: a valid frame that matches no message, a frame without a check sum or with a wrong
 * one, an unfinished frame, or bytes that are no frame.
 */
export type UnreadKind = 'unknown' | 'unchecked' | 'damaged' | 'unfinished' | 'noise';

/** The first ones explain the fault best. */
const kinds: readonly UnreadKind[] = ['unknown', 'unchecked', 'damaged', 'unfinished', 'noise'];

/** Keeps unread frames since the last valid one, to explain why the sensor gives no value. */
export class Unread {
  readonly #device: SerialDeviceOptions;
  readonly #isAlone: () => boolean;
  readonly #others: { matches: (bytes: Uint8Array) => boolean; is: string }[];
  readonly #latest = new Map<UnreadKind, Uint8Array>();

  /** `isAlone`: no other sensor is on the line. Throws ProfileInvalid for an invalid pattern. */
  constructor(device: SerialDeviceOptions, isAlone: () => boolean) {
    this.#device = device;
    this.#isAlone = isAlone;
    const { others = [] } = typeof device.identify === 'object' ? device.identify : {};
    this.#others = others.map(({ pattern, is }) => {
      const compiled = compilePattern(pattern);
      return { matches: (bytes) => compiled.match(bytes) !== null, is };
    });
  }

  take(kind: UnreadKind, bytes: Uint8Array): void {
    this.#latest.set(kind, bytes);
  }

  clear(): void {
    this.#latest.clear();
  }

  get kind(): UnreadKind | undefined {
    return kinds.find((kind) => this.#latest.has(kind));
  }

  /** One line, with what to do after a semicolon; undefined if nothing came. */
  describe(): string | undefined {
    const { kind } = this;
    if (kind === undefined) return undefined;
    for (const [each, bytes] of this.#latest) {
      if (each === 'damaged') continue; // a right frame but for flipped bits
      const other = this.#others.find(({ matches }) => matches(bytes));
      if (other !== undefined) return `${this.#says(bytes)}: that is ${other.is}`;
    }
    const bytes = this.#latest.get(kind)!;
    return `${this.#says(bytes)}${this.#fault(kind)}; ${this.#hint(kind, bytes)}`;
  }

  #says(bytes: Uint8Array): string {
    const who = this.#isAlone() ? 'it sends' : 'the line brings';
    return `${this.#device.protocol.request === undefined ? who : 'it answers'} ${excerptOf(bytes)}`;
  }

  #fault(kind: UnreadKind): string {
    const owner = this.#device.profile === undefined ? 'its protocol' : 'the profile';
    switch (kind) {
      case 'unknown':
        return `, which no message of ${owner} takes`;
      case 'unchecked':
        return ` without a check sum, which ${owner} asks for`;
      case 'damaged':
        return ' with a wrong check sum';
      case 'unfinished':
        return `, which does not end as ${owner} says`;
      case 'noise':
        return `, which is no frame of ${owner}`;
    }
  }

  #lenience(): string {
    const isNmea = this.#device.protocol.checksum.kind === 'nmea-0183';
    return isNmea
      ? "'settings: { checksum: nmea-0183-optional }'"
      : 'a profile for sensors that send none, if there is one';
  }

  /** Readable text proves the right rate; anything else may be noise. */
  #hint(kind: UnreadKind, bytes: Uint8Array): string {
    const isOwn = this.#device.profile === undefined;
    const change = isOwn ? 'write the protocol as the sensor has it' : 'name the profile that fits it';
    switch (kind) {
      case 'unknown':
        return `set the sensor to what ${isOwn ? 'its protocol' : 'the profile'} reads (unit, mode), or ${change}`;
      case 'unchecked':
        return isOwn
          ? "have the sensor send it, or set 'checksum' of the protocol to none"
          : `have the sensor send it, or use ${this.#lenience()}`;
      case 'damaged':
        return "check the line's wiring, termination, parity and data bits";
      case 'unfinished':
      case 'noise':
        return isReadable(bytes) ? change : `check the line's baud rate, parity and data bits, or ${change}`;
    }
  }
}
