import { backoffMs } from '../../base/backoff.ts';
import type { Cancel } from '../../base/clock.ts';
import type { Quality } from '../../reading/quality.ts';
import type { SerialDeviceOptions, SerialProtocol } from '../options.ts';
import { createAccount } from './account.ts';
import { createDialogue } from './dialogue.ts';
import type { DialogueResult } from './dialogue.ts';
import { createFreshness } from './freshness.ts';
import { compileMessages } from './messages.ts';
import type { ReaderOutlets, SerialReader } from './serial-reader.ts';

type Polled = SerialProtocol & { request: NonNullable<SerialProtocol['request']> };

/** One that comes back is read again within 15 s, its own interval permitting. */
const retryMaxMs = 10_000;

/** Share of the latest answer time in the smoothed one. */
const smoothing = 0.2;

/** Reads a sensor that speaks when it is spoken to: one dialogue, one sample, on a fixed grid of its interval. */
export function createPoller(
  device: SerialDeviceOptions & { protocol: Polled },
  outlets: ReaderOutlets,
): SerialReader {
  const { protocol, everyMs } = device;
  const { line, clock, deliver } = outlets;
  const account = createAccount(device);
  const freshness = createFreshness(protocol, everyMs);
  const messages = compileMessages(protocol.messages);
  const dialogue = createDialogue(protocol, messages, line, clock, device.responseTimeoutMs);
  let cancelNext: Cancel = () => {};
  let running = false;
  let talking = false;
  let dueAt = 0;
  let failures = 0;

  const give = ({ values, quality, outcome }: DialogueResult): void => {
    const owed = freshness.owed().filter((name) => !(name in values) && !(name in quality));
    const why: Quality = outcome === 'good' ? 'invalid' : outcome;
    const all: Record<string, Quality> = {
      ...quality,
      ...Object.fromEntries(owed.map((name) => [name, why])),
    };
    const isPartial = Object.keys(all).length > 0;
    if (isPartial && outcome === 'good')
      account.failed('invalid', `no value: ${Object.keys(all).join(', ')}`);
    account.status.samples += 1;
    account.status.lastSampleAt = clock.wallMs();
    const stamp = { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
    deliver({ device: device.name, ...stamp, values, ...(isPartial && { quality: all }) });
  };

  const settle = (result: DialogueResult): void => {
    const { outcome, answerMs } = result;
    if (answerMs !== null) {
      const before = account.status.answerMs ?? answerMs;
      account.status.answerMs = before + smoothing * (answerMs - before);
    }
    if (outcome === 'good') {
      failures = 0;
      freshness.saw([...Object.keys(result.values), ...Object.keys(result.quality)], clock.monotonicMs());
      account.good();
    } else {
      failures += 1;
      account.failed(outcome, reasons[outcome]);
    }
    give(result);
  };

  const poll = async (): Promise<void> => {
    if (!running) return;
    account.status.latenessMs = Math.max(0, clock.monotonicMs() - dueAt);
    account.status.requests += 1;
    await line.quiet();
    if (!running) return;
    talking = true;
    const result = await dialogue.run();
    talking = false;
    if (running) settle(result);
  };

  const plan = (): void => {
    const now = clock.monotonicMs();
    const missed = Math.max(0, Math.floor((now - dueAt) / everyMs));
    const pause = backoffMs(
      failures,
      { initialMs: everyMs, maxMs: Math.max(everyMs, retryMaxMs), jitter: 0 },
      0,
    );
    dueAt = failures > 1 ? now + pause : dueAt + (missed + 1) * everyMs;
    cancelNext = clock.after(dueAt - now, () => {
      void line.turn(poll).finally(() => running && plan());
    });
  };

  return {
    opened: () => {
      if (running) return;
      running = true;
      dueAt = clock.monotonicMs() - everyMs;
      failures = 0;
      plan();
    },
    lost: () => {
      const wasRunning = running;
      running = false;
      cancelNext();
      if (talking) dialogue.abort();
      if (!wasRunning) return;
      account.failed('offline', reasons.offline);
      give({ outcome: 'offline', values: {}, quality: {}, answerMs: null });
    },
    receive: (bytes) => dialogue.receive(bytes),
    stop: () => {
      running = false;
      cancelNext();
      dialogue.abort();
    },
    status: () => ({ ...account.status, failures: { ...account.status.failures } }),
  };
}

const reasons = {
  timeout: 'no answer in time',
  crc: 'an answer came with a wrong check sum',
  offline: 'the port is not there',
} as const;
