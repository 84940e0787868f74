import { gatewaysIn, readLines } from '../../src/backend/evidence-reader.ts';
import type { EvidenceLine } from '../../src/backend/evidence.ts';
import type { Origin } from '../../src/messages/topic.ts';

/** All that is kept under `folder`, in memory, for tests of little evidence. */
export function readEvidence(
  folder: string,
  from: number,
  to: number,
): { origin: Origin; lines: EvidenceLine[] }[] {
  return gatewaysIn(folder).map((origin) => ({
    origin,
    lines: [...readLines(folder, origin)].flatMap((read) =>
      read.kind === 'line' && from <= read.line.at && read.line.at <= to ? [read.line] : [],
    ),
  }));
}
