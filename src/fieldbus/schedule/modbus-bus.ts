import type { Cancel, Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Sample } from '../../reading/sample.ts';
import type { DeviceStatus } from '../../reading/status.ts';
import type { StrayListener } from '../modbus/client.ts';
import { createClient, type ModbusBusOptions } from '../modbus/open-bus.ts';
import type { ModbusDeviceOptions } from '../options.ts';
import { timingOf } from '../plan/cost.ts';
import type { Port } from '../port/port.ts';
import { type Contender, charge, decide, emptyLedger } from './decision.ts';
import { Minute } from './minute.ts';
import { deadShareEach, PolledDevice } from './polled-device.ts';
import { type BusDevice, SunSpecDevice } from './sunspec-device.ts';

export interface ModbusBusDependencies {
  port: Port;
  clock: Clock;
  logger: Logger;
  deliver: (silo: string, sample: Sample) => void;
}

export interface ModbusBus {
  /** Leaves the port open: whoever gave it closes it. */
  stop(): void;
  devices(): DeviceStatus[];
  /** Share of time the line was busy over the last minute, 0 to 1. */
  load(): number;
}

/** Polls the devices of one bus: asks `decide` whom, and the client to ask. */
export function createModbusBus(
  bus: ModbusBusOptions,
  options: readonly ModbusDeviceOptions[],
  { port, clock, logger, deliver }: ModbusBusDependencies,
): ModbusBus {
  const startedAt = clock.monotonicMs();
  const pipeline = bus.kind === 'modbus-tcp' ? bus.pipeline : 1;
  const devices = options.map((each): BusDevice => {
    const { discover } = each;
    if (discover === undefined) return new PolledDevice(each, timingOf(bus), pipeline, startedAt);
    return new SunSpecDevice({ ...each, discover }, timingOf(bus), pipeline, startedAt);
  });
  const busy = new Minute(startedAt);
  const silos = [...new Set(options.map(({ silo }) => silo))];
  let ledger = emptyLedger(silos, startedAt);
  let inFlight = 0;
  /** Until it has been opened, or opened again. */
  let isLost = false;
  let stopped = false;
  let cancelTimer: Cancel = () => {};

  const onStray: StrayListener = (unitId, kind) => {
    for (const device of devices) if (device.options.unitId === unitId) device.countStray(kind);
  };
  const client = createClient(bus, port, { clock, onStray });

  const pump = (): void => {
    cancelTimer();
    if (stopped || devices.length === 0) return;
    reportOffline();
    let untilMs = Math.min(...devices.filter(isUnreachable).map(({ reportAtMs }) => reportAtMs));
    while (port.state.kind === 'open' && inFlight < client.concurrency) {
      const now = clock.monotonicMs();
      const share = deadShareEach(bus.deadShareMax, devices.filter(({ isDead }) => isDead).length);
      const askable = devices.flatMap((device) => {
        const contender = device.contender(share);
        return contender ? [{ device, contender }] : [];
      });
      const contenders: Contender[] = askable.map(({ contender }) => contender);
      const decision = decide(contenders, ledger, bus.deadShareMax, now);
      if (decision.kind === 'wait') {
        untilMs = Math.min(untilMs, decision.untilMs);
        break;
      }
      void ask(askable[decision.index]!.device, share);
    }
    if (port.state.kind === 'idle') {
      untilMs = Math.min(...devices.map(({ dueAtMs }) => dueAtMs));
      if (untilMs <= clock.monotonicMs()) return port.wake();
    }
    if (untilMs < Infinity) cancelTimer = clock.after(untilMs - clock.monotonicMs(), pump);
  };

  const isUnreachable = (device: BusDevice): boolean => {
    const { kind } = port.state;
    return kind === 'open' || kind === 'idle' ? device.isDead : isLost;
  };

  /** What is due of those that can't be asked is reported on time all the same. */
  const reportOffline = (): void => {
    const reason = port.state.kind === 'lost' ? port.state.reason : null;
    for (const device of devices.filter(isUnreachable)) {
      const sample = device.offlineSample(reason, clock.monotonicMs(), clock.wallMs());
      if (sample) deliver(device.options.silo, sample);
    }
  };

  const ask = async (device: BusDevice, share: number): Promise<void> => {
    const { silo } = device.options;
    const next = device.next(share, clock.monotonicMs(), clock.wallMs());
    if (next.kind === 'tell') return deliver(silo, next.sample);
    const { transaction, request, dead } = next;
    const askedAt = clock.monotonicMs();
    inFlight += 1;
    const outcome = await client.transact(transaction);
    inFlight -= 1;
    const now = clock.monotonicMs();
    const costMs = (now - askedAt) / client.concurrency;
    busy.add(costMs, now);
    ledger = charge(ledger, { silo, dead, costMs }, bus.deadShareMax, now);
    const sample = device.take(request, outcome, costMs, now, clock.wallMs());
    if (sample && !stopped) deliver(silo, sample);
    if (device.isDead !== dead) logLife(device, now);
    pump();
  };

  const logLife = (device: BusDevice, now: number): void => {
    const { name, silo } = device.options;
    if (device.isDead)
      logger.warn('device offline', { device: name, silo, reason: device.status(now).reason });
    else logger.info('device back', { device: name, silo });
  };

  const cancelState = port.onState(({ kind }) => {
    if (kind === 'open') for (const device of devices) device.endPause();
    if (kind === 'open' || kind === 'lost') isLost = kind === 'lost';
    pump();
  });
  isLost = port.state.kind === 'lost';
  pump();

  return {
    stop: () => {
      stopped = true;
      cancelState();
      cancelTimer();
    },
    devices: () => devices.map((device) => device.status(clock.monotonicMs())),
    load: () => busy.share(clock.monotonicMs()),
  };
}
