import type { Clock } from '../../base/clock.ts';
import { offlineReason, type Port } from '../port/port.ts';
import { AnswerTimes } from './answer-times.ts';
import type {
  ConnectionListener,
  ModbusClient,
  Outcome,
  StrayKind,
  StrayListener,
  Transaction,
} from './modbus-client.ts';
import { ConnectionWatch } from './connection-watch.ts';
import { isOfTheGateway } from './exception.ts';
import { GatewayQueue } from './gateway-queue.ts';
import type { LineTiming } from './line-timing.ts';
import type { Request } from './pdu.ts';
import {
  describeFault,
  encodeRtu,
  findStrayFrames,
  nameFault,
  type Question,
  type StrayFrame,
  withoutEchoes,
} from './rtu-frame.ts';
import { createRtuLine, type Heard, type RtuLine } from './rtu-line.ts';
import {
  afterException,
  distinctRequest,
  isDistinct,
  isExceptionAmbiguous,
  noteUnanswered,
  stillPossible,
  type LateAnswers,
  type Unanswered,
} from './unanswered.ts';

/**
 * Requests that settle what may come late, at once; each but the last was answered by an exception, so they are quick.
 */
const settlingMax = 8;

export interface RtuDependencies {
  clock: Clock;
  onStray: StrayListener;
  onAlive?: ConnectionListener;
  /** Earlier requests on the line whose answers may still come. */
  lateAnswers?: LateAnswers;
}

export function createRtuClient(port: Port, timing: LineTiming, dependencies: RtuDependencies): ModbusClient {
  return new RtuClient(port, timing, dependencies);
}

/**
 * Modbus RTU over a port, one request at a time. An RTU answer doesn't say what it answers, so after every
 * fault the line is drained, and the next request to the unit is one that no late answer can be mistaken for.
 */
class RtuClient implements ModbusClient {
  readonly concurrency = 1;
  readonly #port: Port;
  readonly #clock: Clock;
  readonly #onStray: StrayListener;
  readonly #onAlive: ConnectionListener;
  readonly #lateAnswers: LateAnswers;
  readonly #line: RtuLine;
  readonly #times = new AnswerTimes();
  /** A line is free when a unit is silent; a gateway behind a socket may not be. */
  readonly #isSocket: boolean;
  readonly #queue = new GatewayQueue();
  readonly #watch = new ConnectionWatch(this.#queue);

  constructor(port: Port, timing: LineTiming, dependencies: RtuDependencies) {
    const { clock, onStray, onAlive = () => {}, lateAnswers = new Map() } = dependencies;
    this.#port = port;
    this.#clock = clock;
    this.#onStray = onStray;
    this.#onAlive = onAlive;
    this.#lateAnswers = lateAnswers;
    this.#line = createRtuLine(port, timing, clock);
    this.#isSocket = timing.charMs === 0;
    port.onState(() => {
      this.#queue.clear();
      this.#watch.begin(clock.monotonicMs());
    });
  }

  get holdMs(): number {
    return this.#queue.holdMs;
  }

  againAtMs(unitId: number): number {
    return this.#queue.againAtMs(unitId);
  }

  async transact(transaction: Transaction): Promise<Outcome> {
    const unsettled = await this.#settle(transaction);
    if (unsettled) return unsettled;
    const { unitId, request } = transaction;
    const isDoubtful = isExceptionAmbiguous(this.#pendingOf(unitId), request);
    const outcome = await this.#exchange(transaction);
    if (outcome.kind === 'data') this.#lateAnswers.delete(unitId);
    if (outcome.kind !== 'exception') return outcome;
    if (!isDoubtful) {
      this.#lateAnswers.delete(unitId);
      return outcome;
    }
    this.#noteException(unitId, request);
    return { ...outcome, isDoubtful };
  }

  /**
   * If a late answer could be taken for the one to this request, asks the unit something distinct first. Each exception
   * to that settles one more request; any other result ends it.
   */
  async #settle(transaction: Transaction): Promise<Outcome | null> {
    const { unitId } = transaction;
    for (let rest = settlingMax; rest > 0; rest -= 1) {
      const pending = this.#pendingOf(unitId);
      if (isDistinct(pending, transaction.request)) return null;
      const request = distinctRequest(pending, transaction.request);
      if (request === null) break;
      const outcome = await this.#exchange({ ...transaction, request });
      if (outcome.kind === 'data') this.#lateAnswers.delete(unitId);
      else if (outcome.kind === 'exception') this.#noteException(unitId, request);
      else return outcome;
      this.#port.endTurn();
    }
    return isDistinct(this.#pendingOf(unitId), transaction.request)
      ? null
      : { kind: 'fault', fault: 'timeout' };
  }

  #noteException(unitId: number, request: Request): void {
    const now = this.#clock.monotonicMs();
    this.#lateAnswers.set(unitId, afterException(this.#pendingOf(unitId), request, now, now));
  }

  #pendingOf(unitId: number): Unanswered[] {
    return stillPossible(this.#lateAnswers.get(unitId) ?? [], this.#clock.monotonicMs());
  }

  #note({ unitId, request }: Pick<Question, 'unitId' | 'request'>, askedAtMs: number): void {
    const now = this.#clock.monotonicMs();
    this.#lateAnswers.set(unitId, noteUnanswered(this.#pendingOf(unitId), request, askedAtMs, now));
  }

  async #exchange({ unitId, request, timeoutMs }: Transaction): Promise<Outcome> {
    this.#countStrays(await this.#line.quiet(), unitId, 'unsolicited');
    const question = { unitId, request, adu: encodeRtu(unitId, request) };
    const askedAtMs = this.#clock.monotonicMs();
    if (this.#isSocket) this.#queue.sent(askedAtMs, unitId, askedAtMs);
    const queuedMs = Math.max(0, this.#queue.turnAtMs(askedAtMs) - askedAtMs);
    const heard = await this.#line.ask(question, queuedMs + this.#times.waitMs(unitId, timeoutMs));
    if (heard.kind === 'offline') {
      if (heard.isSent) this.#note(question, askedAtMs);
      return { kind: 'offline', reason: offlineReason(this.#port.state) };
    }
    if (heard.kind === 'nothing') return this.#fail(question, heard.received, askedAtMs, queuedMs);
    return this.#answer(question, heard, askedAtMs);
  }

  #answer(question: Question, heard: Heard & { kind: 'answer' }, askedAtMs: number): Outcome {
    const { unitId, adu } = question;
    const { answer } = heard;
    const noise = withoutEchoes(heard.before, adu);
    if (noise.length < heard.before.length) this.#onStray(unitId, 'echo');
    this.#countStrays(noise, unitId, 'noise');
    this.#countStrays(heard.after, unitId, 'noise');
    if (answer.kind === 'fault') return answer;
    this.#watch.heard(unitId, this.#clock.monotonicMs());
    this.#port.proveUseful();
    if (answer.kind === 'exception' && isOfTheGateway(answer.exceptionCode)) {
      this.#queue.gaveUp(askedAtMs, this.#clock.monotonicMs());
      return { ...answer, answerMs: heard.answerMs };
    }
    const queuedMs = this.#answered(unitId, askedAtMs);
    const answerMs = Math.max(0, heard.answerMs - queuedMs);
    this.#times.inTime(unitId, answerMs);
    return { ...answer, answerMs, queuedMs };
  }

  #answered(unitId: number, askedAtMs: number): number {
    return this.#queue.answered(askedAtMs, this.#times.usualMs(unitId), this.#clock.monotonicMs());
  }

  async #fail(
    question: Question,
    received: Uint8Array,
    askedAtMs: number,
    queuedMs: number,
  ): Promise<Outcome> {
    const { unitId, adu } = question;
    const rest = withoutEchoes(received, adu);
    if (rest.length < received.length) this.#onStray(unitId, 'echo');
    const late = findStrayFrames(rest).filter((frame) => this.#lateFor(frame) !== undefined);
    for (const frame of late) this.#onStray(frame.unitId, 'late');
    this.#note(question, askedAtMs);
    const holdsMs = this.#queue.giveUp(askedAtMs, this.#clock.monotonicMs());
    this.#countStrays(await this.#line.drain(), unitId, 'unsolicited');
    if (this.#isSocket) this.#renewWhereDeaf(unitId);
    const fault = late.length > 0 ? 'timeout' : nameFault(rest, question);
    const words = fault === 'timeout' ? {} : { detail: describeFault(fault, rest, question) };
    return { kind: 'fault', fault, ...words, queuedMs, holdsMs };
  }

  #renewWhereDeaf(unitId: number): void {
    const why = this.#watch.missed(unitId, this.#port.uselessConnections, this.#clock.monotonicMs());
    if (why !== null) this.#port.renew(why);
  }

  /** The request that it answers late. */
  #lateFor({ unitId, functionCode, byteCount }: StrayFrame): Unanswered | undefined {
    const possible = this.#pendingOf(unitId).filter((asked) => asked.functionCode === (functionCode & 0x7f));
    return possible.find((asked) => asked.byteCount === byteCount) ?? possible[0];
  }

  /**
   * A late answer while nothing is asked, or before a good one: it is taken as such. One that comes in place
   * of the expected answer may be that answer with the wrong length.
   */
  #takeLate(frame: StrayFrame, asked: Unanswered): void {
    const { unitId, functionCode } = frame;
    this.#onStray(unitId, 'late');
    if (functionCode >= 0x80) return;
    const heldMs = this.#answered(unitId, asked.askedAtMs);
    const ownMs = this.#clock.monotonicMs() - asked.askedAtMs - heldMs;
    if (this.#times.late(unitId, ownMs)) this.#onAlive(unitId);
  }

  /** Counts bytes that answer nothing: late answers for their own unit, other bytes for the unit being asked. */
  #countStrays(bytes: Uint8Array, unitId: number, otherwise: StrayKind): void {
    if (bytes.length === 0) return;
    const frames = findStrayFrames(bytes);
    for (const frame of frames) {
      const asked = this.#lateFor(frame);
      if (asked !== undefined) this.#takeLate(frame, asked);
      else this.#onStray(unitId, 'unsolicited');
    }
    if (frames.length === 0) this.#onStray(unitId, otherwise);
  }
}
