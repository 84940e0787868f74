import type { Cancel, Clock } from '../../base/clock.ts';
import { sleep } from '../../base/clock.ts';
import type { Outlier } from '../../reading/range.ts';
import type { Framing, SerialProtocol, SerialRequestStep } from '../options.ts';
import { checksumHolds, contentOf, isUnchecked } from './checksum.ts';
import { createDeframer } from './framing.ts';
import type { Deframer, Frame } from './framing.ts';
import type { SerialLine } from './serial-line.ts';
import type { MessageReader, Telegram } from './message-reader.ts';
import { compilePattern, latin1 } from './pattern.ts';
import type { Pattern } from './pattern.ts';
import type { Unread } from './unread-frames.ts';

/** How a dialogue ended; `crc`: it got an answer, but a damaged one. `timeout`: none that it waited for. */
export interface DialogueResult extends Telegram {
  outcome: 'good' | 'timeout' | 'crc' | 'offline';
  /** From the end of the last request to the end of its answer; null where none came. */
  answerMs: number | null;
  /** Bytes came that were no frame. */
  isNoisy: boolean;
}

export interface Dialogue {
  /** Holds it once, from the first step to the last; the caller has the line's turn. */
  run(): Promise<DialogueResult>;
  receive(bytes: Uint8Array): void;
  /** Ends a running dialogue at once. */
  abort(): void;
}

type Step = Omit<SerialRequestStep, 'expect'> & { expect: Pattern | null };
type Happening = { kind: 'frame'; frame: Frame } | { kind: 'silence' } | { kind: 'aborted' };

/** Bytes sent must have left before the rate may change; a UART's own buffer and a USB frame come on top. */
const departureMarginMs = 30;

/** `messages` must be compiled from the same protocol. Throws ProfileInvalid for a bad pattern. */
export function createDialogue(
  protocol: SerialProtocol & { request: readonly SerialRequestStep[] },
  messages: MessageReader,
  unread: Unread,
  line: SerialLine,
  clock: Clock,
  responseTimeoutMs: number,
): Dialogue {
  const steps: Step[] = protocol.request.map((step) => ({
    ...step,
    expect: step.expect === undefined ? null : compilePattern(step.expect),
  }));
  let deframer: Deframer | null = null;
  let cancelFlush: Cancel = () => {};
  let silenceMs: number | null = null;
  let arrived: Frame[] = [];
  let heardAt = 0;
  let wake: () => void = () => {};
  let aborted = false;
  /** What an adapter that hears itself would bring back. */
  let echo = '';

  /** A step that sends nothing goes on with what came behind the answer before it. */
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
      if (aborted) return { kind: 'aborted' };
      const frame = arrived.shift();
      if (frame !== undefined) return { kind: 'frame', frame };
      const left = Math.min(heardAt + timeoutMs, until) - clock.monotonicMs();
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

  const run = async (): Promise<DialogueResult> => {
    const result: DialogueResult = {
      outcome: 'good',
      values: {},
      quality: {},
      answerMs: null,
      isNoisy: false,
    };
    const groups = new Map<string, string>();
    let isRateChanged = false;
    aborted = false;
    unread.clear();
    try {
      for (const step of steps) {
        listen(step);
        const sent = fill(step.send ?? [], groups);
        if (sent.length > 0) line.write(sent);
        const sentAt = clock.monotonicMs() + (sent.length * line.bitsPerCharacter * 1000) / line.baudRate;
        heardAt = sentAt;
        const rate = rateAfter(step, groups);
        if (rate !== null) {
          await sleep(clock, sentAt + departureMarginMs - clock.monotonicMs());
          await line.setBaudRate(rate);
          isRateChanged = true;
          heardAt = clock.monotonicMs();
        }
        echo = Buffer.from(sent).toString('latin1').trim();
        const outcome = await answer(step, rate ?? line.baudRate, groups, result);
        result.isNoisy ||= deframer!.noiseBytes > 0;
        if (outcome === 'good') unread.clear();
        if (outcome === 'good') result.answerMs = Math.max(0, clock.monotonicMs() - sentAt);
        else if (!step.optional || outcome === 'offline') return { ...result, outcome };
      }
      return result;
    } catch {
      return { ...result, outcome: 'offline' }; // the port refused the bytes or the rate
    } finally {
      deframer = null;
      cancelFlush();
      if (isRateChanged) await line.setBaudRate(line.baudRate).catch(() => {}); // a lost port reopens at its own
    }
  };

  const answer = async (
    step: Step,
    baudRate: number,
    groups: Map<string, string>,
    result: DialogueResult,
  ): Promise<DialogueResult['outcome']> => {
    const timeoutMs = timeoutOf(step, groups, responseTimeoutMs);
    const until = heardAt + timeoutMs + longestFrameMs(step.framing ?? protocol.framing, baudRate, line);
    for (;;) {
      const happening = await next(timeoutMs, until);
      if (happening.kind === 'aborted') return 'offline';
      if (happening.kind === 'silence') return unanswered(deframer!);
      const { bytes, sound } = happening.frame;
      const checksum = step.checksum ?? protocol.checksum;
      if (!sound) {
        unread.take(isUnchecked(bytes, checksum) ? 'unchecked' : 'damaged', bytes);
        continue;
      }
      const content = contentOf(bytes, checksum);
      const telegram = messages.read(content);
      const match = step.expect?.match(content) ?? null;
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

  /** What an answer that did not come, or not as it should, is called. */
  const unanswered = ({ noise, pending }: Deframer): 'timeout' | 'crc' => {
    // The rest of a damaged frame is searched on, and becomes noise or the beginning of nothing.
    if (unread.kind !== 'damaged') {
      if (pending.length > 0) unread.take('unfinished', pending);
      if (noise.length > 0) unread.take('noise', noise);
    }
    return unread.kind === 'unchecked' || unread.kind === 'damaged' ? 'crc' : 'timeout';
  };

  return {
    run,
    receive: (bytes) => {
      if (deframer === null) return; // nobody asked: a late answer, or noise
      heardAt = clock.monotonicMs();
      const current = deframer;
      hear(current.push(bytes));
      if (silenceMs === null) return;
      cancelFlush();
      cancelFlush = clock.after(silenceMs, () => hear(current.flush()));
    },
    abort: () => {
      aborted = true;
      wake();
    },
  };
}

/** What a later answer says of a point takes the place of what an earlier one said. */
function addTelegram(
  result: Telegram,
  { values, quality, outliers = [], contradiction, inconsistency }: Telegram,
): void {
  if (contradiction !== undefined) result.contradiction = contradiction;
  if (inconsistency !== undefined) result.inconsistency = inconsistency;
  for (const name of Object.keys(values)) delete result.quality[name];
  for (const name of Object.keys(quality)) delete result.values[name];
  Object.assign(result.values, values);
  Object.assign(result.quality, quality);
  const isOver = ({ point: { name } }: Outlier): boolean => name in values || name in quality;
  result.outliers = [...(result.outliers ?? []).filter((outlier) => !isOver(outlier)), ...outliers];
}

function fill(
  parts: NonNullable<SerialRequestStep['send']>,
  groups: ReadonlyMap<string, string>,
): Uint8Array {
  const text = parts
    .map((part) => (typeof part === 'string' ? part : (groups.get(part.group) ?? '')))
    .join('');
  return Buffer.from(text, 'latin1');
}

function rateAfter({ thenBaudRate }: Step, groups: ReadonlyMap<string, string>): number | null {
  if (thenBaudRate === undefined) return null;
  if (typeof thenBaudRate === 'number') return thenBaudRate;
  return thenBaudRate.rates[groups.get(thenBaudRate.group) ?? ''] ?? null;
}

function timeoutOf(
  { timeout }: Step,
  groups: ReadonlyMap<string, string>,
  responseTimeoutMs: number,
): number {
  if (timeout === undefined) return responseTimeoutMs;
  if (typeof timeout === 'number') return timeout;
  const seconds = Number(groups.get(timeout.secondsOf));
  return Number.isFinite(seconds) ? seconds * 1000 : responseTimeoutMs;
}

/** Twice the time that the longest frame takes on the line: sensors pause between characters. */
function longestFrameMs(framing: Framing, baudRate: number, line: SerialLine): number {
  const characters = framing.by === 'fixed-length' ? framing.length : framing.bytesMax;
  return (2 * characters * line.bitsPerCharacter * 1000) / baudRate;
}
