import type { Cancel, Clock } from '../../base/clock.ts';
import type { Tolerance } from '../options.ts';
import { offlineReason, type Port, type PortState } from '../port/port.ts';
import { AnswerTimes } from './answer-times.ts';
import type {
  Fault,
  ConnectionListener,
  ModbusClient,
  Outcome,
  StrayListener,
  Transaction,
} from './modbus-client.ts';
import { ConnectionWatch } from './connection-watch.ts';
import { isOfTheGateway } from './exception.ts';
import { GatewayQueue } from './gateway-queue.ts';
import { encodeMbap } from './mbap.ts';
import { type AskedRequest, MbapReader, type ReceivedFrame } from './mbap-reader.ts';
import { type Answer, describeWrongLength, parseAnswer } from './pdu.ts';

const notModbus = 'what comes is not Modbus TCP; check host and port, or try modbus-rtu-over-tcp';

/** The bytes of one frame pause no longer; bytes without a whole frame by then are discarded. */
const strayQuietMs = 100;
/** Late answers can be told from unknown ones for this many requests. */
const expiredMax = 256;

export interface TcpDependencies {
  clock: Clock;
  onStray: StrayListener;
  onAlive?: ConnectionListener;
}

interface Sent extends AskedRequest {
  timeoutMs: number;
  sentAtMs: number;
}

interface Pending extends Sent {
  cancel: Cancel;
  settle(outcome: Outcome): void;
  /** A transaction id of no request that came in an answer which fits this one. */
  strangeId: number | null;
}

/** A client with up to `pipeline` requests in flight. */
export function createTcpClient(
  port: Port,
  pipeline: number,
  dependencies: TcpDependencies,
  tolerance: Tolerance = {},
): ModbusClient {
  return new TcpClient(port, pipeline, dependencies, tolerance);
}

/**
 * Modbus TCP over a port. Transaction ids tell the answers apart; one is used
 * again only after 65,535 others, so a late answer matches no newer request. A late answer shows that its unit is alive
 * and how long the gateway takes; later waits are set accordingly.
 */
class TcpClient implements ModbusClient {
  readonly concurrency: number;
  readonly #port: Port;
  readonly #options: Tolerance;
  readonly #clock: Clock;
  readonly #onStray: StrayListener;
  readonly #onAlive: ConnectionListener;
  readonly #pending = new Map<number, Pending>();
  readonly #expired = new Map<number, Sent>();
  readonly #reader = new MbapReader();
  readonly #queue = new GatewayQueue();
  readonly #times = new AnswerTimes();
  readonly #watch = new ConnectionWatch(this.#queue);
  #lastId = 0;
  #cancelStray: Cancel = () => {};

  constructor(port: Port, pipeline: number, dependencies: TcpDependencies, tolerance: Tolerance) {
    const { clock, onStray, onAlive = () => {} } = dependencies;
    this.concurrency = pipeline;
    this.#port = port;
    this.#options = tolerance;
    this.#clock = clock;
    this.#onStray = onStray;
    this.#onAlive = onAlive;
    port.onState((state) => this.#follow(state));
    port.onReadable(() => this.#take());
  }

  get holdMs(): number {
    return this.#queue.holdMs;
  }

  againAtMs(unitId: number): number {
    return this.#queue.againAtMs(unitId);
  }

  transact({ unitId, request, timeoutMs }: Transaction): Promise<Outcome> {
    return new Promise((settle) => {
      this.#lastId = (this.#lastId + 1) & 0xffff;
      const id = this.#lastId;
      const sentAtMs = this.#clock.monotonicMs();
      const sent = { unitId, request, timeoutMs, sentAtMs };
      this.#expired.delete(id);
      this.#pending.set(id, { ...sent, settle, cancel: () => {}, strangeId: null });
      this.#queue.sent(id, unitId, sentAtMs);
      this.#wait(id);
      try {
        this.#port.write(encodeMbap(id, unitId, request));
      } catch {
        this.#finish(id, { kind: 'offline', reason: offlineReason(this.#port.state) });
      }
    });
  }

  readonly #asked = (transactionId: number): AskedRequest | undefined =>
    this.#options.ignoreTransactionId
      ? this.#pending.values().next().value
      : (this.#pending.get(transactionId) ?? this.#expired.get(transactionId));

  /** Waits for its turn at the gateway, then for the unit's answer time; both may be learned meanwhile. */
  #wait(id: number): void {
    const pending = this.#pending.get(id)!;
    const untilMs = this.#queue.turnAtMs(id) + this.#times.waitMs(pending.unitId, pending.timeoutMs);
    const leftMs = untilMs - this.#clock.monotonicMs();
    if (leftMs <= 0) return this.#expire(id, pending);
    pending.cancel = this.#clock.after(leftMs, () => this.#wait(id));
  }

  #expire(id: number, pending: Pending): void {
    const now = this.#clock.monotonicMs();
    const { unitId, sentAtMs } = pending;
    this.#expired.set(id, pending);
    if (this.#expired.size > expiredMax) this.#expired.delete(this.#expired.keys().next().value!);
    const queuedMs = Math.max(0, this.#queue.turnAtMs(id) - sentAtMs);
    const holdsMs = this.#queue.giveUp(id, now);
    this.#finish(id, { ...this.#nameFault(id, pending), holdsMs, queuedMs });
    const why = this.#watch.missed(unitId, this.#port.uselessConnections, now);
    if (this.#options.ignoreTransactionId) this.#renew('a late answer could be taken for the next one');
    else if (why !== null) this.#renew(why);
    // A remark about an incomplete answer does not belong to the next request.
    else if (this.#reader.begun(this.#asked)?.transactionId === id) this.#reader.clear();
  }

  /** Why a request has no answer although bytes have come. */
  #nameFault(id: number, { strangeId }: Pending): Fault {
    if (strangeId !== null) {
      const detail = `it answers, but with transaction id ${strangeId} where ${id} was asked; set 'ignoreTransactionId: true' at the bus`;
      return { kind: 'fault', fault: 'wrong-transaction', quality: 'invalid', detail };
    }
    const begun = this.#reader.begun(this.#asked);
    if (begun?.transactionId === id) {
      const detail = `wrong length: its answer announces ${begun.announced} bytes, ${begun.came} came; ask its maker`;
      return { kind: 'fault', fault: 'wrong-length', quality: 'invalid', detail };
    }
    return { kind: 'fault', fault: 'timeout' };
  }

  #finish(id: number, outcome: Outcome): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    pending.cancel();
    pending.settle(outcome);
  }

  #finishAll(outcome: Outcome): void {
    for (const id of this.#pending.keys()) this.#finish(id, outcome);
  }

  #take(): void {
    const chunk = this.#port.read();
    this.#port.onReadable(() => this.#take());
    for (const frame of this.#reader.read(chunk, this.#asked)) this.#accept(frame);
    this.#cancelStray();
    const isLost = this.#reader.isLost(this.#asked);
    this.#port.suspect(isLost ? notModbus : null);
    if (this.#pending.size === 0 || !isLost) return;
    this.#cancelStray = this.#clock.after(strayQuietMs, () => {
      if (this.#pending.size === 0 || !this.#reader.isLost(this.#asked)) return;
      this.#finishAll({ kind: 'fault', fault: 'not-modbus', quality: 'invalid', detail: notModbus });
      this.#port.reset(notModbus);
    });
  }

  #accept(frame: ReceivedFrame): void {
    const id = this.#idOf(frame);
    const pending = this.#pending.get(id);
    const expired = this.#expired.get(id);
    if (!pending && !expired) return this.#noteStrange(frame);
    const now = this.#clock.monotonicMs();
    this.#watch.heard(frame.unitId, now);
    this.#port.proveUseful();
    if (pending) this.#answer(id, pending, frame, now);
    else this.#late(id, expired!, frame, now);
  }

  #idOf({ transactionId }: ReceivedFrame): number {
    const [only] = this.#pending.keys();
    return this.#options.ignoreTransactionId && only !== undefined ? only : transactionId;
  }

  #answer(id: number, pending: Pending, { unitId, pdu }: ReceivedFrame, now: number): void {
    const { request, sentAtMs } = pending;
    const answer = parseAnswer(request, pdu);
    if (unitId !== pending.unitId && !this.#passesForUnit(answer)) {
      this.#queue.answered(id, 0, now);
      const detail = `unit ${unitId} answers where ${pending.unitId} was asked; set 'unitId: ${unitId}', or 'ignoreUnitId: true' at the bus where it always says ${unitId}`;
      return this.#finish(id, { kind: 'fault', fault: 'wrong-unit', quality: 'invalid', detail });
    }
    const queuedMs = this.#heldFor(id, pending.unitId, answer, now);
    if (answer.kind === 'fault') {
      const words = answer.fault === 'wrong-length' ? describeWrongLength(request, pdu) : {};
      return this.#finish(id, { ...answer, quality: 'invalid', queuedMs, ...words });
    }
    const answerMs = Math.max(0, now - sentAtMs - queuedMs);
    if (!isFromGateway(answer)) this.#times.inTime(pending.unitId, answerMs);
    this.#finish(id, { ...answer, answerMs, queuedMs });
  }

  /**
   * Gateways and some devices send exceptions with another unit id. An exception holds no value of another device, and
   * the transaction id tells which request it answers.
   */
  #passesForUnit(answer: Answer): boolean {
    const { ignoreUnitId, ignoreTransactionId } = this.#options;
    return ignoreUnitId === true || (answer.kind === 'exception' && ignoreTransactionId !== true);
  }

  /** How long the answer waited for others, as the gateway queue tells. */
  #heldFor(id: number, unitId: number, answer: Answer, now: number): number {
    if (!isFromGateway(answer)) return this.#queue.answered(id, this.#times.usualMs(unitId), now);
    this.#queue.gaveUp(id, now);
    return 0;
  }

  #late(id: number, sent: Sent, { unitId, pdu }: ReceivedFrame, now: number): void {
    this.#expired.delete(id);
    this.#onStray(sent.unitId, 'late');
    const answer = parseAnswer(sent.request, pdu);
    const heldMs = this.#heldFor(id, sent.unitId, answer, now);
    if (answer.kind !== 'data' || (unitId !== sent.unitId && !this.#options.ignoreUnitId)) return;
    const ownMs = now - sent.sentAtMs - heldMs;
    if (ownMs <= sent.timeoutMs || this.#times.late(sent.unitId, ownMs)) this.#onAlive(sent.unitId);
  }

  /** An answer to no request of ours: to another master's request, or with an invented transaction id. */
  #noteStrange({ transactionId, unitId, pdu }: ReceivedFrame): void {
    this.#onStray(unitId, 'unsolicited');
    const [only, ...others] = this.#pending.values();
    if (only === undefined || others.length > 0) return;
    const isFor = unitId === only.unitId && (pdu[0]! & 0x7f) === only.request.functionCode;
    if (isFor) only.strangeId = transactionId;
  }

  #renew(reason: string): void {
    this.#finishAll({ kind: 'fault', fault: 'timeout' });
    this.#port.renew(reason);
  }

  #follow(state: PortState): void {
    this.#reader.clear();
    this.#cancelStray();
    this.#queue.clear();
    this.#expired.clear();
    this.#watch.begin(this.#clock.monotonicMs());
    if (state.kind !== 'open') this.#finishAll({ kind: 'offline', reason: offlineReason(state) });
  }
}

function isFromGateway(answer: Answer): boolean {
  return answer.kind === 'exception' && isOfTheGateway(answer.exceptionCode);
}
