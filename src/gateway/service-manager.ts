import type { Clock } from '../base/clock.ts';

/** Notifications to systemd (sd_notify(3)). Without a service manager each is a no-op. */
export interface ServiceManager {
  ready(): void;
  reloading(): void;
  stopping(): void;
  close(): void;
}

/** Lower bound of the keepalive interval, even if the environment asks for less: it must not become a load. */
const signOfLifeMsMin = 100;

const absent: ServiceManager = { ready() {}, reloading() {}, stopping() {}, close() {} };

/**
 * Notifies systemd through its own library: the protocol is a datagram on a Unix socket, which Node cannot send. If
 * the unit sets WatchdogSec, this event loop sends a keepalive twice in that time, so that systemd restarts a
 * gateway that hangs.
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
    // systemd counts only from here, and a timer must not keep a failed start alive.
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
