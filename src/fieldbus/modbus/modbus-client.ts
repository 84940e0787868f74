import type { Request } from './pdu.ts';
import type { FaultKind } from './rtu-frame.ts';

/** What became of one request. Only `data` and `exception` are the device's own words. */
export type Outcome = (
  | { kind: 'data'; data: Uint8Array; answerMs: number }
  | Exception
  | Fault
  /** The port went away under it. */
  | { kind: 'offline'; reason: string }
) & {
  /** Time that it waited for others that were asked before it; absent: none. */
  queuedMs?: number;
};

export interface Exception {
  kind: 'exception';
  exceptionCode: number;
  answerMs: number;
  /** It may be the late answer to another request: it says nothing about the registers of this one. */
  isDoubtful?: boolean;
}

export interface Fault {
  kind: 'fault';
  fault: FaultKind;
  /** What is wrong and what to do, where the name of the fault does not say it. */
  detail?: string;
  /** What the points have for a quality; absent: `timeout` or `crc`. */
  quality?: 'invalid';
  /** It answered, and with less than was asked: a smaller request may be answered whole. */
  isCut?: boolean;
  /** How much longer it is going to keep others from their answers. */
  holdsMs?: number;
}

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
  /** How long a request that is not answered keeps others from their answers, as far as is known. */
  readonly holdMs: number;
  /** Before then a request to the unit would only queue behind others that are not answered; 0: at any time. */
  againAtMs(unitId: number): number;
  /** Never rejects. Takes two timeouts at most: see `unanswered.ts`. */
  transact(transaction: Transaction): Promise<Outcome>;
}

export type StrayListener = (unitId: number, kind: StrayKind) => void;

/** A unit gave data, though too late to be of use: it lives. */
export type ConnectionListener = (unitId: number) => void;
