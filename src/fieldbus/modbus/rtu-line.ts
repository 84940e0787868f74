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

export function createRtuLine(port: Port, { charMs, silenceMs }: LineTiming, clock: Clock): RtuLine {
  let quietAtMs = 0;

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

  const drain = async (): Promise<Uint8Array> => {
    const untilMs = clock.monotonicMs() + drainMsMax;
    let drained = port.read();
    while (port.state.kind === 'open' && clock.monotonicMs() < untilMs) {
      await sleep(clock, Math.max(quietMs, silenceMs));
      const more = port.read();
      if (more.length === 0) break;
      drained = join(drained, more);
    }
    quietAtMs = clock.monotonicMs();
    return drained;
  };

  /** Reads when the answer must be complete by the line's timing, not byte by byte. */
  const receive = async (question: Question, sentAtMs: number, deadlineMs: number): Promise<Heard> => {
    const whole = expectedLength(question.request) + rtuOverhead;
    let received: Uint8Array = nothing;
    let firstAtMs = 0;
    let lastAtMs = 0;
    let wait = readable(deadlineMs - clock.monotonicMs());
    while (true) {
      await wait;
      const chunk = port.read();
      const now = clock.monotonicMs();
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
        quietAtMs = endMs + silenceMs;
        const answerMs = Math.max(0, endMs - (end - start) * charMs - sentAtMs);
        return {
          kind: 'answer',
          answer,
          answerMs,
          before: received.subarray(0, start),
          after: received.subarray(end),
        };
      }
      if (port.state.kind !== 'open') return { kind: 'offline', isSent: true };
      const damaged = withoutEchoes(received, question.adu).length >= whole;
      const isOver = now >= deadlineMs || (damaged && now - lastAtMs >= damagedQuietMs);
      if (isOver || received.length > receivedBytesMax) return { kind: 'nothing', received };
      const leftMs = deadlineMs - now;
      const lineMs = received.length > 0 ? found.missing * charMs : 0;
      if (chunk.length > 0 && lineMs >= 1) wait = sleep(clock, Math.min(lineMs, leftMs));
      else wait = readable(damaged ? Math.min(leftMs, damagedQuietMs) : leftMs);
    }
  };

  return {
    drain,
    quiet: async () => {
      // Timers count whole milliseconds and may run early by a part of one, which would violate t3.5.
      for (let now = clock.monotonicMs(); now < quietAtMs; now = clock.monotonicMs()) {
        await sleep(clock, Math.ceil(quietAtMs - now));
      }
      const stray = port.read();
      return stray.length === 0 ? stray : join(stray, await drain());
    },
    ask: async (question, timeoutMs) => {
      try {
        port.write(question.adu);
      } catch {
        return { kind: 'offline', isSent: false };
      }
      const sentAtMs = clock.monotonicMs() + question.adu.length * charMs;
      const answerChars = expectedLength(question.request) + rtuOverhead;
      return receive(question, sentAtMs, sentAtMs + timeoutMs + answerChars * charMs);
    },
  };
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
