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

/** `messages` must be compiled from the same protocol. Throws ProfileInvalid for a bad pattern. */
export function createDialogue(
  protocol: SerialProtocol & { request: readonly SerialRequestStep[] },
  messages: MessageReader,
  unread: Unread,
  line: SerialLine,
  clock: Clock,
  { responseTimeoutMs, measureMaxMs = measureMaxMsDefault }: DialogueLimits,
): Dialogue {
  const steps: Step[] = protocol.request.map((step) => ({
    ...step,
    expect: step.expect === undefined ? null : compilePattern(step.expect),
  }));
  let deframer: Deframer | null = null;
  let cancelFlush: Cancel = () => {};
  let silenceMs: number | null = null;
  let arrived: Frame[] = [];
  let receivedAt = 0;
  let wake: () => void = () => {};
  let ending: 'no' | 'with the answer' | 'at once' = 'no';
  const sharing = new MeasurementSharing();
  let measuring: Measuring | null = null;
  /** Bytes that come while it measures may belong to other dialogues. */
  let isLineFree = false;
  /** The bytes that an adapter with an echo would return. */
  let echo = '';

  /** A step that sends nothing continues with the bytes after the previous answer. */
  const listen = (step: Step): void => {
    if (deframer !== null && step.send === undefined && !step.framing && !step.checksum) return;
    const framing = step.framing ?? protocol.framing;
    const checksum = step.checksum ?? protocol.checksum;
    deframer = createDeframer(framing, (frame) => checksumHolds(frame, checksum));
    silenceMs = framing.by === 'silence' ? framing.silenceMs : null;
    arrived = [];
  };

  const hear = (frames: readonly Frame[]): void => {
    if (frames.length === 0) return;
    arrived.push(...frames);
    wake();
  };

  /** The next frame, or silence for `timeoutMs` after the last byte, at `until` at the latest. */
  const next = async (timeoutMs: number, until: number): Promise<Happening> => {
    for (;;) {
      if (ending === 'at once' || (ending !== 'no' && measuring !== null)) return { kind: 'aborted' };
      const frame = arrived.shift();
      if (frame !== undefined) return { kind: 'frame', frame };
      const left = Math.min(receivedAt + timeoutMs, until) - clock.monotonicMs();
      if (left <= 0) return { kind: 'silence' };
      await new Promise<void>((resolve) => {
        const cancel = clock.after(left, resolve);
        wake = () => {
          cancel();
          resolve();
        };
      });
    }
  };

  const run = async (turn: Turn): Promise<DialogueResult> => {
    const held = new Held(turn);
    const { result } = held;
    ending = 'no';
    unread.clear();
    try {
      for (const step of steps) {
        if (ending !== 'no') return { ...result, outcome: 'offline' };
        const announcedMs = announcedBy(step, held.groups);
        const isTooLong = announcedMs !== null && announcedMs > measureMaxMs;
        // A measurement that ends earlier than announced is still received.
        const waitMs = isTooLong ? responseTimeoutMs : announcedMs;
        const isMeasuring = announcedMs !== null && announcedMs > 0;
        listen(step);
        const sentAt = await send(step, held);
        const wait = (): Promise<Outcome> => answer(step, held, waitMs);
        const outcome = isMeasuring ? await measure(step, held, announcedMs, wait) : await wait();
        if (isTooLong && (outcome === 'timeout' || outcome === 'crc'))
          return { ...result, outcome: 'timeout', reason: tooLong(announcedMs, measureMaxMs) };
        result.isNoisy ||= !isMeasuring && deframer!.noiseBytes > 0;
        if (outcome === 'good') unread.clear();
        if (outcome === 'good') result.answerMs = Math.max(0, clock.monotonicMs() - sentAt);
        else if (!step.optional || outcome === 'offline') return failed(held, outcome);
      }
      if (held.others !== null) sharing.bore(held.others);
      return result;
    } catch {
      return { ...result, outcome: 'offline' }; // the port refused the bytes or the rate
    } finally {
      deframer = null;
      cancelFlush();
      if (held.rate !== null) await line.setBaudRate(line.baudRate).catch(() => {}); // a lost port reopens at its own
    }
  };

  /** Resolves with when the bytes have left. */
  const send = async (step: Step, held: Held): Promise<number> => {
    const bytes = fill(step.send ?? [], held.groups);
    if (bytes.length > 0) line.write(bytes);
    const sentAt = clock.monotonicMs() + (bytes.length * line.bitsPerCharacter * 1000) / line.baudRate;
    receivedAt = sentAt;
    const rate = rateAfter(step, held.groups);
    if (rate !== null) {
      await sleep(clock, sentAt + sendMarginMs - clock.monotonicMs());
      await line.setBaudRate(rate);
      held.rate = rate;
      receivedAt = clock.monotonicMs();
    }
    echo = Buffer.from(bytes).toString('latin1').trim();
    return sentAt;
  };

  /** Waits while the device measures: without the line, where it only has to be heard at the line's own rate. */
  const measure = async (
    step: Step,
    held: Held,
    announcedMs: number,
    wait: () => Promise<Outcome>,
  ): Promise<Outcome> => {
    const sinceMs = clock.monotonicMs();
    measuring = { announcedMs, sinceMs };
    isLineFree = step.send === undefined && held.rate === null && !sharing.isAlone;
    let outcome: Outcome = 'timeout';
    const work = async (): Promise<void> => {
      outcome = await wait();
      measuring = null;
    };
    try {
      held.others = isLineFree && (await held.turn.leaveFor(work()));
      if (!isLineFree) await work();
    } finally {
      measuring = null;
    }
    if (held.others) await line.quiet();
    if (!isLineFree) held.result.heldMs += clock.monotonicMs() - sinceMs;
    isLineFree = false;
    return outcome;
  };

  const failed = ({ result, others }: Held, outcome: Outcome): DialogueResult => {
    if (others === null || outcome === 'offline') return { ...result, outcome };
    // A sensor whose measurement was aborted still answers, but without values (SDI-12 1.4, send data).
    const isEmpty = outcome === 'timeout' && unread.kind === 'unknown';
    if (isEmpty || !others) sharing.lost(others);
    return { ...result, outcome, ...(isEmpty && others && { reason: lostToOthers }) };
  };

  const answer = async (step: Step, held: Held, measuringMs: number | null): Promise<Outcome> => {
    const { groups, result } = held;
    const framing = step.framing ?? protocol.framing;
    // Bytes of other sensors while it measures prove nothing about this one.
    const timeoutMs = measuringMs === null ? timeoutOf(step, responseTimeoutMs) : Infinity;
    const frameMs = longestFrameMs(framing, held.rate ?? line.baudRate, line);
    const until = receivedAt + (measuringMs ?? timeoutMs + frameMs);
    for (;;) {
      const happening = await next(timeoutMs, until);
      if (happening.kind === 'aborted') return 'offline';
      if (happening.kind === 'silence') return isLineFree ? 'timeout' : unanswered(deframer!);
      const { bytes, sound } = happening.frame;
      const checksum = step.checksum ?? protocol.checksum;
      if (!sound) {
        if (!isLineFree) unread.take(isUnchecked(bytes, checksum) ? 'unchecked' : 'damaged', bytes);
        continue;
      }
      const content = contentOf(bytes, checksum);
      const match = step.expect?.match(content) ?? null;
      if (isLineFree && step.expect !== null && match === null) continue;
      const telegram = messages.read(content);
      if (step.expect === null ? telegram === null : match === null) {
        if (latin1(content).trim() !== echo) unread.take('unknown', content);
        continue;
      }
      for (const name of step.expect?.groups ?? []) {
        const text = name === null ? undefined : match?.group(name);
        if (name !== null && text !== undefined) groups.set(name, text);
      }
      if (telegram !== null) addTelegram(result, telegram);
      return 'good';
    }
  };

  /** Names the fault of a missing or invalid answer. */
  const unanswered = ({ noise, pending }: Deframer): 'timeout' | 'crc' => {
    // The search goes on in the rest of a damaged frame, which becomes noise.
    if (unread.kind !== 'damaged') {
      if (pending.length > 0) unread.take('unfinished', pending);
      if (noise.length > 0) unread.take('noise', noise);
    }
    return unread.kind === 'unchecked' || unread.kind === 'damaged' ? 'crc' : 'timeout';
  };

  return {
    run,
    receive: (bytes) => {
      if (deframer === null) return; // unrequested: a late answer, or noise
      receivedAt = clock.monotonicMs();
      const current = deframer;
      hear(current.push(bytes));
      if (silenceMs === null) return;
      cancelFlush();
      cancelFlush = clock.after(silenceMs, () => hear(current.flush()));
    },
    abort: () => {
      ending = 'at once';
      wake();
    },
    finish: () => {
      ending = 'with the answer';
      wake();
    },
    measuring: () => measuring,
  };
}
