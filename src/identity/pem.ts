import { readFileSync, statSync } from 'node:fs';
import { MerestoneError } from '../base/error.ts';

export interface PemBlock {
  label: string;
  der: Buffer;
  /** The block as it stood, with its lines of dashes. */
  text: string;
}

/** A CA bundle of a Linux distribution has some 220 kB; more is a file that was named by mistake. */
const fileBytesMax = 1_000_000;

const blockPattern = /-----BEGIN ([A-Z0-9 ]+)-----((?:(?!-----)[\s\S])*)-----END \1-----/g;

/**
 * A file of ours, as bytes; `what` is what it should have been, for the message.
 * Throws IdentityMissing, FileUnreadable, IdentityRefused.
 */
export function readIdentityFile(path: string, what: string): Buffer {
  try {
    const { size } = regularFile(path, what);
    if (size === 0)
      throw new MerestoneError('IdentityRefused', `the ${what} file is empty`, { subject: path });
    if (size > fileBytesMax) {
      throw new MerestoneError('IdentityRefused', `${size} bytes are too many for a ${what}`, {
        subject: path,
      });
    }
    return readFileSync(path);
  } catch (error) {
    if (error instanceof MerestoneError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new MerestoneError('IdentityMissing', `there is no ${what} here`, {
        subject: path,
        hint: 'get one with merestone identity request and install, or correct the path',
        cause: error,
      });
    }
    throw new MerestoneError('FileUnreadable', `the ${what} cannot be read (${code ?? String(error)})`, {
      subject: path,
      hint: 'let the user that Merestone runs as read it',
      cause: error,
    });
  }
}

/** Opening a pipe or a device would wait for ever, so only a regular file is taken. */
function regularFile(path: string, what: string): { size: number } {
  const stats = statSync(path);
  if (stats.isFile()) return stats;
  throw new MerestoneError('IdentityRefused', `this is not a file, so it holds no ${what}`, {
    subject: path,
  });
}

/** Every block of the text. Throws IdentityRefused where a block is begun and not properly ended. */
export function parsePem(text: string, path: string): PemBlock[] {
  const blocks = [...text.matchAll(blockPattern)].map(([whole, label, body]) => ({
    label: label!,
    der: Buffer.from(body!, 'base64'),
    text: whole,
  }));
  if (text.split('-----BEGIN ').length - 1 !== blocks.length) {
    throw new MerestoneError('IdentityRefused', 'a PEM block is damaged or cut short', {
      subject: path,
      hint: 'copy the file again, whole',
    });
  }
  return blocks;
}

export function encodePem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
