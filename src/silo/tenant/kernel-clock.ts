import { readFileSync } from 'node:fs';
import koffi from 'koffi';

/** struct timex is 208 bytes on 64-bit Linux; a little room costs nothing. */
const timexBytes = 256;
/** adjtimex(2) answers TIME_ERROR while the clock is not synchronized. */
const timeError = 5;

const adjtimex = koffi.load('libc.so.6').func('int adjtimex(void *buffer)');

/** The kernel's synchronization flag (adjtimex(2) with modes = 0 only reads). */
export function kernelSynchronized(): boolean {
  const state = adjtimex(Buffer.alloc(timexBytes)) as number;
  return state >= 0 && state !== timeError;
}

/** True if the kernel took its time from a hardware clock at boot (CONFIG_RTC_HCTOSYS). */
export function setFromHardwareClock(): boolean {
  return readTrimmed('/sys/class/rtc/rtc0/hctosys') === '1';
}

/** Identifies this boot: monotonic times of different boots cannot be compared. */
export function readBootId(): string {
  return readTrimmed('/proc/sys/kernel/random/boot_id') ?? 'unknown';
}

function readTrimmed(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
