import type { Request } from './pdu.ts';
import type { FaultKind } from './rtu-frame.ts';

/** Result of one request. Only `data` and `exception` come from the device. */
export type Outcome = (
  | { kind: 'data'; data: Uint8Array; answerMs: number }
  | Exception
  | Fault
  /** The port was lost during the request. */
  | { kind: 'offline'; reason: string }
) & {
  /** Time that it waited for earlier requests; absent: none. */
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
  /** What is wrong and what to do, if the name of the fault is not enough. */
  detail?: string;
  /** Quality of the points; absent: `timeout` or `crc`. */
  quality?: 'invalid';
  /** It answered, and with less than was asked: a smaller request may be answered whole. */
  isCut?: boolean;
  /** How much longer it will delay other requests. */
  holdsMs?: number;
}

/**
 * Bytes on the line that answer nothing: an answer that came too late, the request's own echo, noise
 * around a good frame, and unrequested frames (another master on the line).
 */
export type StrayKind = 'late' | 'echo' | 'noise' | 'unsolicited';

export interface Transaction {
  unitId: number;
  request: Request;
  /** From the request's last bit to the answer's first. */
  timeoutMs: number;
}

/** Requests and answers over one port. The caller keeps to `concurrency`. */
export interface ModbusClient {
  readonly concurrency: number;
  /** How long an unanswered request delays others, as far as known. */
  readonly holdMs: number;
  /** Until then a request to the unit would only queue behind unanswered ones; 0: it may be sent now. */
  againAtMs(unitId: number): number;
  /** Never rejects. Takes two timeouts at most: see `unanswered.ts`. */
  transact(transaction: Transaction): Promise<Outcome>;
}

export type StrayListener = (unitId: number, kind: StrayKind) => void;

/** A unit gave data, though too late to be used: it is alive. */
export type ConnectionListener = (unitId: number) => void;
