import { describeError } from '../../base/error.ts';
import { inBackground } from '../../base/background.ts';
import { backoffMs } from '../../base/backoff.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { Quality } from '../../reading/quality.ts';
import type { DeviceStatus } from '../../status/status.ts';
import type { SerialDeviceOptions, SerialProtocol } from '../options.ts';
import { SlidingMinute } from '../sharing/sliding-minute.ts';
import { createDeviceStatistics, type DeviceStatistics } from './device-statistics.ts';
import { createDialogue } from './dialogue.ts';
import type { Dialogue, DialogueResult } from './dialogue.ts';
import { createFreshness, type Freshness } from './freshness.ts';
import { type IdentifiedMessages, identifiedMessages } from './identified-messages.ts';
import { describeMeasuring } from './measurement.ts';
import { compileMessages } from './message-reader.ts';
import type { Turn } from './serial-line.ts';
import type { ReaderOutlets, SerialReader } from './serial-reader.ts';
import { Unread } from './unread-frames.ts';
import { type AbsenceCheck, createAbsenceCheck } from './absence-check.ts';

type Polled = SerialProtocol & { request: NonNullable<SerialProtocol['request']> };

/** A returning sensor is read again within 15 s, if its own interval allows it. */
const retryMaxMs = 10_000;

/** Share of the latest answer time in the smoothed one. */
const smoothing = 0.2;

const portGone = 'the port is not there';

type PolledDevice = SerialDeviceOptions & { protocol: Polled };

/** Reads a sensor that must be polled: one dialogue, one sample, on a fixed grid of its interval. */
export function createPoller(device: PolledDevice, outlets: ReaderOutlets): SerialReader {
  return new Poller(device, outlets);
}

class Poller implements SerialReader {
  readonly #device: PolledDevice;
  readonly #outlets: ReaderOutlets;
  readonly #clock: Clock;
  readonly #statistics: DeviceStatistics;
  readonly #freshness: Freshness;
  readonly #unread: Unread;
  readonly #messages: IdentifiedMessages;
  readonly #dialogue: Dialogue;
  readonly #absence: AbsenceCheck;
  readonly #lateness: SlidingMinute;
  readonly #busTime: SlidingMinute;
  /** Time that its dialogues would have taken if none had been skipped. */
  readonly #demand: SlidingMinute;
  #cancelNext: Cancel = () => {};
  /** Counts openings and losses of the port, so that results of an earlier one are recognised and dropped. */
  #opening = 0;
  #dueAt = 0;
  /** When the next dialogue was first due: a skipped one counts as late, too. */
  #firstDueAt = 0;
  #failures = 0;
  /** Line time of the latest dialogue. */
  #spentMs = 0;
  /** How long others waited while it measured; they get the line first for as long. */
  #restMs = 0;

  constructor(device: PolledDevice, outlets: ReaderOutlets) {
    const { protocol, everyMs } = device;
    const { line, clock } = outlets;
    this.#device = device;
    this.#outlets = outlets;
    this.#clock = clock;
    this.#statistics = createDeviceStatistics(device, clock);
    this.#freshness = createFreshness(protocol, everyMs);
    this.#unread = new Unread(device, outlets.isAlone);
    this.#messages = identifiedMessages(
      compileMessages(protocol.messages),
      device.identify,
      outlets.onIdentity,
    );
    const parts = { messages: this.#messages, unread: this.#unread, line, clock };
    this.#dialogue = createDialogue(protocol, parts, device);
    const now = clock.monotonicMs();
    [this.#lateness, this.#busTime] = [new SlidingMinute(now), new SlidingMinute(now)];
    this.#demand = new SlidingMinute(now);
    this.#absence = createAbsenceCheck(clock, everyMs, () => this.#reportAbsence());
  }

  opened(): void {
    this.stop();
    this.#failures = 0;
    this.#restMs = 0;
    this.#firstDueAt = this.#clock.monotonicMs();
    this.#pollAt(this.#firstDueAt);
  }

  lost(): void {
    this.stop();
    this.#absence.begin(0);
  }

  receive(bytes: Uint8Array): void {
    this.#dialogue.receive(bytes);
  }

  stop(): void {
    this.#endPolling();
    this.#dialogue.abort();
  }

  retire(): void {
    this.#endPolling();
    this.#dialogue.finish();
  }

  demand(): number {
    this.#outlets.line.settle();
    return this.#demand.ratio(this.#clock.monotonicMs());
  }

  status(): DeviceStatus {
    this.#outlets.line.settle();
    const now = this.#clock.monotonicMs();
    const measuring = this.#dialogue.measuring();
    const status = this.#statistics.snapshot();
    return {
      ...status,
      ...(status.state === 'starting' &&
        measuring !== null && { state: 'measuring', reason: describeMeasuring(measuring, now) }),
      identity: this.#messages.identity,
      latenessMs: Math.round(this.#lateness.max(now)),
      usualLatenessMs: Math.round(this.#lateness.mean(now)),
      busShare: this.#busTime.share(now),
    };
  }

  #endPolling(): void {
    this.#opening += 1;
    this.#absence.stop();
    this.#cancelNext();
  }

  #reportAbsence(): boolean {
    this.#statistics.failed('offline', portGone);
    const nothing = { values: {}, quality: {}, answerMs: null, isNoisy: false, heldMs: 0 };
    this.#give({ outcome: 'offline', ...nothing });
    return true;
  }

  #charge(ms: number): void {
    const now = this.#clock.monotonicMs();
    this.#busTime.add(ms, now);
    this.#demand.add(ms, now);
    this.#outlets.siloTime.spent(ms);
    this.#spentMs += ms;
  }

  #give({ values, quality, outcome, ...rest }: DialogueResult): void {
    const missing = this.#freshness.owed().filter((name) => !(name in values) && !(name in quality));
    const why: Quality = outcome === 'good' ? 'invalid' : outcome;
    const all = { ...quality, ...Object.fromEntries(missing.map((name) => [name, why])) };
    const isPartial = Object.keys(all).length > 0;
    if (outcome === 'good') this.#statistics.took({ ...rest, values, quality: all });
    const stamp = { wallMs: this.#clock.wallMs(), monotonicMs: this.#clock.monotonicMs() };
    const sample = { ...stamp, values, ...(isPartial && { quality: all }) };
    this.#statistics.gave(sample);
    this.#outlets.deliver({ device: this.#device.name, ...sample });
  }

  #settle(result: DialogueResult): void {
    const { outcome, answerMs, isNoisy, reason } = result;
    const { status } = this.#statistics;
    if (isNoisy) this.#statistics.met('noise');
    if (this.#unread.kind === 'unknown') this.#statistics.met('unknown');
    if (answerMs !== null) {
      const before = status.answerMs ?? answerMs;
      status.answerMs = before + smoothing * (answerMs - before);
    }
    if (outcome === 'good') {
      this.#failures = 0;
      const names = [...Object.keys(result.values), ...Object.keys(result.quality)];
      this.#freshness.saw(names, this.#clock.monotonicMs());
    } else {
      this.#failures += 1;
      this.#messages.suspect();
      const why = reason ?? this.#unread.describe() ?? 'no answer in time';
      this.#statistics.failed(outcome, outcome === 'offline' ? portGone : why);
    }
    this.#give(result);
  }

  /** When to try again, if the silo's share does not allow it now. */
  async #poll(opening: number, turn: Turn): Promise<number | null> {
    const { line, siloTime, isAlone } = this.#outlets;
    if (opening !== this.#opening) return null;
    const overShareUntilMs = siloTime.overShareUntilMs();
    if (overShareUntilMs !== null) return overShareUntilMs;
    await line.quiet();
    if (opening !== this.#opening) return null;
    this.#spentMs = 0;
    turn.begin((ms) => this.#charge(ms));
    const begunAt = this.#clock.monotonicMs();
    this.#lateness.add(begunAt - this.#firstDueAt, begunAt);
    this.#statistics.status.requests += 1;
    const result = await this.#dialogue.run(turn);
    this.#restMs = isAlone() ? 0 : result.heldMs;
    if (opening === this.#opening) this.#settle(result);
    return null;
  }

  #pollAt(at: number): void {
    this.#dueAt = at;
    this.#tryAt(Math.max(at, this.#clock.monotonicMs() + this.#restMs));
  }

  #tryAt(at: number): void {
    const opening = this.#opening;
    this.#cancelNext = this.#clock.after(at - this.#clock.monotonicMs(), () => {
      const polled = this.#outlets.line
        .turn((turn) => this.#poll(opening, turn))
        .then((overShareUntilMs) => {
          if (opening !== this.#opening) return;
          if (overShareUntilMs === null) this.#pollAt(this.#nextDueAt());
          else this.#tryAt(overShareUntilMs);
        });
      // The port was lost during the dialogue, or an internal fault: the next poll comes anyway.
      inBackground(polled, (error) => {
        this.#failures += 1;
        this.#statistics.failed('offline', describeError(error));
        if (opening === this.#opening) this.#pollAt(this.#nextDueAt());
      });
    });
  }

  /** The next place on the grid of its interval, or after a growing pause where it keeps failing. */
  #nextDueAt(): number {
    const { everyMs } = this.#device;
    const now = this.#clock.monotonicMs();
    const pause = { initialMs: everyMs, maxMs: Math.max(everyMs, retryMaxMs), jitter: 0 };
    if (this.#failures > 1) return (this.#firstDueAt = now + backoffMs(this.#failures, pause, 0));
    const missed = Math.floor((now - this.#dueAt) / everyMs);
    this.#firstDueAt = this.#dueAt + everyMs;
    this.#demand.add(missed * this.#spentMs, now);
    return this.#dueAt + (missed + 1) * everyMs;
  }
}
