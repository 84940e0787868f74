import { type AuditEntry, decodeEntry, namesOf } from '../../audit/audit-entry.ts';
import { readAuditSeal } from '../../audit/audit-key.ts';
import { listSegments, readLines } from '../../audit/audit-segment.ts';
import { MerestoneError } from '../../base/error.ts';
import { loadKeyWrapper } from '../../identity/key-encryption-key.ts';
import type { Origin } from '../../messages/topic.ts';
import type { AuditPlace } from './audit-place.ts';

/** Opens the names in a log's entries; returns the entries unchanged if no key here opens them. Throws Io. */
export async function openNames(place: AuditPlace): Promise<(entry: AuditEntry) => AuditEntry> {
  const { directory, keys } = place;
  const origin = ownerOf(directory);
  if (keys === null || origin === undefined) return (entry) => entry;
  try {
    const wrapper = await loadKeyWrapper(keys.directory, { ...keys, mayMake: false });
    const seal = await readAuditSeal(directory, wrapper, origin);
    return (entry) => seal?.open(entry) ?? entry;
  } catch (error) {
    if (error instanceof MerestoneError && error.code === 'KeyUnavailable') return (entry) => entry;
    throw error;
  }
}

/** Whether an entry has names that were not opened. */
export function isUnopened(entry: AuditEntry): boolean {
  return typeof entry['sealed'] === 'string' && !namesOf(entry.kind).some((name) => name in entry);
}

/** The identity that the log itself names; names sealed for another do not open. */
function ownerOf(directory: string): Origin | undefined {
  const last = listSegments(directory).at(-1);
  const header = last && decodeEntry(readLines(last.path).lines[0] ?? Buffer.alloc(0))?.entry;
  const [tenant, gateway] = [header?.['tenant'], header?.['gateway']];
  return typeof tenant === 'string' && typeof gateway === 'string' ? { tenant, gateway } : undefined;
}
