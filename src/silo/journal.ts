import { renameSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import type { Signer } from '../identity/signer.ts';
import type { EventBody, StreamEvent } from '../stream/event.ts';
import type { Origin } from '../stream/topic.ts';
import { auditDirectory } from './audit-segment.ts';
import type { AuditDetails, AuditKind } from './audit-entry.ts';
import { AuditLog } from './audit.ts';
import { endIfDamaged } from './damage.ts';

export interface JournalDependencies {
  /** Null for what happens before a silo has an identity. */
  origin: Origin | null;
  clock: Clock;
  logger: Logger;
  /** Sends an entry off the box as well; absent where there is no way yet. */
  note?: (event: EventBody) => void;
}

/** Keeps a silo's audit log, and sends its entries off the box, so that the evidence is not on it alone. */
export class Journal {
  readonly #log: AuditLog;
  readonly #dependencies: JournalDependencies;

  /** `owner` is the folder whose audit log it is. A damaged log is set aside, never continued. Throws Io. */
  static open(owner: string, dependencies: JournalDependencies): Journal {
    const directory = auditDirectory(owner);
    const { origin, clock, logger } = dependencies;
    try {
      return new Journal(AuditLog.open(directory, { origin, clock }), dependencies);
    } catch (error) {
      if (!(error instanceof MerestoneError) || error.code !== 'AuditDamaged') throw error;
      const aside = `${directory}.damaged-${Math.round(clock.wallMs())}`;
      logger.error('the audit log is damaged and set aside', { reason: describeError(error), aside });
      renameSync(directory, aside);
      return new Journal(AuditLog.open(directory, { origin, clock }), dependencies);
    }
  }

  /** Notes one thing in the log of a silo that has no identity. A disk that takes no entry is said in the log. */
  static noteUnidentified<Kind extends AuditKind>(
    owner: string,
    dependencies: Omit<JournalDependencies, 'origin'>,
    kind: Kind,
    details: AuditDetails[Kind],
  ): void {
    try {
      const journal = Journal.open(owner, { ...dependencies, origin: null });
      journal.record(kind, details);
      journal.close();
    } catch (error) {
      dependencies.logger.error('an audit entry was not written', { kind, reason: describeError(error) });
    }
  }

  private constructor(log: AuditLog, dependencies: JournalDependencies) {
    this.#log = log;
    this.#dependencies = dependencies;
  }

  /** A disk that takes no entry is said in the log; it must not stop the data, which has room of its own. */
  record<Kind extends AuditKind>(kind: Kind, details: AuditDetails[Kind]): void {
    try {
      const entry = this.#log.append(kind, details);
      this.#dependencies.note?.({ kind: 'audit', entry });
    } catch (error) {
      endIfDamaged(error);
      this.#dependencies.logger.error('an audit entry was not written', {
        kind,
        reason: describeError(error),
      });
    }
  }

  /** What the spool reported by itself: it is kept here once the cloud has it and the spool lets it go. */
  recordDelivered(event: StreamEvent): void {
    const entry = entryOf(event);
    if (entry !== undefined) this.#log.append(entry.kind, entry.details);
  }

  async sign(signer: Signer): Promise<void> {
    await this.#log.sign(signer);
  }

  close(): void {
    this.#log.close();
  }
}

function entryOf(
  event: StreamEvent,
):
  | { kind: 'drop'; details: AuditDetails['drop'] }
  | { kind: 'quarantine'; details: AuditDetails['quarantine'] }
  | undefined {
  switch (event.kind) {
    case 'dropped':
    case 'quarantined': {
      const { reason, batches, samples, epoch, seqFrom, seqTo } = event;
      const details = { reason, batches, samples, epoch, seqFrom, seqTo };
      return event.kind === 'dropped' ? { kind: 'drop', details } : { kind: 'quarantine', details };
    }
    case 'samples-dropped': {
      const { reason, samples, from, to } = event;
      return { kind: 'drop', details: { reason, samples, from, to } };
    }
    case 'epoch-started':
    case 'identity-changed':
    case 'quota':
    case 'audit':
      return undefined;
  }
}
