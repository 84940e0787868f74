import { type Clock, sleep } from '../../base/clock.ts';
import type { Port } from '../port/port.ts';
import type { ModbusClient, Outcome, StrayKind, StrayListener, Transaction } from './client.ts';
import type { LineTiming } from './line-timing.ts';
import { expectedLength, type Request } from './pdu.ts';
import {
  encodeRtu,
  findAnswer,
  findStrayFrames,
  nameFault,
  type Question,
  rtuOverhead,
  type StrayFrame,
  withoutEchoes,
} from './rtu-frame.ts';
import {
  distinctRequest,
  isDistinct,
  isExceptionAmbiguous,
  noteUnanswered,
  stillPossible,
  type Unanswered,
} from './unanswered.ts';

/** Two of the largest frames: what an echo, an answer and some noise can come to. */
const receivedBytesMax = 512;
/** Quiet that ends a fault. An FTDI adapter may hold bytes back for 16 ms unless in low-latency mode. */
const quietMs = 20;
/** A whole frame that is damaged may still be noise before the right one; bytes pause no longer than this. */
const damagedQuietMs = 50;
/** A line that babbles without end is given up after this long; the next request will meet it again. */
const drainMsMax = 1000;

export interface RtuDependencies {
  clock: Clock;
  onStray: StrayListener;
}

/**
 * Modbus RTU over a port, one request at a time. An answer is read when the line's arithmetic says that
 * it is complete, not byte by byte. An RTU answer doesn't say what it answers, so after every fault the
 * line is drained, and the unit is next asked something that no late answer can be mistaken for.
 */
export function createRtuClient(port: Port, timing: LineTiming, dependencies: RtuDependencies): ModbusClient {
  const { clock, onStray } = dependencies;
  const unanswered = new Map<number, Unanswered[]>();
  let quietAt = 0;

  const pendingOf = (unitId: number): Unanswered[] =>
    stillPossible(unanswered.get(unitId) ?? [], clock.monotonicMs());

  /** Resolves when there is something to read, or after `ms`. */
  const readable = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const finish = (): void => {
        cancelTimer();
        cancelRead();
        cancelState();
        resolve();
      };
      const cancelTimer = clock.after(ms, finish);
      const cancelRead = port.onReadable(finish);
      const cancelState = port.onState(finish);
    });

  /** Counts bytes that answer nothing, each frame by the device it is from. */
  const countStrays = (bytes: Uint8Array, unitId: number, otherwise: StrayKind): void => {
    if (bytes.length === 0) return;
    const frames = findStrayFrames(bytes);
    for (const frame of frames) onStray(frame.unitId, isLate(frame) ? 'late' : 'unsolicited');
    if (frames.length === 0) onStray(unitId, otherwise);
  };

  const isLate = ({ unitId, functionCode }: StrayFrame): boolean =>
    pendingOf(unitId).some((pending) => pending.functionCode === (functionCode & 0x7f));

  /** Reads and discards until nothing has come for `quiet` ms. */
  const drain = async (unitId: number, quiet: number): Promise<void> => {
    const until = clock.monotonicMs() + drainMsMax;
    let drained = port.read();
    while (port.state.kind === 'open' && clock.monotonicMs() < until) {
      await sleep(clock, quiet);
      const more = port.read();
      if (more.length === 0) break;
      drained = join(drained, more);
    }
    countStrays(drained, unitId, 'unsolicited');
    quietAt = clock.monotonicMs();
  };

  /** Waits for t3.5 after the last frame, and for a line that nobody else is using. */
  const waitForQuiet = async (unitId: number): Promise<void> => {
    const wait = quietAt - clock.monotonicMs();
    if (wait > 0) await sleep(clock, wait);
    const stray = port.read();
    if (stray.length === 0) return;
    countStrays(stray, unitId, 'unsolicited');
    await drain(unitId, quietMs);
  };

  const receive = async (question: Question, deadline: number): Promise<Received> => {
    let received: Uint8Array = new Uint8Array(0);
    const whole = expectedLength(question.request) + rtuOverhead;
    let firstAt: number | null = null;
    let lastAt = 0;
    while (true) {
      const chunk = port.read();
      const now = clock.monotonicMs();
      if (chunk.length > 0) {
        firstAt ??= now;
        lastAt = now;
        received = join(received, chunk);
      }
      const found = findAnswer(received, question);
      if (found.kind === 'answer') return { kind: 'answer', received, found, firstAt: firstAt!, lastAt };
      if (port.state.kind !== 'open') return { kind: 'nothing', received };
      const damaged = withoutEchoes(received, question.adu).length >= whole;
      const quiet = damaged && now - lastAt >= damagedQuietMs;
      if (now >= deadline || quiet || received.length > receivedBytesMax)
        return { kind: 'nothing', received };
      const lineMs = received.length > 0 ? found.missing * timing.charMs : 0;
      if (chunk.length > 0 && lineMs >= 1) await sleep(clock, Math.min(lineMs, deadline - now));
      else await readable(Math.min(deadline - now, damaged ? damagedQuietMs : deadline - now));
    }
  };

  const exchange = async ({ unitId, request, timeoutMs }: Transaction): Promise<Outcome> => {
    await waitForQuiet(unitId);
    const question = { unitId, request, adu: encodeRtu(unitId, request) };
    const expected = expectedLength(request) + rtuOverhead;
    try {
      port.write(question.adu);
    } catch {
      return offline(port);
    }
    const sentAt = clock.monotonicMs() + question.adu.length * timing.charMs;
    const reception = await receive(question, sentAt + timeoutMs + expected * timing.charMs);
    if (reception.kind === 'nothing') {
      if (port.state.kind !== 'open') return offline(port);
      const rest = withoutEchoes(reception.received, question.adu);
      if (rest.length < reception.received.length) onStray(unitId, 'echo');
      const fault = countLate(rest) ? 'timeout' : nameFault(rest, question);
      unanswered.set(unitId, noteUnanswered(pendingOf(unitId), request, sentAt));
      await drain(unitId, Math.max(quietMs, timing.silenceMs));
      return { kind: 'fault', fault };
    }
    const { received, found, firstAt, lastAt } = reception;
    const { answer, start, end } = found;
    quietAt = lastAt + timing.silenceMs;
    reportSkipped(received.subarray(0, start), received.subarray(end), question);
    const answerMs = Math.max(0, Math.min(firstAt, lastAt - (end - start) * timing.charMs) - sentAt);
    if (answer.kind === 'data') return { ...answer, answerMs };
    if (answer.kind === 'exception') return { ...answer, answerMs };
    return { kind: 'fault', fault: answer.fault };
  };

  const countLate = (bytes: Uint8Array): boolean => {
    const late = findStrayFrames(bytes).filter(isLate);
    for (const { unitId } of late) onStray(unitId, 'late');
    return late.length > 0;
  };

  const reportSkipped = (before: Uint8Array, after: Uint8Array, { unitId, adu }: Question): void => {
    const noise = withoutEchoes(before, adu);
    if (noise.length < before.length) onStray(unitId, 'echo');
    countStrays(noise, unitId, 'noise');
    countStrays(after, unitId, 'noise');
  };

  /** Asks something distinct where a late answer could still be taken for this one's. */
  const settleFirst = async (transaction: Transaction): Promise<Outcome | null> => {
    const { unitId } = transaction;
    const pending = pendingOf(unitId);
    if (isDistinct(pending, transaction.request)) return null;
    const request: Request | null = distinctRequest(pending, transaction.request);
    if (request === null) return { kind: 'fault', fault: 'timeout' };
    const outcome = await exchange({ ...transaction, request });
    if (outcome.kind !== 'data') {
      return outcome.kind === 'exception' ? { kind: 'fault', fault: 'timeout' } : outcome;
    }
    unanswered.delete(unitId);
    return null;
  };

  return {
    concurrency: 1,
    transact: async (transaction) => {
      const unsettled = await settleFirst(transaction);
      if (unsettled) return unsettled;
      const { unitId, request } = transaction;
      const pending = pendingOf(unitId);
      const outcome = await exchange(transaction);
      if (outcome.kind === 'exception' && isExceptionAmbiguous(pending, request)) {
        return { kind: 'fault', fault: 'timeout' };
      }
      if (outcome.kind === 'data') unanswered.delete(unitId);
      return outcome;
    },
  };
}

type Received =
  | {
      kind: 'answer';
      received: Uint8Array;
      found: Extract<ReturnType<typeof findAnswer>, { kind: 'answer' }>;
      firstAt: number;
      lastAt: number;
    }
  | { kind: 'nothing'; received: Uint8Array };

function offline(port: Port): Outcome {
  return { kind: 'offline', reason: port.state.kind === 'lost' ? port.state.reason : 'the port is closed' };
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
