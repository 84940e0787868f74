import type { Clock } from '../../base/clock.ts';
import { offlineReason, type Port } from '../port/port.ts';
import type { ModbusClient, Outcome, StrayKind, StrayListener, Transaction } from './client.ts';
import type { LineTiming } from './line-timing.ts';
import type { Request } from './pdu.ts';
import {
  encodeRtu,
  findStrayFrames,
  nameFault,
  type Question,
  type StrayFrame,
  withoutEchoes,
} from './rtu-frame.ts';
import { createRtuLine } from './rtu-line.ts';
import {
  distinctRequest,
  isDistinct,
  isExceptionAmbiguous,
  noteUnanswered,
  stillPossible,
  type LateAnswers,
  type Unanswered,
} from './unanswered.ts';

export interface RtuDependencies {
  clock: Clock;
  onStray: StrayListener;
  /** What may still come of what was asked on the line before. */
  lateAnswers?: LateAnswers;
}

/**
 * Modbus RTU over a port, one request at a time. An RTU answer doesn't say what it answers, so after every
 * fault the line is drained, and the unit is next asked something that no late answer can be taken for.
 */
export function createRtuClient(
  port: Port,
  timing: LineTiming,
  { clock, onStray, lateAnswers = new Map() }: RtuDependencies,
): ModbusClient {
  const line = createRtuLine(port, timing, clock);

  const pendingOf = (unitId: number): Unanswered[] =>
    stillPossible(lateAnswers.get(unitId) ?? [], clock.monotonicMs());

  const note = (unitId: number, request: Request): void =>
    void lateAnswers.set(unitId, noteUnanswered(pendingOf(unitId), request, clock.monotonicMs()));

  const isLate = ({ unitId, functionCode }: StrayFrame): boolean =>
    pendingOf(unitId).some((pending) => pending.functionCode === (functionCode & 0x7f));

  /** Counts bytes that answer nothing: late answers for the unit they are from, the rest for the one disturbed. */
  const countStrays = (bytes: Uint8Array, unitId: number, otherwise: StrayKind): void => {
    if (bytes.length === 0) return;
    const frames = findStrayFrames(bytes);
    for (const frame of frames) {
      if (isLate(frame)) onStray(frame.unitId, 'late');
      else onStray(unitId, 'unsolicited');
    }
    if (frames.length === 0) onStray(unitId, otherwise);
  };

  const exchange = async ({ unitId, request, timeoutMs }: Transaction): Promise<Outcome> => {
    countStrays(await line.quiet(), unitId, 'unsolicited');
    const question = { unitId, request, adu: encodeRtu(unitId, request) };
    const heard = await line.ask(question, timeoutMs);
    if (heard.kind === 'offline') {
      note(unitId, request);
      return { kind: 'offline', reason: offlineReason(port.state) };
    }
    if (heard.kind === 'nothing') return fail(question, heard.received);
    const noise = withoutEchoes(heard.before, question.adu);
    if (noise.length < heard.before.length) onStray(unitId, 'echo');
    countStrays(noise, unitId, 'noise');
    countStrays(heard.after, unitId, 'noise');
    return heard.answer.kind === 'fault' ? heard.answer : { ...heard.answer, answerMs: heard.answerMs };
  };

  const fail = async (question: Question, received: Uint8Array): Promise<Outcome> => {
    const { unitId, request, adu } = question;
    const rest = withoutEchoes(received, adu);
    if (rest.length < received.length) onStray(unitId, 'echo');
    const late = findStrayFrames(rest).filter(isLate);
    for (const frame of late) onStray(frame.unitId, 'late');
    note(unitId, request);
    countStrays(await line.drain(), unitId, 'unsolicited');
    return { kind: 'fault', fault: late.length > 0 ? 'timeout' : nameFault(rest, question) };
  };

  /** Has the unit answer something distinct where a late answer could be taken for that to this request. */
  const settle = async (transaction: Transaction): Promise<Outcome | null> => {
    const pending = pendingOf(transaction.unitId);
    if (isDistinct(pending, transaction.request)) return null;
    const request = distinctRequest(pending, transaction.request);
    if (request === null) return { kind: 'fault', fault: 'timeout' };
    const outcome = await exchange({ ...transaction, request });
    if (outcome.kind === 'exception') return { kind: 'fault', fault: 'timeout' };
    if (outcome.kind !== 'data') return outcome;
    lateAnswers.delete(transaction.unitId);
    return null;
  };

  return {
    concurrency: 1,
    transact: async (transaction) => {
      const unsettled = await settle(transaction);
      if (unsettled) return unsettled;
      const { unitId, request } = transaction;
      const pending = pendingOf(unitId);
      const outcome = await exchange(transaction);
      if (outcome.kind === 'exception' && isExceptionAmbiguous(pending, request)) {
        return { kind: 'fault', fault: 'timeout' };
      }
      if (outcome.kind === 'data' || outcome.kind === 'exception') lateAnswers.delete(unitId);
      return outcome;
    },
  };
}
