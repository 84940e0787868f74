import type { Cancel } from '../../base/clock.ts';
import type { Quality } from '../../reading/quality.ts';
import type { Sample } from '../../reading/sample.ts';
import type { SerialDeviceOptions } from '../options.ts';
import { createDeviceStatistics, someOf } from './device-statistics.ts';
import { checksumHolds, contentOf, isUnchecked } from './checksum.ts';
import { createDeframer } from './framing.ts';
import type { Frame } from './framing.ts';
import { createFreshness } from './freshness.ts';
import { createSampler } from './sampler.ts';
import { identifiedMessages } from './identified-messages.ts';
import { compileMessages } from './message-reader.ts';
import type { ReaderOutlets, SerialReader } from './serial-reader.ts';
import { Unread } from './unread-frames.ts';
import { createAbsenceCheck } from './absence-check.ts';

/** A frame that was under way when the port opened goes on at once; what begins later is whole. */
const midFrameMs = 50;
/** The pause between telegrams: the next byte after it begins one. */
const betweenTelegramsMs = 50;

/** Reads a sensor that sends by itself. */
export function createListener(device: SerialDeviceOptions, outlets: ReaderOutlets): SerialReader {
  const { protocol, everyMs } = device;
  const { clock, deliver } = outlets;
  const messages = identifiedMessages(
    compileMessages(protocol.messages),
    device.identify,
    outlets.onIdentity,
  );
  const statistics = createDeviceStatistics(device, clock);
  const freshness = createFreshness(protocol, everyMs);
  const deframer = createDeframer(protocol.framing, (frame) => checksumHolds(frame, protocol.checksum));
  let cancelFlush: Cancel = () => {};
  const unread = new Unread(device, outlets.isAlone);
  let openedAt: number | null = null;
  let receivedAt = -Infinity;
  /** Nothing has come since the port opened. */
  let isFresh = true;

  const give = (sample: Omit<Sample, 'device'>): void => {
    statistics.gave(sample);
    deliver({ device: device.name, ...sample });
  };
  const sampler = createSampler(everyMs, protocol.messages.length > 1, clock, give);

  const takeFrame = ({ bytes, sound }: Frame): void => {
    const content = contentOf(bytes, protocol.checksum);
    if (!sound) return takeDamaged(bytes, content);
    const telegram = messages.read(content);
    if (telegram === null) {
      unread.take('unknown', content);
      return statistics.met('unknown');
    }
    const names = [...Object.keys(telegram.values), ...Object.keys(telegram.quality)];
    if (names.length === 0) return;
    freshness.saw(names, clock.monotonicMs());
    unread.clear();
    statistics.took(telegram);
    sampler.add(telegram, true);
  };

  const takeDamaged = (bytes: Uint8Array, content: Uint8Array): void => {
    unread.take(isUnchecked(bytes, protocol.checksum) ? 'unchecked' : 'damaged', bytes);
    statistics.failed('crc', unread.describe()!);
    const damaged = messages.readDamaged(content);
    if (damaged === null) return;
    const owed = new Set(freshness.owed());
    const quality = Object.entries(damaged.quality).filter(([name]) => owed.has(name));
    if (quality.length > 0) sampler.add({ values: {}, quality: Object.fromEntries(quality) }, false);
  };

  const report = (names: readonly string[], why: Quality & ('stale' | 'offline')): void => {
    statistics.failed(why, why === 'offline' ? 'the port is not there' : whySilent(names));
    const quality = Object.fromEntries(names.map((name) => [name, why]));
    give({ wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs(), values: {}, quality });
  };

  const whySilent = (names: readonly string[]): string => {
    if (unread.kind === undefined && deframer.pending.length > 0) unread.take('unfinished', deframer.pending);
    const why = unread.describe() ?? `silent: ${someOf(names)}`;
    unread.clear();
    return why;
  };

  const watch = createAbsenceCheck(clock, everyMs, () => {
    const isOffline = openedAt === null;
    const names = isOffline ? freshness.owed() : freshness.stale(clock.monotonicMs());
    if (names.length > 0) {
      messages.suspect();
      report(names, isOffline ? 'offline' : 'stale');
    }
    return names.length > 0;
  });

  /** Takes the frames that `deframe` finds, and counts the other bytes. */
  const take = (deframe: () => Frame[]): void => {
    const noiseBytes = deframer.noiseBytes;
    for (const frame of deframe()) takeFrame(frame);
    if (deframer.noiseBytes === noiseBytes) return;
    unread.take('noise', deframer.noise);
    statistics.met('noise');
  };

  const end = (): void => {
    openedAt = null;
    cancelFlush();
    watch.stop();
    sampler.cancel();
  };

  return {
    opened: () => {
      openedAt = clock.monotonicMs();
      isFresh = true;
      messages.suspect();
      freshness.begin(openedAt);
      watch.begin(everyMs);
    },
    lost: () => {
      sampler.end();
      cancelFlush();
      openedAt = null;
      watch.begin(0);
    },
    receive: (bytes) => {
      if (openedAt === null) return;
      if (isFresh) {
        isFresh = false;
        const isChecked = protocol.checksum.kind !== 'none';
        deframer.reset(!isChecked && clock.monotonicMs() - openedAt < midFrameMs);
      }
      if (clock.monotonicMs() - receivedAt >= betweenTelegramsMs) deframer.forgetNoise();
      receivedAt = clock.monotonicMs();
      take(() => deframer.push(bytes));
      if (protocol.framing.by !== 'silence') return;
      cancelFlush();
      cancelFlush = clock.after(protocol.framing.silenceMs, () => take(() => deframer.flush()));
    },
    stop: end,
    retire: end,
    demand: () => 0,
    status: () => ({ ...statistics.snapshot(), identity: messages.identity }),
  };
}
