import type { Cancel, Clock } from '../../base/clock.ts';
import type { Quality } from '../../reading/quality.ts';
import type { Sample } from '../../reading/sample.ts';
import type { DeviceStatus } from '../../status/status.ts';
import type { SerialDeviceOptions } from '../options.ts';
import { createDeviceStatistics, type DeviceStatistics, someOf } from './device-statistics.ts';
import { checksumHolds, contentOf, isUnchecked } from './checksum.ts';
import { createDeframer } from './framing.ts';
import type { Deframer, Frame } from './framing.ts';
import { createFreshness, type Freshness } from './freshness.ts';
import { createSampler, type Sampler } from './sampler.ts';
import { type IdentifiedMessages, identifiedMessages } from './identified-messages.ts';
import { compileMessages } from './message-reader.ts';
import type { ReaderOutlets, SerialReader } from './serial-reader.ts';
import { Unread } from './unread-frames.ts';
import { type AbsenceCheck, createAbsenceCheck } from './absence-check.ts';

/** A frame that was under way when the port opened goes on at once; what begins later is whole. */
const midFrameMs = 50;
/** The pause between telegrams: the next byte after it begins one. */
const betweenTelegramsMs = 50;

/** Reads a sensor that sends by itself. */
export function createListener(device: SerialDeviceOptions, outlets: ReaderOutlets): SerialReader {
  return new Listener(device, outlets);
}

class Listener implements SerialReader {
  readonly #device: SerialDeviceOptions;
  readonly #clock: Clock;
  readonly #deliver: ReaderOutlets['deliver'];
  readonly #messages: IdentifiedMessages;
  readonly #statistics: DeviceStatistics;
  readonly #freshness: Freshness;
  readonly #deframer: Deframer;
  readonly #unread: Unread;
  readonly #sampler: Sampler;
  readonly #absence: AbsenceCheck;
  #cancelFlush: Cancel = () => {};
  #openedAt: number | null = null;
  #receivedAt = -Infinity;
  /** Nothing has come since the port opened. */
  #isFresh = true;

  constructor(device: SerialDeviceOptions, outlets: ReaderOutlets) {
    const { protocol, everyMs } = device;
    const { clock } = outlets;
    this.#device = device;
    this.#clock = clock;
    this.#deliver = outlets.deliver;
    this.#messages = identifiedMessages(
      compileMessages(protocol.messages),
      device.identify,
      outlets.onIdentity,
    );
    this.#statistics = createDeviceStatistics(device, clock);
    this.#freshness = createFreshness(protocol, everyMs);
    this.#deframer = createDeframer(protocol.framing, (frame) => checksumHolds(frame, protocol.checksum));
    this.#unread = new Unread(device, outlets.isAlone);
    const hasSeveral = protocol.messages.length > 1;
    this.#sampler = createSampler(everyMs, hasSeveral, clock, (sample) => this.#give(sample));
    this.#absence = createAbsenceCheck(clock, everyMs, () => this.#reportAbsence());
  }

  opened(): void {
    this.#openedAt = this.#clock.monotonicMs();
    this.#isFresh = true;
    this.#messages.suspect();
    this.#freshness.begin(this.#openedAt);
    this.#absence.begin(this.#device.everyMs);
  }

  lost(): void {
    this.#sampler.end();
    this.#cancelFlush();
    this.#openedAt = null;
    this.#absence.begin(0);
  }

  receive(bytes: Uint8Array): void {
    if (this.#openedAt === null) return;
    const { framing, checksum } = this.#device.protocol;
    const now = this.#clock.monotonicMs();
    if (this.#isFresh) {
      this.#isFresh = false;
      this.#deframer.reset(checksum.kind === 'none' && now - this.#openedAt < midFrameMs);
    }
    if (now - this.#receivedAt >= betweenTelegramsMs) this.#deframer.forgetNoise();
    this.#receivedAt = now;
    this.#take(() => this.#deframer.push(bytes));
    if (framing.by !== 'silence') return;
    this.#cancelFlush();
    this.#cancelFlush = this.#clock.after(framing.silenceMs, () => this.#take(() => this.#deframer.flush()));
  }

  stop(): void {
    this.#openedAt = null;
    this.#cancelFlush();
    this.#absence.stop();
    this.#sampler.cancel();
  }

  retire(): void {
    this.stop();
  }

  demand(): number {
    return 0;
  }

  status(): DeviceStatus {
    return { ...this.#statistics.snapshot(), identity: this.#messages.identity };
  }

  #give(sample: Omit<Sample, 'device'>): void {
    this.#statistics.gave(sample);
    this.#deliver({ device: this.#device.name, ...sample });
  }

  /** Takes the frames that `deframe` finds, and counts the other bytes. */
  #take(deframe: () => Frame[]): void {
    const { noiseBytes } = this.#deframer;
    for (const frame of deframe()) this.#takeFrame(frame);
    if (this.#deframer.noiseBytes === noiseBytes) return;
    this.#unread.take('noise', this.#deframer.noise);
    this.#statistics.met('noise');
  }

  #takeFrame({ bytes, sound }: Frame): void {
    const content = contentOf(bytes, this.#device.protocol.checksum);
    if (!sound) return this.#takeDamaged(bytes, content);
    const telegram = this.#messages.read(content);
    if (telegram === null) {
      this.#unread.take('unknown', content);
      return this.#statistics.met('unknown');
    }
    const names = [...Object.keys(telegram.values), ...Object.keys(telegram.quality)];
    if (names.length === 0) return;
    this.#freshness.saw(names, this.#clock.monotonicMs());
    this.#unread.clear();
    this.#statistics.took(telegram);
    this.#sampler.add(telegram, true);
  }

  #takeDamaged(bytes: Uint8Array, content: Uint8Array): void {
    const { checksum } = this.#device.protocol;
    this.#unread.take(isUnchecked(bytes, checksum) ? 'unchecked' : 'damaged', bytes);
    this.#statistics.failed('crc', this.#unread.describe()!);
    const damaged = this.#messages.readDamaged(content);
    if (damaged === null) return;
    const missing = new Set(this.#freshness.owed());
    const quality = Object.entries(damaged.quality).filter(([name]) => missing.has(name));
    if (quality.length > 0) this.#sampler.add({ values: {}, quality: Object.fromEntries(quality) }, false);
  }

  #reportAbsence(): boolean {
    const isOffline = this.#openedAt === null;
    const names = isOffline ? this.#freshness.owed() : this.#freshness.stale(this.#clock.monotonicMs());
    if (names.length > 0) {
      this.#messages.suspect();
      this.#report(names, isOffline ? 'offline' : 'stale');
    }
    return names.length > 0;
  }

  #report(names: readonly string[], why: Quality & ('stale' | 'offline')): void {
    this.#statistics.failed(why, why === 'offline' ? 'the port is not there' : this.#whySilent(names));
    const quality = Object.fromEntries(names.map((name) => [name, why]));
    this.#give({
      wallMs: this.#clock.wallMs(),
      monotonicMs: this.#clock.monotonicMs(),
      values: {},
      quality,
    });
  }

  #whySilent(names: readonly string[]): string {
    const { pending } = this.#deframer;
    if (this.#unread.kind === undefined && pending.length > 0) this.#unread.take('unfinished', pending);
    const why = this.#unread.describe() ?? `silent: ${someOf(names)}`;
    this.#unread.clear();
    return why;
  }
}
