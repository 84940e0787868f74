import { describeError } from '../../base/error.ts';
import { inBackground } from '../../base/background.ts';
import { backoffMs } from '../../base/backoff.ts';
import type { Cancel } from '../../base/clock.ts';
import type { Quality } from '../../reading/quality.ts';
import type { SerialDeviceOptions, SerialProtocol } from '../options.ts';
import { SlidingMinute } from '../sharing/sliding-minute.ts';
import { createDeviceStatistics } from './device-statistics.ts';
import { createDialogue } from './dialogue.ts';
import type { DialogueResult } from './dialogue.ts';
import { createFreshness } from './freshness.ts';
import { identifiedMessages } from './identified-messages.ts';
import { describeMeasuring } from './measurement.ts';
import { compileMessages } from './message-reader.ts';
import type { Turn } from './serial-line.ts';
import type { ReaderOutlets, SerialReader } from './serial-reader.ts';
import { Unread } from './unread-frames.ts';
import { createAbsenceCheck } from './absence-check.ts';

type Polled = SerialProtocol & { request: NonNullable<SerialProtocol['request']> };

/** A returning sensor is read again within 15 s, if its own interval allows it. */
const retryMaxMs = 10_000;

/** Share of the latest answer time in the smoothed one. */
const smoothing = 0.2;

/** Reads a sensor that must be polled: one dialogue, one sample, on a fixed grid of its interval. */
export function createPoller(
  device: SerialDeviceOptions & { protocol: Polled },
  outlets: ReaderOutlets,
): SerialReader {
  const { protocol, everyMs } = device;
  const { line, clock, siloTime, deliver } = outlets;
  const statistics = createDeviceStatistics(device, clock);
  const freshness = createFreshness(protocol, everyMs);
  const unread = new Unread(device, outlets.isAlone);
  const messages = identifiedMessages(
    compileMessages(protocol.messages),
    device.identify,
    outlets.onIdentity,
  );
  const dialogue = createDialogue(protocol, messages, unread, line, clock, device);
  const lateness = new SlidingMinute(clock.monotonicMs());
  const busTime = new SlidingMinute(clock.monotonicMs());
  /** Time that its dialogues would have taken if none had been skipped. */
  const demand = new SlidingMinute(clock.monotonicMs());
  let cancelNext: Cancel = () => {};
  /** Counts openings and losses of the port, so that results of an earlier one are recognised and dropped. */
  let life = 0;
  let dueAt = 0;
  /** When the next dialogue was first due: a skipped one counts as late, too. */
  let owedAt = 0;
  let failures = 0;
  /** Line time of the latest dialogue. */
  let spentMs = 0;
  /** How long others waited while it measured; they get the line first for as long. */
  let restMs = 0;

  const charge = (ms: number): void => {
    const now = clock.monotonicMs();
    busTime.add(ms, now);
    demand.add(ms, now);
    siloTime.spent(ms);
    spentMs += ms;
  };

  const give = ({ values, quality, outcome, ...rest }: DialogueResult): void => {
    const owed = freshness.owed().filter((name) => !(name in values) && !(name in quality));
    const why: Quality = outcome === 'good' ? 'invalid' : outcome;
    const all = { ...quality, ...Object.fromEntries(owed.map((name) => [name, why])) };
    const isPartial = Object.keys(all).length > 0;
    if (outcome === 'good') statistics.took({ ...rest, values, quality: all });
    const stamp = { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
    const sample = { ...stamp, values, ...(isPartial && { quality: all }) };
    statistics.gave(sample);
    deliver({ device: device.name, ...sample });
  };

  const settle = (result: DialogueResult): void => {
    const { outcome, answerMs, isNoisy, reason } = result;
    if (isNoisy) statistics.met('noise');
    if (unread.kind === 'unknown') statistics.met('unknown');
    if (answerMs !== null) {
      const before = statistics.status.answerMs ?? answerMs;
      statistics.status.answerMs = before + smoothing * (answerMs - before);
    }
    if (outcome === 'good') {
      failures = 0;
      freshness.saw([...Object.keys(result.values), ...Object.keys(result.quality)], clock.monotonicMs());
    } else {
      failures += 1;
      messages.suspect();
      const why = reason ?? unread.describe() ?? 'no answer in time';
      statistics.failed(outcome, outcome === 'offline' ? portGone : why);
    }
    give(result);
  };

  /** When to try again, if the silo's share does not allow it now. */
  const poll = async (own: number, turn: Turn): Promise<number | null> => {
    if (own !== life) return null;
    const overShareUntilMs = siloTime.overShareUntilMs();
    if (overShareUntilMs !== null) return overShareUntilMs;
    await line.quiet();
    if (own !== life) return null;
    spentMs = 0;
    turn.begin(charge);
    const begunAt = clock.monotonicMs();
    lateness.add(begunAt - owedAt, begunAt);
    statistics.status.requests += 1;
    const result = await dialogue.run(turn);
    restMs = outlets.isAlone() ? 0 : result.heldMs;
    if (own === life) settle(result);
    return null;
  };

  const pollAt = (at: number): void => {
    dueAt = at;
    tryAt(Math.max(at, clock.monotonicMs() + restMs));
  };

  const tryAt = (at: number): void => {
    const own = life;
    cancelNext = clock.after(at - clock.monotonicMs(), () => {
      const polled = line
        .turn((turn) => poll(own, turn))
        .then((overShareUntilMs) => {
          if (own !== life) return;
          if (overShareUntilMs === null) pollAt(nextDueAt());
          else tryAt(overShareUntilMs);
        });
      // The port was lost during the dialogue, or an internal fault: the next poll comes anyway.
      inBackground(polled, (error) => {
        failures += 1;
        statistics.failed('offline', describeError(error));
        if (own === life) pollAt(nextDueAt());
      });
    });
  };

  /** The next place on the grid of its interval, or after a growing pause where it keeps failing. */
  const nextDueAt = (): number => {
    const now = clock.monotonicMs();
    const pause = { initialMs: everyMs, maxMs: Math.max(everyMs, retryMaxMs), jitter: 0 };
    if (failures > 1) return (owedAt = now + backoffMs(failures, pause, 0));
    const missed = Math.floor((now - dueAt) / everyMs);
    owedAt = dueAt + everyMs;
    demand.add(missed * spentMs, now);
    return dueAt + (missed + 1) * everyMs;
  };

  const watch = createAbsenceCheck(clock, everyMs, () => {
    statistics.failed('offline', portGone);
    give({ outcome: 'offline', values: {}, quality: {}, answerMs: null, isNoisy: false, heldMs: 0 });
    return true;
  });

  const retire = (): void => {
    life += 1;
    watch.stop();
    cancelNext();
  };

  const end = (): void => {
    retire();
    dialogue.abort();
  };

  return {
    opened: () => {
      end();
      failures = 0;
      restMs = 0;
      owedAt = clock.monotonicMs();
      pollAt(owedAt);
    },
    lost: () => {
      end();
      watch.begin(0);
    },
    receive: (bytes) => dialogue.receive(bytes),
    stop: end,
    retire: () => {
      retire();
      dialogue.finish();
    },
    demand: () => {
      line.settle();
      return demand.ratio(clock.monotonicMs());
    },
    status: () => {
      line.settle();
      const now = clock.monotonicMs();
      const measuring = dialogue.measuring();
      const status = statistics.snapshot();
      return {
        ...status,
        ...(status.state === 'starting' &&
          measuring !== null && { state: 'measuring', reason: describeMeasuring(measuring, now) }),
        identity: messages.identity,
        latenessMs: Math.round(lateness.max(now)),
        usualLatenessMs: Math.round(lateness.mean(now)),
        busShare: busTime.share(now),
      };
    },
  };
}

const portGone = 'the port is not there';
