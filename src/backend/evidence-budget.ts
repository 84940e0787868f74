import type { EvidenceEntry } from './evidence.ts';

const dayMs = 86_400_000;

/**
 * Bytes of one gateway a day. A gateway at a poll a second signs 1,440 checkpoints a day, some 3 MB; findings and
 * refused messages are few unless made on purpose. The digest of a batch is some 300 bytes: one a second is 26 MB.
 */
const dayBytesMax = { signed: 64e6, finding: 8e6, refused: 4e6, batch: 128e6 } as const;
/** Bytes of one gateway a month, over restarts too: five batches a second, and a file that can still be read. */
const fileBytesMax = 4e9;
/** Beyond that a checkpoint is kept only so often: a later one covers the earlier ones. */
const checkpointMs = 60_000;

type Class = keyof typeof dayBytesMax;

const unused: Record<Class, number> = { signed: 0, finding: 0, refused: 0, batch: 0 };

/** How much of what one gateway makes others write is kept; counts the rest. Times are wall clock, ms. */
export class EvidenceBudget {
  #day = 0;
  #fileBytes = 0;
  #used: Record<Class, number> = { ...unused };
  #withheld = new Map<Class, number>();
  #checkpointAt = -Infinity;

  /** Another file begins, which already has this many bytes. */
  beginFile(bytes: number): void {
    this.#fileBytes = bytes;
  }

  /** On a new day: what there was no room for on the one before. */
  roll(at: number): EvidenceEntry | undefined {
    const day = Math.floor(at / dayMs);
    if (day === this.#day) return undefined;
    this.#day = day;
    this.#used = { ...unused };
    return this.drain();
  }

  /** What there was no room for since this was last told. */
  drain(): EvidenceEntry | undefined {
    if (this.#withheld.size === 0) return undefined;
    const counts = Object.fromEntries(this.#withheld);
    this.#withheld.clear();
    return finding('evidence-withheld', 'more came than is kept of one gateway a day', { counts });
  }

  /** Whether it is kept, and what to note before that. */
  admit(entry: EvidenceEntry, bytes: number, at: number): { admitted: boolean; notice?: EvidenceEntry } {
    const kind = classOf(entry);
    const checkpoint = 'channel' in entry && entry.channel === 'checkpoint' && kind === 'signed';
    const due = checkpoint && Math.abs(at - this.#checkpointAt) >= checkpointMs;
    const room = this.#used[kind] + bytes <= dayBytesMax[kind] && this.#fileBytes + bytes <= fileBytesMax;
    if (room || due) {
      this.#used[kind] += bytes;
      this.#fileBytes += bytes;
      if (checkpoint) this.#checkpointAt = at;
      return { admitted: true };
    }
    const first = !this.#withheld.has(kind);
    this.#withheld.set(kind, (this.#withheld.get(kind) ?? 0) + 1);
    if (!first) return { admitted: false };
    const message = `from here on, lines of kind '${kind}' are counted only`;
    return { admitted: false, notice: finding('evidence-limit', message, { class: kind }) };
  }
}

function classOf(entry: EvidenceEntry): Class {
  if ('finding' in entry) return 'finding';
  if ('batch' in entry) return 'batch';
  return entry.outcome.startsWith('signed') ? 'signed' : 'refused';
}

function finding(kind: string, message: string, details: Record<string, unknown>): EvidenceEntry {
  return { finding: { severity: 'warning', kind, message, ...details } };
}
