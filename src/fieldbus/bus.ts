import { type Clock, sleep } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Sample } from '../reading/sample.ts';
import type { BusStatus } from '../status/status.ts';
import type { Driver } from './driver.ts';
import type { IdentityListener } from './identity-notes.ts';
import type { LateAnswers } from './modbus/unanswered.ts';
import type { BusOptions, BusShares, DeviceOptions } from './options.ts';
import { createPort, type OpenChannel, type PortState } from './port/port.ts';
import type { ShareListener } from './sharing/share-events.ts';

export interface BusDependencies {
  driver: Driver;
  clock: Clock;
  logger: Logger;
  openChannel: (bus: BusOptions) => OpenChannel;
  lateAnswers: LateAnswers;
  deliver: (silo: string, sample: Sample) => void;
  onShare: ShareListener;
  onIdentity: IdentityListener;
}

/** One bus of any kind, with its port. */
export interface Bus {
  readonly options: BusOptions;
  /** Replaces devices and shares; the port stays open, and unchanged devices continue undisturbed. */
  assign(devices: readonly DeviceOptions[], shares: BusShares): void;
  status(): BusStatus;
  /** Waits for answers on their way until `signal` aborts, discards them, then closes the port. */
  finish(signal: AbortSignal): Promise<void>;
  /** Closes the port at once. */
  stop(): Promise<void>;
}

/**
 * No wait for late answers is longer, because the user who changed the configuration is waiting. What answers after
 * that is recognised by the line's memory (modbus/unanswered.ts).
 */
const finishMsMax = 5000;

/** Opens the port, and polls nothing before it has devices. */
export function startBus(options: BusOptions, dependencies: BusDependencies): Bus {
  const { driver, clock, logger, openChannel, ...outlets } = dependencies;
  const log = logger.with({ bus: options.name });
  let idleCloseMs = 0;
  const port = createPort(openChannel(options), {
    clock,
    logger: log,
    idleCloseMs: () => idleCloseMs,
    connectDelayMs: options.connectDelayMs ?? 0,
    isConnection: 'connectTimeoutMs' in options,
  });
  let line: LineState = { state: 'opening', reason: null, atMs: clock.monotonicMs() };
  const follow = (state: PortState): void => {
    line = nextLineState(line, state, clock.monotonicMs());
  };
  port.onState(follow);
  follow(port.state);
  const running = driver.start(options, { ...outlets, port, clock, logger: log });
  const stop = async (): Promise<void> => {
    running.stop();
    await port.close();
  };
  return {
    options,
    assign: (devices, shares) => {
      if ('idleCloseMs' in options) idleCloseMs = idleAfterAnswers(options.idleCloseMs, devices);
      running.assign(
        devices.filter(({ kind }) => kind === driver.deviceKind),
        shares,
      );
    },
    status: () => ({
      name: options.name,
      kind: options.kind,
      state: line.state,
      reason: line.reason,
      forMs: Math.round(clock.monotonicMs() - line.atMs),
      load: running.load(),
      devices: running.devices(),
      silos: running.silos(),
    }),
    finish: async (signal) => {
      const enough = new AbortController();
      await Promise.race([
        running.finish(),
        sleep(clock, finishMsMax, AbortSignal.any([signal, enough.signal])),
      ]);
      enough.abort();
      await stop();
    },
    stop,
  };
}

/** The port as a person sees it, and when it became so. */
interface LineState {
  state: BusStatus['state'];
  reason: string | null;
  atMs: number;
}

/** A lost port that is being reopened still counts as lost, and an idle one that is being reopened as open. */
function nextLineState(line: LineState, port: PortState, nowMs: number): LineState {
  if (port.kind === 'opening') return line;
  const state = port.kind === 'idle' ? 'open' : port.kind;
  const reason = port.kind === 'lost' ? port.reason : null;
  return { state, reason, atMs: state === line.state ? line.atMs : nowMs };
}

/** A connection with a request in flight is not idle. */
function idleAfterAnswers(idleCloseMs: number, devices: readonly DeviceOptions[]): number {
  const timeouts = devices.map(({ responseTimeoutMs }) => responseTimeoutMs);
  return idleCloseMs === 0 ? 0 : Math.max(idleCloseMs, ...timeouts);
}
