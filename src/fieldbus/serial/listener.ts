import { backoffMs } from '../../base/backoff.ts';
import type { Cancel } from '../../base/clock.ts';
import type { Quality } from '../../reading/quality.ts';
import type { Sample } from '../../reading/sample.ts';
import type { SerialDeviceOptions } from '../options.ts';
import { createAccount } from './account.ts';
import { checksumHolds, contentOf } from './checksum.ts';
import { createDeframer } from './framing.ts';
import type { Frame } from './framing.ts';
import { createFreshness } from './freshness.ts';
import { createGathering } from './gathering.ts';
import { compileMessages } from './messages.ts';
import type { ReaderOutlets, SerialReader } from './serial-reader.ts';

/** A frame that was under way when the port opened goes on at once; what begins later is whole. */
const midFrameMs = 50;
/** A sensor that stays silent is reported in growing pauses, so that its absence does not fill the spool. */
const silenceReportMaxMs = 60_000;

/** Reads a sensor that sends by itself. */
export function createListener(device: SerialDeviceOptions, outlets: ReaderOutlets): SerialReader {
  const { protocol, everyMs } = device;
  const { clock, deliver } = outlets;
  const messages = compileMessages(protocol.messages);
  const account = createAccount(device);
  const freshness = createFreshness(protocol, everyMs);
  const deframer = createDeframer(protocol.framing, (frame) => checksumHolds(frame, protocol.checksum));
  let cancelFlush: Cancel = () => {};
  let cancelWatch: Cancel = () => {};
  let openedAt: number | null = null;
  /** Nothing has come since the port opened. */
  let isFresh = true;

  const give = (sample: Omit<Sample, 'device'>): void => {
    account.status.samples += 1;
    account.status.lastSampleAt = sample.wallMs;
    deliver({ device: device.name, ...sample });
  };
  const gathering = createGathering(everyMs, protocol.messages.length > 1, clock, give);

  const takeFrame = ({ bytes, sound }: Frame): void => {
    const content = contentOf(bytes, protocol.checksum);
    if (!sound) return takeDamaged(content);
    const telegram = messages.read(content);
    if (telegram === null) return account.failed('unknown', 'a frame is none of the declared messages');
    const isPartial = Object.keys(telegram.quality).length > 0;
    const names = [...Object.keys(telegram.values), ...Object.keys(telegram.quality)];
    if (names.length === 0) return;
    freshness.saw(names, clock.monotonicMs());
    if (isPartial) account.failed('invalid', `no value: ${Object.keys(telegram.quality).join(', ')}`);
    else account.good();
    gathering.add(telegram, true);
  };

  const takeDamaged = (content: Uint8Array): void => {
    account.failed('crc', 'a frame came with a wrong check sum');
    const damaged = messages.readDamaged(content);
    if (damaged === null) return;
    const owed = new Set(freshness.owed());
    const quality = Object.entries(damaged.quality).filter(([name]) => owed.has(name));
    if (quality.length > 0) gathering.add({ values: {}, quality: Object.fromEntries(quality) }, false);
  };

  const report = (names: readonly string[], why: Quality & ('stale' | 'offline')): void => {
    account.failed(why, why === 'offline' ? 'the port is not there' : `silent: ${names.join(', ')}`);
    const quality = Object.fromEntries(names.map((name) => [name, why]));
    give({ wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs(), values: {}, quality });
  };

  /** Looks for silence once an interval; while it lasts, or while the port is gone, says so in growing pauses. */
  const watch = (reports: number): void => {
    const isOffline = openedAt === null;
    const names = isOffline ? freshness.owed() : freshness.stale(clock.monotonicMs());
    if (names.length > 0) report(names, isOffline ? 'offline' : 'stale');
    const next = names.length > 0 ? reports + 1 : 0;
    const options = { initialMs: everyMs, maxMs: Math.max(everyMs, silenceReportMaxMs), jitter: 0 };
    cancelWatch();
    cancelWatch = clock.after(backoffMs(next, options, 0), () => watch(next));
  };

  return {
    opened: () => {
      openedAt = clock.monotonicMs();
      isFresh = true;
      freshness.begin(openedAt);
      cancelWatch();
      cancelWatch = clock.after(everyMs, () => watch(0));
    },
    lost: () => {
      gathering.end();
      cancelFlush();
      openedAt = null;
      watch(0);
    },
    receive: (bytes) => {
      if (openedAt === null) return;
      if (isFresh) {
        isFresh = false;
        const isChecked = protocol.checksum.kind !== 'none';
        deframer.reset(!isChecked && clock.monotonicMs() - openedAt < midFrameMs);
      }
      for (const frame of deframer.push(bytes)) takeFrame(frame);
      if (protocol.framing.by !== 'silence') return;
      cancelFlush();
      cancelFlush = clock.after(protocol.framing.silenceMs, () => deframer.flush().forEach(takeFrame));
    },
    stop: () => {
      cancelFlush();
      cancelWatch();
      gathering.cancel();
    },
    status: () => ({ ...account.status, failures: { ...account.status.failures } }),
  };
}
