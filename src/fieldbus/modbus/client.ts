import type { Request } from './pdu.ts';
import type { FaultKind } from './rtu-frame.ts';

/** What became of one request. Only `data` and `exception` are the device's own words. */
export type Outcome =
  | { kind: 'data'; data: Uint8Array; answerMs: number }
  | { kind: 'exception'; exceptionCode: number; answerMs: number }
  | { kind: 'fault'; fault: FaultKind }
  /** The port went away under it. */
  | { kind: 'offline'; reason: string };

/**
 * Bytes on the line that answer nothing: an answer that came too late, the request's own echo, noise
 * around a good frame, and what comes although nobody asked (another master on the line).
 */
export type StrayKind = 'late' | 'echo' | 'noise' | 'unsolicited';

export interface Transaction {
  unitId: number;
  request: Request;
  /** From the request's last bit to the answer's first. */
  timeoutMs: number;
}

/** Asks and answers over one port. Whoever drives it keeps to `concurrency`. */
export interface ModbusClient {
  readonly concurrency: number;
  /** Never rejects. Takes two timeouts at most: see `unanswered.ts`. */
  transact(transaction: Transaction): Promise<Outcome>;
}

export type StrayListener = (unitId: number, kind: StrayKind) => void;
