import { inBackground } from '../../../base/background.ts';
import type { Cancel } from '../../../base/clock.ts';
import { describeError } from '../../../base/error.ts';
import { isSameDevice } from '../../device-equality.ts';
import { identityNotes } from '../../identity-notes.ts';
import type { DeviceStatus, BusSiloStatus } from '../../../status/status.ts';
import type { ModbusClient, Outcome, StrayKind, Transaction } from '../modbus-client.ts';
import { createClient } from '../modbus-endpoint.ts';
import { withoutPlaces } from '../modbus-device.ts';
import type { DrivenBus, DriverDependencies } from '../../driver.ts';
import type { BusShares, ModbusBusOptions, ModbusDeviceOptions } from '../../options.ts';
import { timingOf } from '../planning/request-cost.ts';
import type { PortState } from '../../port/port.ts';
import { deadShareOf } from '../../sharing/bus-share.ts';
import type { BusDevice } from './bus-device.ts';
import { charge, decide, type Ledger, openLedger, silosOverShare } from './scheduler.ts';
import { deadShareEach } from './device-health.ts';
import { SharedPort } from '../../port/shared-port.ts';
import { IdentifiedDevice } from './identified-device.ts';
import { loadWith, SlidingMinute } from '../../sharing/sliding-minute.ts';
import { PolledDevice } from './polled-device.ts';
import { createSiloUse, type SiloUse } from '../../sharing/silo-use.ts';
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
  dependencies: DriverDependencies,
): DrivenBus<ModbusDeviceOptions> {
  return new ModbusBus(bus, dependencies);
}

class ModbusBus implements DrivenBus<ModbusDeviceOptions> {
  readonly #bus: ModbusBusOptions;
  readonly #dependencies: DriverDependencies;
  readonly #client: ModbusClient;
  readonly #sharing: SharedPort;
  readonly #busy: SlidingMinute;
  readonly #use: SiloUse;
  #devices: BusDevice[] = [];
  #logs = new Map<BusDevice, DeviceLog>();
  #ledger: Ledger;
  #inFlight = 0;
  /** Why the port was lost, until it has been opened again. */
  #lostReason: string | null = null;
  #wasIdle = false;
  #stopped = false;
  #cancelTimer: Cancel = () => {};
  readonly #cancelState: Cancel;
  #finished: () => void = () => {};

  constructor(bus: ModbusBusOptions, dependencies: DriverDependencies) {
    const { port, clock, lateAnswers, onShare } = dependencies;
    const startedAt = clock.monotonicMs();
    this.#bus = bus;
    this.#dependencies = dependencies;
    this.#busy = new SlidingMinute(startedAt);
    this.#use = createSiloUse(clock, onShare);
    this.#ledger = openLedger([], new Map(), startedAt);
    this.#client = createClient(bus, port, {
      clock,
      lateAnswers,
      onStray: (unitId, kind) => this.#strayed(unitId, kind),
      onAlive: (unitId) => this.#alive(unitId),
    });
    this.#sharing = new SharedPort(port);
    this.#cancelState = port.onState((state) => this.#follow(state));
    this.#noteState(port.state);
  }

  assign(wanted: readonly ModbusDeviceOptions[], shares: BusShares): void {
    const before = this.#devices;
    const silos = [...new Set(wanted.map(({ silo }) => silo))];
    this.#devices = wanted.map(
      (each) =>
        before.find(({ options }) => isSameDevice(options, each, withoutPlaces)) ?? this.#deviceOf(each),
    );
    this.#logs = new Map(
      this.#devices.map((device) => [device, this.#logs.get(device) ?? this.#logOf(device)]),
    );
    this.#ledger = openLedger(silos, shares, this.#nowMs(), this.#ledger);
    this.#use.assign(silos, shares);
    this.#pump();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelState();
    this.#cancelTimer();
    this.#use.stop();
  }

  finish(): Promise<void> {
    this.#use.assign([], new Map());
    this.stop();
    return new Promise((resolve) => {
      this.#finished = resolve;
      if (this.#inFlight === 0) resolve();
    });
  }

  devices(): DeviceStatus[] {
    return this.#devices.map((device) => device.status(this.#nowMs()));
  }

  silos(): BusSiloStatus[] {
    return this.#use.status();
  }

  load(): number {
    const now = this.#nowMs();
    return loadWith(
      this.#busy.share(now),
      this.#devices.map((device) => device.demand(now)),
    );
  }

  #nowMs(): number {
    return this.#dependencies.clock.monotonicMs();
  }

  #strayed(unitId: number, kind: StrayKind): void {
    for (const device of this.#devices) if (device.options.unitId === unitId) device.countStray(kind);
    // Devices that waited for the port may go on.
    if (kind === 'late') this.#pump();
  }

  #alive(unitId: number): void {
    for (const device of this.#devices) if (device.options.unitId === unitId) device.endAbsence();
    this.#pump();
  }

  #deviceOf(options: ModbusDeviceOptions): BusDevice {
    const bus = this.#bus;
    const pipeline = bus.kind === 'modbus-tcp' ? bus.pipeline : 1;
    const { discover } = options;
    const now = this.#nowMs();
    const notes = identityNotes(options, this.#dependencies);
    if (discover !== undefined)
      return new SunSpecDevice({ ...options, discover }, timingOf(bus), pipeline, now, notes);
    const device = new PolledDevice(options, timingOf(bus), pipeline, now);
    if (options.identify === undefined || options.identify === 'off') return device;
    return new IdentifiedDevice(device, options.identify, now, notes);
  }

  #logOf({ options: { name, silo } }: BusDevice): DeviceLog {
    return new DeviceLog(this.#dependencies.logger.with({ device: name, silo }), this.#nowMs());
  }

  #pump(): void {
    const { port, clock } = this.#dependencies;
    this.#cancelTimer();
    if (this.#stopped || this.#devices.length === 0) return;
    this.#reportOffline();
    const unreachable = this.#devices.filter((device) => this.#isUnreachable(device));
    let untilMs = Math.min(...unreachable.map(({ reportAtMs }) => reportAtMs));
    while (this.#isAskable && this.#inFlight < this.#client.concurrency) {
      const next = this.#choose();
      if (next.kind === 'wait') {
        untilMs = Math.min(untilMs, next.untilMs);
        break;
      }
      if (port.state.kind === 'idle') return port.wake();
      inBackground(this.#ask(next.device, next.share), (error) => this.#surprised(error));
    }
    if (untilMs < Infinity)
      this.#cancelTimer = clock.after(untilMs - clock.monotonicMs(), () => this.#pump());
  }

  get #isAskable(): boolean {
    const { kind } = this.#dependencies.port.state;
    return kind === 'open' || kind === 'idle';
  }

  /** The device whose turn it is, or how long none has one. */
  #choose(): { kind: 'wait'; untilMs: number } | { kind: 'ask'; device: BusDevice; share: number } {
    const now = this.#nowMs();
    const shareOf = this.#deadShares();
    const askable = this.#devices.flatMap((device) => {
      const share = shareOf(device);
      const candidate = device.candidate(share, this.#client.holdMs);
      if (candidate === null) return [];
      const readyAtMs = Math.max(candidate.readyAtMs, this.#client.againAtMs(device.options.unitId));
      return [{ device, share, candidate: { ...candidate, readyAtMs } }];
    });
    const candidates = askable.map(({ candidate }) => candidate);
    for (const [silo, untilMs] of silosOverShare(candidates, this.#ledger, now)) {
      this.#use.hold(silo, untilMs);
    }
    const decision = decide(candidates, this.#ledger, this.#bus.deadShareMax, now);
    if (decision.kind === 'wait') return decision;
    const { device, share } = askable[decision.index]!;
    return { kind: 'ask', device, share };
  }

  /** Bus time of each dead device in one longest pause: its part of the limit for all, and of its silo's. */
  #deadShares(): (device: BusDevice) => number {
    const { deadShareMax } = this.#bus;
    const dead = this.#devices.filter(({ isDead }) => isDead);
    const each = deadShareEach(deadShareMax, dead.length);
    const { budget } = this.#ledger;
    if (dead.length === 0 || budget.size === 0) return () => each;
    return ({ options: { silo } }) => {
      const ofSilo = dead.filter(({ options }) => options.silo === silo).length;
      return Math.min(each, deadShareEach(deadShareOf(budget, silo, deadShareMax), ofSilo));
    };
  }

  #isUnreachable(device: BusDevice): boolean {
    return this.#isAskable ? device.isDead : this.#lostReason !== null;
  }

  /** Reports the due points of devices that can't be asked, on time. */
  #reportOffline(): void {
    const { clock, deliver } = this.#dependencies;
    for (const device of this.#devices.filter((each) => this.#isUnreachable(each))) {
      const sample = device.offlineSample(this.#lostReason, clock.monotonicMs(), clock.wallMs());
      if (sample) deliver(device.options.silo, sample);
    }
  }

  /** Reopens a connection that the peer closed after use, for a request that was just sent. */
  async #transact(transaction: Transaction): Promise<Outcome> {
    const outcome = await this.#client.transact(transaction);
    if (outcome.kind !== 'offline' || this.#dependencies.port.state.kind !== 'idle' || this.#stopped) {
      return this.#sharing.explain(outcome, this.#nowMs());
    }
    await this.#reopened();
    return this.#client.transact(transaction);
  }

  #reopened(): Promise<void> {
    const { port } = this.#dependencies;
    return new Promise((resolve) => {
      const cancel = port.onState(({ kind }) => {
        if (kind === 'opening') return;
        cancel();
        resolve();
      });
      port.wake();
    });
  }

  async #ask(device: BusDevice, share: number): Promise<void> {
    const { clock, deliver, port } = this.#dependencies;
    const { silo } = device.options;
    const next = device.next(share, clock.monotonicMs(), clock.wallMs());
    if (next.kind === 'tell') return deliver(silo, next.sample);
    const { transaction, request, dead } = next;
    const askedAt = clock.monotonicMs();
    this.#inFlight += 1;
    const outcome = await this.#transact(transaction).finally(() => {
      this.#inFlight -= 1;
    });
    if (this.#inFlight === 0) port.endTurn();
    const now = clock.monotonicMs();
    const costMs = costOf(outcome, now - askedAt) / this.#client.concurrency;
    this.#charge(silo, dead, costMs, now);
    const sample = device.take(request, outcome, costMs, now, clock.wallMs());
    if (this.#stopped) return this.#inFlight === 0 ? this.#finished() : undefined;
    if (this.#devices.includes(device)) {
      if (sample) deliver(silo, sample);
      // If the port is lost, its own log line covers all devices.
      if (port.state.kind === 'open')
        this.#logs.get(device)?.note(device.state, () => device.status(now).reason, now);
    }
    this.#pump();
  }

  #charge(silo: string, dead: boolean, costMs: number, now: number): void {
    this.#busy.add(costMs, now);
    this.#use.add(silo, costMs);
    this.#ledger = charge(this.#ledger, { silo, dead, costMs }, this.#bus.deadShareMax, now);
  }

  /** An internal fault costs one poll; the bus goes on a second later. */
  #surprised(error: unknown): void {
    const { clock, logger } = this.#dependencies;
    logger.error('a poll failed by a fault of our own', { reason: describeError(error) });
    this.#cancelTimer();
    if (!this.#stopped) this.#cancelTimer = clock.after(surpriseMs, () => this.#pump());
    else if (this.#inFlight === 0) this.#finished();
  }

  #noteState(state: PortState): void {
    if (state.kind === 'open') this.#lostReason = null;
    if (state.kind === 'lost') this.#lostReason = state.reason;
  }

  #follow(state: PortState): void {
    const isBroken = state.kind === 'lost' || (state.kind === 'idle' && state.byPeer === true);
    if (isBroken) for (const device of this.#devices) device.lost?.();
    // A connection that was closed when idle, or after each answer, was not lost.
    if (state.kind === 'open' && !this.#wasIdle) for (const device of this.#devices) device.endPause();
    if (state.kind !== 'opening') this.#wasIdle = state.kind === 'idle';
    this.#noteState(state);
    this.#pump();
  }
}
