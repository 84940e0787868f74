import { type Clock, sleep } from '../../base/clock.ts';
import type { Port } from '../port/port.ts';
import type { LineTiming } from './line-timing.ts';
import { type Answer, expectedLength } from './pdu.ts';
import { findAnswer, type Question, rtuOverhead, withoutEchoes } from './rtu-frame.ts';

/** Two of the largest frames: what an echo, an answer and some noise can come to. */
const receivedBytesMax = 512;
/** Quiet that ends a fault. An FTDI adapter may hold bytes back for 16 ms unless in low-latency mode. */
const quietMs = 20;
/** A whole frame that is damaged may be noise before the right one; the bytes of one frame pause no longer. */
const damagedQuietMs = 50;
/** Waiting for a line that never falls silent ends after this long; the next request tries again. */
const drainMsMax = 1000;

export type Heard =
  /** `before` and `after` are what else was heard. */
  | { kind: 'answer'; answer: Answer; answerMs: number; before: Uint8Array; after: Uint8Array }
  | { kind: 'nothing'; received: Uint8Array }
  /** Before the question went out, or after. */
  | { kind: 'offline'; isSent: boolean };

/** The half-duplex turn-taking of Modbus over serial line V1.02 §2.5: one question, one answer, silence between. */
export interface RtuLine {
  /** Waits for t3.5 after the last frame, and until the line is silent; returns what was received meanwhile. */
  quiet(): Promise<Uint8Array>;
  /** `timeoutMs` from the question's last bit to the answer's first. */
  ask(question: Question, timeoutMs: number): Promise<Heard>;
  /** Reads until nothing more comes, and returns what came. */
  drain(): Promise<Uint8Array>;
}

const nothing = new Uint8Array(0);

export function createRtuLine(port: Port, timing: LineTiming, clock: Clock): RtuLine {
  return new TimedRtuLine(port, timing, clock);
}

class TimedRtuLine implements RtuLine {
  readonly #port: Port;
  readonly #timing: LineTiming;
  readonly #clock: Clock;
  #quietAtMs = 0;

  constructor(port: Port, timing: LineTiming, clock: Clock) {
    this.#port = port;
    this.#timing = timing;
    this.#clock = clock;
  }

  async drain(): Promise<Uint8Array> {
    const untilMs = this.#clock.monotonicMs() + drainMsMax;
    let drained = this.#port.read();
    while (this.#port.state.kind === 'open' && this.#clock.monotonicMs() < untilMs) {
      await sleep(this.#clock, Math.max(quietMs, this.#timing.silenceMs));
      const more = this.#port.read();
      if (more.length === 0) break;
      drained = join(drained, more);
    }
    this.#quietAtMs = this.#clock.monotonicMs();
    return drained;
  }

  async quiet(): Promise<Uint8Array> {
    const clock = this.#clock;
    // Timers count whole milliseconds and may run early by a part of one, which would violate t3.5.
    for (let now = clock.monotonicMs(); now < this.#quietAtMs; now = clock.monotonicMs()) {
      await sleep(clock, Math.ceil(this.#quietAtMs - now));
    }
    const stray = this.#port.read();
    return stray.length === 0 ? stray : join(stray, await this.drain());
  }

  async ask(question: Question, timeoutMs: number): Promise<Heard> {
    const { charMs } = this.#timing;
    try {
      this.#port.write(question.adu);
    } catch {
      return { kind: 'offline', isSent: false };
    }
    const sentAtMs = this.#clock.monotonicMs() + question.adu.length * charMs;
    const answerChars = expectedLength(question.request) + rtuOverhead;
    return this.#receive(question, sentAtMs, sentAtMs + timeoutMs + answerChars * charMs);
  }

  /** Resolves when there is something to read, or after `ms`. */
  #readable(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        cancelTimer();
        cancelRead();
        cancelState();
        resolve();
      };
      const cancelTimer = this.#clock.after(ms, finish);
      const cancelRead = this.#port.onReadable(finish);
      const cancelState = this.#port.onState(finish);
    });
  }

  /** Reads when the answer must be complete by the line's timing, not byte by byte. */
  async #receive(question: Question, sentAtMs: number, deadlineMs: number): Promise<Heard> {
    const { charMs, silenceMs } = this.#timing;
    const whole = expectedLength(question.request) + rtuOverhead;
    let received: Uint8Array = nothing;
    let firstAtMs = 0;
    let lastAtMs = 0;
    let wait = this.#readable(deadlineMs - this.#clock.monotonicMs());
    while (true) {
      await wait;
      const chunk = this.#port.read();
      const now = this.#clock.monotonicMs();
      if (chunk.length > 0) {
        if (received.length === 0) firstAtMs = now;
        lastAtMs = now;
        received = join(received, chunk);
      }
      const found = findAnswer(received, question);
      if (found.kind === 'answer') {
        const { answer, start, end } = found;
        // Timers run late: if nothing came before the answer, its end follows from the time of its first byte.
        const endMs = start > 0 ? lastAtMs : Math.min(lastAtMs, firstAtMs + received.length * charMs);
        this.#quietAtMs = endMs + silenceMs;
        const answerMs = Math.max(0, endMs - (end - start) * charMs - sentAtMs);
        const [before, after] = [received.subarray(0, start), received.subarray(end)];
        return { kind: 'answer', answer, answerMs, before, after };
      }
      if (this.#port.state.kind !== 'open') return { kind: 'offline', isSent: true };
      const damaged = withoutEchoes(received, question.adu).length >= whole;
      const isOver = now >= deadlineMs || (damaged && now - lastAtMs >= damagedQuietMs);
      if (isOver || received.length > receivedBytesMax) return { kind: 'nothing', received };
      const leftMs = deadlineMs - now;
      const lineMs = received.length > 0 ? found.missing * charMs : 0;
      if (chunk.length > 0 && lineMs >= 1) wait = sleep(this.#clock, Math.min(lineMs, leftMs));
      else wait = this.#readable(damaged ? Math.min(leftMs, damagedQuietMs) : leftMs);
    }
  }
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
