import type { Clock } from '../base/clock.ts';
import type { Origin } from '../messages/topic.ts';
import { describeFinding } from './notice-text.ts';
import type { EvidenceEntry, EvidenceLog } from './evidence.ts';
import { NoticeLimit } from './notice-limit.ts';
import { noticeDocument, type Notice } from './notice.ts';
import type { StreamKey } from './state-store.ts';
import type { LedgerFinding } from './stream-ledger.ts';

/** What the consumer has to say: to people, and to the evidence. */
export class Findings {
  /** Security findings so far, told or counted. */
  security = 0;
  readonly #evidence: EvidenceLog | undefined;
  readonly #limit: NoticeLimit;
  readonly #notify: (notice: Notice) => void;

  constructor(clock: Clock, evidence: EvidenceLog | undefined, notify: (notice: Notice) => void) {
    this.#evidence = evidence;
    this.#notify = notify;
    this.#limit = new NoticeLimit(clock, notify);
  }

  /** What we found, as opposed to what a gateway told: it is said, and it is evidence. */
  find(notice: Notice): void {
    if (notice.origin !== undefined) this.keep(notice.origin, { finding: noticeDocument(notice) });
    this.notify(notice);
  }

  /** The same, of what is rare and must be seen among many others. */
  announce(notice: Notice): void {
    if (notice.origin !== undefined) this.keep(notice.origin, { finding: noticeDocument(notice) });
    this.#notify(notice);
  }

  /** What a stream's ledger found. */
  tell(key: StreamKey, findings: readonly LedgerFinding[]): void {
    for (const finding of findings) this.find(describeFinding(key, finding));
  }

  keep(origin: Origin, entry: EvidenceEntry): void {
    this.#evidence?.append(origin, entry);
  }

  notify(notice: Notice): void {
    if (notice.severity === 'security') this.security++;
    this.#limit.pass(notice);
  }

  /** To be called every second or so. */
  tick(): void {
    this.#limit.tick();
    this.#evidence?.tick();
  }

  /** Says what was only counted so far. */
  end(): void {
    this.#limit.reportRest();
    this.#evidence?.end();
  }
}
