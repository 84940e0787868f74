import { readFileSync, statSync } from 'node:fs';
import { MerestoneError } from '../base/error.ts';
import { textOf } from './file-kind.ts';

export interface PemBlock {
  label: string;
  der: Buffer;
  /** By its label, or by the headers of the older form (RFC 1421). */
  isEncrypted: boolean;
}

/** A CA bundle of a Linux distribution has some 220 kB; more is a file that was named by mistake. */
const fileBytesMax = 1_000_000;

const blockPattern = /-----BEGIN ([A-Z0-9 ]+)-----((?:(?!-----)[\s\S])*)-----END \1-----/g;

/**
 * The bytes of an identity file; `what` names its expected content in an error.
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

/** Only a regular file is accepted: opening a pipe or a device could block forever. */
function regularFile(path: string, what: string): { size: number } {
  const stats = statSync(path);
  if (stats.isFile()) return stats;
  throw new MerestoneError('IdentityRefused', `this is not a file, so it holds no ${what}`, {
    subject: path,
  });
}

/**
 * Every block of the file. Programs that store it in JSON or YAML may have indented it, joined its lines by blanks,
 * or written `\\n` for a line's end; none of these is base64. Throws IdentityRefused if a block has no proper
 * end.
 */
export function parsePem(bytes: Buffer, path: string): PemBlock[] {
  const text = textOf(bytes).replaceAll(/(?:\\r)?\\n/g, '\n');
  const blocks = [...text.matchAll(blockPattern)].map(([, label, body]) => blockOf(label!, body!));
  if (text.split('-----BEGIN ').length - 1 !== blocks.length) {
    throw new MerestoneError('IdentityRefused', 'a PEM block is damaged or cut short', {
      subject: path,
      hint: 'copy the file again, whole',
    });
  }
  return blocks;
}

function blockOf(label: string, body: string): PemBlock {
  const [, headers = '', content = body] = /^\s*((?:[A-Za-z-]+:[^\n]*\n)+)([\s\S]*)$/.exec(body) ?? [];
  return {
    label,
    der: Buffer.from(content, 'base64'),
    isEncrypted: label.startsWith('ENCRYPTED ') || /^Proc-Type:.*ENCRYPTED/m.test(headers),
  };
}

export function encodePem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
