import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { SpoolOptions } from '../../src/spool/options.ts';
import { type EncodedSample, type KeyWrapper, Spool, type SpoolDependencies } from '../../src/spool/spool.ts';
import type { PublishedSample } from '../../src/messages/telemetry.ts';
import { owned } from './owned-origin.ts';
import { type CleanUp, temporaryDirectory } from './temporary-directory.ts';

/** Replaces identity/'s wrapper: AES-256-GCM under a key made from `secret`, as quick as tests want it. */
export function testKeys(secret: string): KeyWrapper {
  const key = createHash('sha256').update(secret).digest();
  return {
    keyId: `test-${secret}`,
    wrap: async (dataKey) => {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      const wrapped = Buffer.concat([cipher.update(dataKey), cipher.final()]);
      return Buffer.concat([nonce, wrapped, cipher.getAuthTag()]).toString('base64url');
    },
    unwrap: async (jwe) => {
      const bytes = Buffer.from(jwe, 'base64url');
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12));
      decipher.setAuthTag(bytes.subarray(-16));
      return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
    },
  };
}

export const acme = owned({ tenant: 'acme', gateway: 'acme_gw-0001' });

/** As `temporaryDirectory`, on no disk where that can be had: for tests of many files and no power cut. */
export function directoryInMemory(t: CleanUp): string {
  return temporaryDirectory(t, existsSync('/dev/shm') ? '/dev/shm' : tmpdir());
}

export function spoolDependencies(changes: Partial<SpoolDependencies> = {}): SpoolDependencies {
  return { origin: acme, keys: testKeys('acme'), clock: systemClock, logger: silentLogger, ...changes };
}

export function spoolOptions(directory: string, changes: Partial<SpoolOptions> = {}): SpoolOptions {
  return { directory, bytesMax: 4_000_000, whenFull: 'drop-oldest', keyPeriodMs: 86_400_000, ...changes };
}

export function openTestSpool(
  directory: string,
  options: Partial<SpoolOptions> = {},
  deps: Partial<SpoolDependencies> = {},
): Promise<Spool> {
  return Spool.open(spoolOptions(directory, options), spoolDependencies(deps));
}

/** One sample; `noise` random bytes in it keep zstd from making it small. */
export function testSample(ts: number, noise = 0): EncodedSample {
  const sample: PublishedSample = {
    device: 'main-meter',
    ts,
    values: { voltage_l1: 230.4, ...(noise > 0 && { noise: randomBytes(noise).toString('base64') }) },
  };
  return { json: JSON.stringify(sample), ts };
}
