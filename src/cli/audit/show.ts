import { plain, plainDocument } from '../../base/plain-text.ts';
import { decodeEntry, type AuditEntry } from '../../audit/audit-entry.ts';
import { listSegments, readLines } from '../../audit/audit-segment.ts';
import type { Command } from '../command.ts';
import { print, printJson, remark, styler } from '../output.ts';
import { isUnopened, openNames } from './opened-log.ts';
import { auditPlaces, siloOption, type PlaceArguments } from './audit-place.ts';

interface ShowArguments extends PlaceArguments {
  kind: string[];
  last: number;
}

const command: Command<ShowArguments> = {
  command: 'show [folder]',
  describe: "the audit log's entries, one a line: of the configuration's silos, or of a folder",
  builder: (yargs) =>
    yargs
      .positional('folder', { type: 'string', describe: 'a log by itself, not by the configuration' })
      .options({
        silo: siloOption,
        keys: {
          type: 'string',
          requiresArg: true,
          describe: "folder of the key-encryption-key.pem that opens the names, for a log's folder by itself",
        },
        kind: {
          type: 'string',
          array: true,
          default: [],
          describe: 'only entries of this kind (may be repeated)',
        },
        last: {
          type: 'number',
          default: 100,
          requiresArg: true,
          describe: 'how many entries of each log, the newest',
        },
      }),
  handler: async (args) => {
    const paint = styler();
    let isSealed = false;
    for (const place of auditPlaces(args)) {
      const { silo, directory } = place;
      const open = await openNames(place);
      const entries = readLast(directory, args.last, args.kind).map(open);
      isSealed ||= entries.some(isUnopened);
      if (!args.json) await print(paint('bold', plain([silo, directory].filter(Boolean).join('  '))));
      for (const entry of entries) {
        await (args.json
          ? printJson({ silo, directory, entry })
          : print(describeEntry(plainDocument(entry))));
      }
    }
    if (isSealed) remark('names in it are sealed, and no key here opens them (docs/audit.md)');
  },
};
export default command;

/** Newest segment first, until there are enough entries; damaged lines are left to `verify`. */
function readLast(directory: string, count: number, kinds: readonly string[]): AuditEntry[] {
  const found: AuditEntry[] = [];
  for (const { path } of listSegments(directory).toReversed()) {
    const entries = readLines(path).lines.flatMap((line) => decodeEntry(line)?.entry ?? []);
    found.unshift(...entries.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind)));
    if (found.length >= count) break;
  }
  return found.slice(-count);
}

const textShownMax = 64;

/** `2026-11-22 22:15:03Z     17  quota  quota=samples-per-second limit=2000 state=reached`. */
function describeEntry(entry: AuditEntry): string {
  const { at, seq, kind, chain: _chain, sealed: _sealed, ...details } = entry;
  const time = new Date(at).toISOString().slice(0, 19).replace('T', ' ');
  const told = Object.entries(isUnopened(entry) ? { sealed: '…', ...details } : details);
  const pairs = told.map(([key, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const shown = text.length > textShownMax ? `${text.slice(0, textShownMax)}…` : text;
    return `${key}=${/[^!-~]|"/.test(shown) ? JSON.stringify(shown) : shown}`;
  });
  return [`${time}Z`, String(seq).padStart(6), kind, ...pairs].join('  ');
}
