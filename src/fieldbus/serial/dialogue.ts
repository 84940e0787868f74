import type { Cancel, Clock } from '../../base/clock.ts';
import { sleep } from '../../base/clock.ts';
import type { SerialProtocol, SerialRequestStep } from '../options.ts';
import { checksumHolds, contentOf, isUnchecked } from './checksum.ts';
import {
  addTelegram,
  announcedBy,
  fill,
  longestFrameMs,
  rateAfter,
  type Step,
  timeoutOf,
} from './dialogue-steps.ts';
import { createDeframer } from './framing.ts';
import type { Deframer, Frame } from './framing.ts';
import { lostToOthers, MeasurementSharing, tooLong } from './measurement.ts';
import type { Measuring } from './measurement.ts';
import type { MessageReader, Telegram } from './message-reader.ts';
import { compilePattern, latin1 } from './pattern.ts';
import type { SerialLine, Turn } from './serial-line.ts';
import type { Unread } from './unread-frames.ts';

/** How a dialogue ended; `crc`: it got an answer, but a damaged one. `timeout`: no expected answer. */
export interface DialogueResult extends Telegram {
  outcome: 'good' | 'timeout' | 'crc' | 'offline';
  /** From the end of the last request to the end of its answer; null where none came. */
  answerMs: number | null;
  /** Bytes came that were no frame. */
  isNoisy: boolean;
  /** Why it failed, if the received bytes do not tell; a remedy follows a semicolon. */
  reason?: string;
  /** For how long others had to wait while it measured. */
  heldMs: number;
}

/** State of a running dialogue. */
class Held {
  readonly turn: Turn;
  readonly groups = new Map<string, string>();
  readonly result: DialogueResult = {
    outcome: 'good',
    values: {},
    quality: {},
    answerMs: null,
    isNoisy: false,
    heldMs: 0,
  };
  /** Null if it is the line's own. */
  rate: number | null = null;
  /** Null if it did not measure; else whether others had the line meanwhile. */
  others: boolean | null = null;

  constructor(turn: Turn) {
    this.turn = turn;
  }
}

export interface Dialogue {
  /** Runs the dialogue once, from the first step to the last, in the caller's turn of the line. */
  run(turn: Turn): Promise<DialogueResult>;
  receive(bytes: Uint8Array): void;
  /** Ends a running dialogue at once. */
  abort(): void;
  /** Ends it after the answer that it waits for; at once if it waits for a measurement. */
  finish(): void;
  /** Null if the device has not announced a measurement. */
  measuring(): Measuring | null;
}

type Outcome = DialogueResult['outcome'];
type Happening = { kind: 'frame'; frame: Frame } | { kind: 'silence' } | { kind: 'aborted' };

/** Bytes sent must have left before the rate may change; a UART's own buffer and a USB frame come on top. */
const sendMarginMs = 30;

/** An hour has room for 60 of them, and for 3 of an announced "999 s". */
export const measureMaxMsDefault = 60_000;

interface DialogueLimits {
  responseTimeoutMs: number;
  /** The longest measurement that a device may announce; absent: a minute. */
  measureMaxMs?: number;
}

type PolledProtocol = SerialProtocol & { request: readonly SerialRequestStep[] };

/** What a dialogue is made of. `messages` must be compiled from the same protocol. */
export interface DialogueParts {
  messages: MessageReader;
  unread: Unread;
  line: SerialLine;
  clock: Clock;
}

/** Throws ProfileInvalid for a bad pattern. */
export function createDialogue(
  protocol: PolledProtocol,
  parts: DialogueParts,
  limits: DialogueLimits,
): Dialogue {
  return new SerialDialogue(protocol, parts, limits);
}

class SerialDialogue implements Dialogue {
  readonly #protocol: PolledProtocol;
  readonly #messages: MessageReader;
  readonly #unread: Unread;
  readonly #line: SerialLine;
  readonly #clock: Clock;
  readonly #responseTimeoutMs: number;
  readonly #measureMaxMs: number;
  readonly #steps: readonly Step[];
  readonly #sharing = new MeasurementSharing();
  #deframer: Deframer | null = null;
  #cancelFlush: Cancel = () => {};
  #silenceMs: number | null = null;
  #arrived: Frame[] = [];
  #receivedAt = 0;
  #wake: () => void = () => {};
  #ending: 'no' | 'with the answer' | 'at once' = 'no';
  #measuring: Measuring | null = null;
  /** Bytes that come while it measures may belong to other dialogues. */
  #isLineFree = false;
  /** The bytes that an adapter with an echo would return. */
  #echo = '';

  constructor(
    protocol: PolledProtocol,
    { messages, unread, line, clock }: DialogueParts,
    { responseTimeoutMs, measureMaxMs = measureMaxMsDefault }: DialogueLimits,
  ) {
    this.#protocol = protocol;
    this.#messages = messages;
    this.#unread = unread;
    this.#line = line;
    this.#clock = clock;
    this.#responseTimeoutMs = responseTimeoutMs;
    this.#measureMaxMs = measureMaxMs;
    this.#steps = protocol.request.map((step) => ({
      ...step,
      expect: step.expect === undefined ? null : compilePattern(step.expect),
    }));
  }

  async run(turn: Turn): Promise<DialogueResult> {
    const held = new Held(turn);
    this.#ending = 'no';
    this.#unread.clear();
    try {
      for (const step of this.#steps) {
        const ended = await this.#take(step, held);
        if (ended !== null) return ended;
      }
      if (held.others !== null) this.#sharing.bore(held.others);
      return held.result;
    } catch {
      return { ...held.result, outcome: 'offline' }; // the port refused the bytes or the rate
    } finally {
      this.#deframer = null;
      this.#cancelFlush();
      // A lost port reopens at the line's own rate.
      if (held.rate !== null) await this.#line.setBaudRate(this.#line.baudRate).catch(() => {});
    }
  }

  receive(bytes: Uint8Array): void {
    const deframer = this.#deframer;
    if (deframer === null) return; // unrequested: a late answer, or noise
    this.#receivedAt = this.#clock.monotonicMs();
    this.#hear(deframer.push(bytes));
    if (this.#silenceMs === null) return;
    this.#cancelFlush();
    this.#cancelFlush = this.#clock.after(this.#silenceMs, () => this.#hear(deframer.flush()));
  }

  abort(): void {
    this.#ending = 'at once';
    this.#wake();
  }

  finish(): void {
    this.#ending = 'with the answer';
    this.#wake();
  }

  measuring(): Measuring | null {
    return this.#measuring;
  }

  /** One step. The result of the dialogue where it ends with this one; null where it goes on. */
  async #take(step: Step, held: Held): Promise<DialogueResult | null> {
    const { result } = held;
    if (this.#ending !== 'no') return { ...result, outcome: 'offline' };
    const announcedMs = announcedBy(step, held.groups);
    const isTooLong = announcedMs !== null && announcedMs > this.#measureMaxMs;
    // A measurement that ends earlier than announced is still received.
    const waitMs = isTooLong ? this.#responseTimeoutMs : announcedMs;
    const isMeasuring = announcedMs !== null && announcedMs > 0;
    this.#listen(step);
    const sentAt = await this.#send(step, held);
    const wait = (): Promise<Outcome> => this.#answer(step, held, waitMs);
    const outcome = isMeasuring ? await this.#measure(step, held, announcedMs, wait) : await wait();
    if (isTooLong && (outcome === 'timeout' || outcome === 'crc'))
      return { ...result, outcome: 'timeout', reason: tooLong(announcedMs, this.#measureMaxMs) };
    result.isNoisy ||= !isMeasuring && this.#deframer!.noiseBytes > 0;
    if (outcome === 'good') {
      this.#unread.clear();
      result.answerMs = Math.max(0, this.#clock.monotonicMs() - sentAt);
      return null;
    }
    return step.optional && outcome !== 'offline' ? null : this.#failed(held, outcome);
  }

  /** A step that sends nothing continues with the bytes after the previous answer. */
  #listen(step: Step): void {
    if (this.#deframer !== null && step.send === undefined && !step.framing && !step.checksum) return;
    const framing = step.framing ?? this.#protocol.framing;
    const checksum = step.checksum ?? this.#protocol.checksum;
    this.#deframer = createDeframer(framing, (frame) => checksumHolds(frame, checksum));
    this.#silenceMs = framing.by === 'silence' ? framing.silenceMs : null;
    this.#arrived = [];
  }

  #hear(frames: readonly Frame[]): void {
    if (frames.length === 0) return;
    this.#arrived.push(...frames);
    this.#wake();
  }

  /** The next frame, or silence for `timeoutMs` after the last byte, at `until` at the latest. */
  async #next(timeoutMs: number, until: number): Promise<Happening> {
    for (;;) {
      const mayWait =
        this.#ending === 'no' || (this.#ending === 'with the answer' && this.#measuring === null);
      if (!mayWait) return { kind: 'aborted' };
      const frame = this.#arrived.shift();
      if (frame !== undefined) return { kind: 'frame', frame };
      const left = Math.min(this.#receivedAt + timeoutMs, until) - this.#clock.monotonicMs();
      if (left <= 0) return { kind: 'silence' };
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(left, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
    }
  }

  /** Resolves with when the bytes have left. */
  async #send(step: Step, held: Held): Promise<number> {
    const line = this.#line;
    const bytes = fill(step.send ?? [], held.groups);
    if (bytes.length > 0) line.write(bytes);
    const sentAt = this.#clock.monotonicMs() + (bytes.length * line.bitsPerCharacter * 1000) / line.baudRate;
    this.#receivedAt = sentAt;
    const rate = rateAfter(step, held.groups);
    if (rate !== null) {
      await sleep(this.#clock, sentAt + sendMarginMs - this.#clock.monotonicMs());
      await line.setBaudRate(rate);
      held.rate = rate;
      this.#receivedAt = this.#clock.monotonicMs();
    }
    this.#echo = Buffer.from(bytes).toString('latin1').trim();
    return sentAt;
  }

  /** Waits while the device measures: without the line, where it only has to be heard at the line's own rate. */
  async #measure(
    step: Step,
    held: Held,
    announcedMs: number,
    wait: () => Promise<Outcome>,
  ): Promise<Outcome> {
    const sinceMs = this.#clock.monotonicMs();
    this.#measuring = { announcedMs, sinceMs };
    this.#isLineFree = step.send === undefined && held.rate === null && !this.#sharing.isAlone;
    let outcome: Outcome = 'timeout';
    const work = async (): Promise<void> => {
      outcome = await wait();
      this.#measuring = null;
    };
    try {
      held.others = this.#isLineFree && (await held.turn.leaveFor(work()));
      if (!this.#isLineFree) await work();
    } finally {
      this.#measuring = null;
    }
    if (held.others) await this.#line.quiet();
    if (!this.#isLineFree) held.result.heldMs += this.#clock.monotonicMs() - sinceMs;
    this.#isLineFree = false;
    return outcome;
  }

  #failed({ result, others }: Held, outcome: Outcome): DialogueResult {
    if (others === null || outcome === 'offline') return { ...result, outcome };
    // A sensor whose measurement was aborted still answers, but without values (SDI-12 1.4, send data).
    const isEmpty = outcome === 'timeout' && this.#unread.kind === 'unknown';
    if (isEmpty || !others) this.#sharing.lost(others);
    return { ...result, outcome, ...(isEmpty && others && { reason: lostToOthers }) };
  }

  async #answer(step: Step, held: Held, measuringMs: number | null): Promise<Outcome> {
    const framing = step.framing ?? this.#protocol.framing;
    // Bytes of other sensors while it measures prove nothing about this one.
    const timeoutMs = measuringMs === null ? timeoutOf(step, this.#responseTimeoutMs) : Infinity;
    const frameMs = longestFrameMs(framing, held.rate ?? this.#line.baudRate, this.#line);
    const until = this.#receivedAt + (measuringMs ?? timeoutMs + frameMs);
    for (;;) {
      const happening = await this.#next(timeoutMs, until);
      if (happening.kind === 'aborted') return 'offline';
      if (happening.kind === 'silence') return this.#isLineFree ? 'timeout' : this.#unanswered();
      if (this.#isAnswer(step, held, happening.frame)) return 'good';
    }
  }

  /** Whether the frame ends the step; what it holds is then in the result. */
  #isAnswer(step: Step, { groups, result }: Held, { bytes, sound }: Frame): boolean {
    const checksum = step.checksum ?? this.#protocol.checksum;
    if (!sound) {
      if (!this.#isLineFree) this.#unread.take(isUnchecked(bytes, checksum) ? 'unchecked' : 'damaged', bytes);
      return false;
    }
    const content = contentOf(bytes, checksum);
    const match = step.expect?.match(content) ?? null;
    if (this.#isLineFree && step.expect !== null && match === null) return false;
    const telegram = this.#messages.read(content);
    if (step.expect === null ? telegram === null : match === null) {
      if (latin1(content).trim() !== this.#echo) this.#unread.take('unknown', content);
      return false;
    }
    for (const name of step.expect?.groups ?? []) {
      const text = name === null ? undefined : match?.group(name);
      if (name !== null && text !== undefined) groups.set(name, text);
    }
    if (telegram !== null) addTelegram(result, telegram);
    return true;
  }

  /** Names the fault of a missing or invalid answer. */
  #unanswered(): 'timeout' | 'crc' {
    const { noise, pending } = this.#deframer!;
    // The search goes on in the rest of a damaged frame, which becomes noise.
    if (this.#unread.kind !== 'damaged') {
      if (pending.length > 0) this.#unread.take('unfinished', pending);
      if (noise.length > 0) this.#unread.take('noise', noise);
    }
    return this.#unread.kind === 'unchecked' || this.#unread.kind === 'damaged' ? 'crc' : 'timeout';
  }
}
