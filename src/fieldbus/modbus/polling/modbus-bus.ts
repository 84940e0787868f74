import { inBackground } from '../../../base/background.ts';
import type { Cancel } from '../../../base/clock.ts';
import { describeError } from '../../../base/error.ts';
import { isSameDevice } from '../../device-equality.ts';
import { identityNotes } from '../../identity-notes.ts';
import type { Outcome, StrayListener, Transaction } from '../modbus-client.ts';
import { createClient } from '../modbus-endpoint.ts';
import { withoutPlaces } from '../modbus-device.ts';
import type { DrivenBus, DriverDependencies } from '../../driver.ts';
import type { ModbusBusOptions, ModbusDeviceOptions } from '../../options.ts';
import { timingOf } from '../planning/request-cost.ts';
import type { PortState } from '../../port/port.ts';
import { deadShareOf } from '../../sharing/bus-share.ts';
import type { BusDevice } from './bus-device.ts';
import { charge, decide, silosOverShare, openLedger } from './scheduler.ts';
import { deadShareEach } from './device-health.ts';
import { SharedPort } from '../../port/shared-port.ts';
import { IdentifiedDevice } from './identified-device.ts';
import { loadWith, SlidingMinute } from '../../sharing/sliding-minute.ts';
import { PolledDevice } from './polled-device.ts';
import { createSiloUse } from '../../sharing/silo-use.ts';
import { DeviceLog } from './device-log.ts';
import { SunSpecDevice } from './sunspec-device.ts';

/** Pause after an internal fault, before the next poll of any device of the bus. */
const surpriseMs = 1000;

/** The bus time charged to a request: not its wait for others, but the delay that it causes others. */
function costOf({ queuedMs = 0, ...outcome }: Outcome, tookMs: number): number {
  const holdsMs = outcome.kind === 'fault' ? (outcome.holdsMs ?? 0) : 0;
  return Math.max(0, tookMs - queuedMs) + holdsMs;
}

/** Polls the devices of one bus: `decide` chooses the device, the client sends. It starts without devices. */
export function createModbusBus(
  bus: ModbusBusOptions,
  { port, clock, logger, lateAnswers, deliver, onShare, onIdentity }: DriverDependencies,
): DrivenBus<ModbusDeviceOptions> {
  const startedAt = clock.monotonicMs();
  const busy = new SlidingMinute(startedAt);
  const use = createSiloUse(clock, onShare);
  let devices: BusDevice[] = [];
  let logs = new Map<BusDevice, DeviceLog>();
  let ledger = openLedger([], new Map(), startedAt);
  let inFlight = 0;
  /** Why the port was lost, until it has been opened again. */
  let lostReason: string | null = null;
  let wasIdle = false;
  let stopped = false;
  let cancelTimer: Cancel = () => {};
  let tellFinished: () => void = () => {};

  const onStray: StrayListener = (unitId, kind) => {
    for (const device of devices) if (device.options.unitId === unitId) device.countStray(kind);
    // Devices that waited for the port may go on.
    if (kind === 'late') pump();
  };
  const onAlive = (unitId: number): void => {
    for (const device of devices) if (device.options.unitId === unitId) device.endAbsence();
    pump();
  };
  const client = createClient(bus, port, { clock, onStray, onAlive, lateAnswers });

  const sharing = new SharedPort(port);

  const deviceOf = (options: ModbusDeviceOptions): BusDevice => {
    const pipeline = bus.kind === 'modbus-tcp' ? bus.pipeline : 1;
    const { discover } = options;
    const now = clock.monotonicMs();
    const notes = identityNotes(options, { clock, logger, onIdentity });
    if (discover !== undefined)
      return new SunSpecDevice({ ...options, discover }, timingOf(bus), pipeline, now, notes);
    const device = new PolledDevice(options, timingOf(bus), pipeline, now);
    if (options.identify === undefined || options.identify === 'off') return device;
    return new IdentifiedDevice(device, options.identify, now, notes);
  };

  const logOf = ({ options: { name, silo } }: BusDevice): DeviceLog =>
    new DeviceLog(logger.with({ device: name, silo }), clock.monotonicMs());

  const pump = (): void => {
    cancelTimer();
    if (stopped || devices.length === 0) return;
    reportOffline();
    let untilMs = Math.min(...devices.filter(isUnreachable).map(({ reportAtMs }) => reportAtMs));
    while ((port.state.kind === 'open' || port.state.kind === 'idle') && inFlight < client.concurrency) {
      const now = clock.monotonicMs();
      const shareOf = deadShares();
      const askable = devices.flatMap((device) => {
        const share = shareOf(device);
        const candidate = device.candidate(share, client.holdMs);
        if (candidate === null) return [];
        const readyAtMs = Math.max(candidate.readyAtMs, client.againAtMs(device.options.unitId));
        return [{ device, share, candidate: { ...candidate, readyAtMs } }];
      });
      const candidates = askable.map(({ candidate }) => candidate);
      for (const [silo, overShareUntilMs] of silosOverShare(candidates, ledger, now))
        use.hold(silo, overShareUntilMs);
      const decision = decide(candidates, ledger, bus.deadShareMax, now);
      if (decision.kind === 'wait') {
        untilMs = Math.min(untilMs, decision.untilMs);
        break;
      }
      if (port.state.kind === 'idle') return port.wake();
      const { device, share } = askable[decision.index]!;
      inBackground(ask(device, share), surprised);
    }
    if (untilMs < Infinity) cancelTimer = clock.after(untilMs - clock.monotonicMs(), pump);
  };

  /** Bus time of each dead device in one longest pause: its part of the limit for all, and of its silo's. */
  const deadShares = (): ((device: BusDevice) => number) => {
    const { deadShareMax } = bus;
    const dead = devices.filter(({ isDead }) => isDead);
    const each = deadShareEach(deadShareMax, dead.length);
    if (dead.length === 0 || ledger.budget.size === 0) return () => each;
    return ({ options: { silo } }) => {
      const ofSilo = dead.filter(({ options }) => options.silo === silo).length;
      return Math.min(each, deadShareEach(deadShareOf(ledger.budget, silo, deadShareMax), ofSilo));
    };
  };

  const isUnreachable = (device: BusDevice): boolean => {
    const { kind } = port.state;
    return kind === 'open' || kind === 'idle' ? device.isDead : lostReason !== null;
  };

  /** Reports the due points of devices that can't be asked, on time. */
  const reportOffline = (): void => {
    for (const device of devices.filter(isUnreachable)) {
      const sample = device.offlineSample(lostReason, clock.monotonicMs(), clock.wallMs());
      if (sample) deliver(device.options.silo, sample);
    }
  };

  /** Reopens a connection that the peer closed after use, for a request that was just sent. */
  const transact = async (transaction: Transaction): Promise<Outcome> => {
    const outcome = await client.transact(transaction);
    if (outcome.kind !== 'offline' || port.state.kind !== 'idle' || stopped) {
      return sharing.explain(outcome, clock.monotonicMs());
    }
    await reopened();
    return client.transact(transaction);
  };

  const reopened = (): Promise<void> =>
    new Promise((resolve) => {
      const cancel = port.onState(({ kind }) => {
        if (kind === 'opening') return;
        cancel();
        resolve();
      });
      port.wake();
    });

  const ask = async (device: BusDevice, share: number): Promise<void> => {
    const { silo } = device.options;
    const next = device.next(share, clock.monotonicMs(), clock.wallMs());
    if (next.kind === 'tell') return deliver(silo, next.sample);
    const { transaction, request, dead } = next;
    const askedAt = clock.monotonicMs();
    inFlight += 1;
    const outcome = await transact(transaction).finally(() => {
      inFlight -= 1;
    });
    if (inFlight === 0) port.endTurn();
    const now = clock.monotonicMs();
    const costMs = costOf(outcome, now - askedAt) / client.concurrency;
    busy.add(costMs, now);
    use.add(silo, costMs);
    ledger = charge(ledger, { silo, dead, costMs }, bus.deadShareMax, now);
    const sample = device.take(request, outcome, costMs, now, clock.wallMs());
    if (stopped) return inFlight === 0 ? tellFinished() : undefined;
    if (devices.includes(device)) {
      if (sample) deliver(silo, sample);
      // If the port is lost, its own log line covers all devices.
      if (port.state.kind === 'open')
        logs.get(device)?.note(device.state, () => device.status(now).reason, now);
    }
    pump();
  };

  /** An internal fault costs one poll; the bus goes on a second later. */
  const surprised = (error: unknown): void => {
    logger.error('a poll failed by a fault of our own', { reason: describeError(error) });
    cancelTimer();
    if (!stopped) cancelTimer = clock.after(surpriseMs, pump);
    else if (inFlight === 0) tellFinished();
  };

  const noteState = (state: PortState): void => {
    if (state.kind === 'open') lostReason = null;
    if (state.kind === 'lost') lostReason = state.reason;
  };
  const cancelState = port.onState((state) => {
    const isBroken = state.kind === 'lost' || (state.kind === 'idle' && state.byPeer === true);
    if (isBroken) for (const device of devices) device.lost?.();
    // A connection that was closed when idle, or after each answer, was not lost.
    if (state.kind === 'open' && !wasIdle) for (const device of devices) device.endPause();
    if (state.kind !== 'opening') wasIdle = state.kind === 'idle';
    noteState(state);
    pump();
  });
  noteState(port.state);

  const stop = (): void => {
    stopped = true;
    cancelState();
    cancelTimer();
    use.stop();
  };

  return {
    assign: (wanted, shares) => {
      const before = devices;
      const silos = [...new Set(wanted.map(({ silo }) => silo))];
      devices = wanted.map(
        (each) => before.find(({ options }) => isSameDevice(options, each, withoutPlaces)) ?? deviceOf(each),
      );
      logs = new Map(devices.map((device) => [device, logs.get(device) ?? logOf(device)]));
      ledger = openLedger(silos, shares, clock.monotonicMs(), ledger);
      use.assign(silos, shares);
      pump();
    },
    stop,
    finish: () => {
      use.assign([], new Map());
      stop();
      return new Promise((resolve) => {
        tellFinished = resolve;
        if (inFlight === 0) resolve();
      });
    },
    devices: () => devices.map((device) => device.status(clock.monotonicMs())),
    silos: () => use.status(),
    load: () => {
      const now = clock.monotonicMs();
      return loadWith(
        busy.share(now),
        devices.map((device) => device.demand(now)),
      );
    },
  };
}
