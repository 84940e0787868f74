import { promisify } from 'node:util';

/** struct passwd is 48 bytes on Linux x64 and arm64, and begins with `char *pw_name`. */
const passwdBytes = 48;
/** A directory's entry with a long comment and home is still some hundred bytes. */
const textBytes = 16_384;

/**
 * The name of a local user, of a directory's or of a service's dynamic one (getpwuid_r(3): what nsswitch.conf
 * names is asked); the number itself if no source knows it. A directory may be slow: the look-up runs off this thread.
 */
export async function userName(uid: number): Promise<string> {
  try {
    const { default: koffi } = await import('koffi');
    const getpwuid = koffi
      .load(null)
      .func('int getpwuid_r(uint32_t uid, uint8_t *entry, uint8_t *text, size_t size, _Out_ void **found)');
    // One piece of memory, which the use of `entry` below keeps alive while the call runs.
    const entry = Buffer.alloc(passwdBytes + textBytes);
    const text = entry.subarray(passwdBytes);
    const found: [bigint | null] = [null];
    const failed: unknown = await promisify(getpwuid.async)(uid, entry, text, textBytes, found);
    if (failed !== 0 || found[0] === null) return String(uid);
    return koffi.decode(entry, 'const char *') as string;
  } catch {
    return String(uid);
  }
}
