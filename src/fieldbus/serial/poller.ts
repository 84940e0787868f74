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
  /** Counts openings and losses of the port, so that what belongs to an earlier one is known and dropped. */
  let life = 0;
  let isOpen = false;
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

  const poll = async (own: number): Promise<void> => {
    if (own !== life) return;
    account.status.latenessMs = Math.max(0, clock.monotonicMs() - dueAt);
    await line.quiet();
    if (own !== life) return;
    account.status.requests += 1;
    const result = await dialogue.run();
    if (own === life) settle(result);
  };

  const pollAt = (at: number): void => {
    dueAt = at;
    const own = life;
    cancelNext = clock.after(at - clock.monotonicMs(), () => {
      void line.turn(() => poll(own)).finally(() => own === life && pollAt(nextDueAt()));
    });
  };

  /** The next place on the grid of its interval, or after a growing pause where it keeps failing. */
  const nextDueAt = (): number => {
    const now = clock.monotonicMs();
    const pause = { initialMs: everyMs, maxMs: Math.max(everyMs, retryMaxMs), jitter: 0 };
    if (failures > 1) return now + backoffMs(failures, pause, 0);
    return dueAt + (Math.floor((now - dueAt) / everyMs) + 1) * everyMs;
  };

  const end = (): void => {
    life += 1;
    isOpen = false;
    cancelNext();
    dialogue.abort();
  };

  return {
    opened: () => {
      end();
      isOpen = true;
      failures = 0;
      pollAt(clock.monotonicMs());
    },
    lost: () => {
      const wasOpen = isOpen;
      end();
      if (!wasOpen) return;
      account.failed('offline', reasons.offline);
      give({ outcome: 'offline', values: {}, quality: {}, answerMs: null });
    },
    receive: (bytes) => dialogue.receive(bytes),
    stop: end,
    status: () => ({ ...account.status, failures: { ...account.status.failures } }),
  };
}

const reasons = {
  timeout: 'no answer in time',
  crc: 'an answer came with a wrong check sum',
  offline: 'the port is not there',
} as const;
