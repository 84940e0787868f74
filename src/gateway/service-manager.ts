import type { Clock } from '../base/clock.ts';

/** What systemd is told (sd_notify(3)). Without a service manager, telling it is a no-op. */
export interface ServiceManager {
  ready(): void;
  reloading(): void;
  stopping(): void;
  close(): void;
}

/** However short a time the environment names, so often at most: a sign of life is no work to live by. */
const signOfLifeMsMin = 100;

const absent: ServiceManager = { ready() {}, reloading() {}, stopping() {}, close() {} };

/**
 * Speaks to systemd through its own library: the protocol is a datagram on a Unix socket, which Node can't
 * send. Where the unit sets WatchdogSec, a sign of life follows twice in that time from this event loop, so
 * that a gateway that hangs is restarted.
 */
export async function connectServiceManager(
  clock: Clock,
  environment = process.env,
): Promise<ServiceManager> {
  if (environment['NOTIFY_SOCKET'] === undefined) return absent;
  const { default: koffi } = await import('koffi');
  const notify = koffi
    .load('libsystemd.so.0')
    .func('int sd_notify(int unset_environment, const char *state)');
  const tell = (state: string): void => {
    notify(0, state);
  };

  const watchdogMs = Number(environment['WATCHDOG_USEC'] ?? 0) / 1000;
  let cancel = (): void => {};
  let isClosed = false;
  const heartbeat = (): void => {
    cancel();
    tell('WATCHDOG=1');
    cancel = clock.after(Math.max(signOfLifeMsMin, watchdogMs / 2), heartbeat);
  };

  return {
    // Only now systemd counts, and a start that fails must not be kept alive by a timer.
    ready: () => {
      if (isClosed) return;
      tell('READY=1');
      if (watchdogMs > 0) heartbeat();
    },
    reloading: () => tell(`RELOADING=1\nMONOTONIC_USEC=${Math.round(clock.monotonicMs() * 1000)}`),
    stopping: () => tell('STOPPING=1'),
    close: () => {
      isClosed = true;
      cancel();
    },
  };
}
