import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { MerestoneError } from '../base/error.ts';

/** A CA bundle of a Linux distribution has some 220 kB; more is a file that was named by mistake. */
const fileBytesMax = 1_000_000;

const blockPattern = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/g;

const hint = 'point uplink.ca at the CA certificate of the broker, in PEM';

/**
 * The CA certificates that the broker's must come from, one PEM each. Read for each connection, so that a CA can be
 * replaced under a running gateway. They are written again for OpenSSL, which skips without a word what is
 * indented, and would then have nothing to check by; it must never fall back to the system's store.
 * Throws FileUnreadable, and ConfigInvalid where the file holds no certificate or a damaged one.
 */
export async function readAuthorities(caFile: string): Promise<string[]> {
  return parseAuthorities(await readText(caFile), caFile);
}

/** The same for a text that is at hand. */
export function parseAuthorities(text: string, caFile: string): string[] {
  const blocks = [...text.matchAll(blockPattern)].map(([, body]) => body!);
  if (text.split('-----BEGIN CERTIFICATE-----').length - 1 !== blocks.length) throw damaged(caFile);
  if (blocks.length === 0) throw invalid(caFile, 'holds no certificate', hint);
  return blocks.map((body) => pemOf(body, caFile));
}

async function readText(caFile: string): Promise<string> {
  try {
    const stats = await stat(caFile);
    // To open a pipe or a device would wait for ever.
    if (!stats.isFile() || stats.size > fileBytesMax)
      throw invalid(caFile, 'is no file of certificates', hint);
    return await readFile(caFile, 'latin1');
  } catch (cause) {
    if (cause instanceof MerestoneError) throw cause;
    const details = { subject: caFile, hint, cause, retryable: true };
    throw new MerestoneError('FileUnreadable', 'cannot be read', details);
  }
}

function pemOf(body: string, caFile: string): string {
  try {
    return new X509Certificate(Buffer.from(body, 'base64')).toString();
  } catch (cause) {
    throw damaged(caFile, cause);
  }
}

function damaged(caFile: string, cause?: unknown): MerestoneError {
  return invalid(
    caFile,
    'holds a certificate that is damaged or cut short',
    'copy the file again, whole',
    cause,
  );
}

function invalid(caFile: string, message: string, what: string, cause?: unknown): MerestoneError {
  return new MerestoneError('ConfigInvalid', message, {
    subject: caFile,
    hint: what,
    retryable: true,
    ...(cause !== undefined && { cause }),
  });
}
