import { renameSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { describeError, MerestoneError } from '../../base/error.ts';
import { FaultState } from '../../base/fault-state.ts';
import type { Logger } from '../../base/logger.ts';
import type { EventBody, StreamEvent } from '../../messages/event.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import { auditHeadPath } from '../../audit/audit-head.ts';
import { auditDirectory } from '../../audit/audit-segment.ts';
import type { AuditDetails, AuditKind } from '../../audit/audit-entry.ts';
import { copyAuditKey } from '../../audit/audit-key.ts';
import { AuditLog } from '../../audit/audit-log.ts';
import type { AuditSeal } from '../../audit/audit-seal.ts';
import type { Signing } from './current-identity.ts';

export interface JournalDependencies {
  /** Null before the silo has an identity. */
  origin: OwnedOrigin | null;
  clock: Clock;
  logger: Logger;
  /** Also sends an entry to the cloud; absent while there is no uplink. */
  note?: (event: EventBody) => void;
  /** Opens the seal of the names in the log; absent if there is no key: names are then left out. */
  openSeal?: () => Promise<AuditSeal>;
}

/** Entries that wait for the disk: a healthy site makes this many in a week. */
const waitingMax = 500;

/** An entry to write, its time (ms since 1970 UTC), and whether it is also sent to the cloud. */
interface WaitingEntry {
  kind: AuditKind;
  details: AuditDetails[AuditKind];
  at: number;
  isNew: boolean;
}

/**
 * Writes a silo's audit log, and sends its entries to the cloud, so that the evidence is not only on the box. It never
 * throws for the disk: an audit log that cannot be written must not stop the data. Entries wait in memory for the
 * disk, with their original time.
 */
export class Journal {
  readonly #directory: string;
  readonly #dependencies: JournalDependencies;
  readonly #state: FaultState;
  #log: AuditLog | undefined;
  #seal: AuditSeal | undefined;
  #waiting: WaitingEntry[] = [];
  #lost = 0;
  #hasToldMissing = false;

  /** `owner` is the folder of the audit log. A damaged log is set aside, never continued. */
  static open(owner: string, dependencies: Omit<JournalDependencies, 'openSeal'>): Journal {
    const journal = new Journal(owner, dependencies);
    journal.#writeWaiting();
    return journal;
  }

  /** As `open`, for a log whose names are sealed. */
  static async openSealed(owner: string, dependencies: JournalDependencies): Promise<Journal> {
    const journal = new Journal(owner, dependencies);
    await journal.#loadSeal();
    journal.#writeWaiting();
    return journal;
  }

  /** Writes one entry into the log of a silo that has no identity. */
  static noteUnidentified<Kind extends AuditKind>(
    owner: string,
    dependencies: Omit<JournalDependencies, 'origin' | 'openSeal'>,
    kind: Kind,
    details: AuditDetails[Kind],
  ): void {
    const journal = Journal.open(owner, { ...dependencies, origin: null });
    journal.record(kind, details);
    journal.close();
  }

  private constructor(owner: string, dependencies: JournalDependencies) {
    this.#directory = auditDirectory(owner);
    this.#dependencies = dependencies;
    this.#state = new FaultState('the audit log', dependencies);
  }

  record<Kind extends AuditKind>(kind: Kind, details: AuditDetails[Kind]): void {
    this.#add({ kind, details, at: this.#now(), isNew: true });
  }

  /** Records an event of the spool itself, once the cloud has it and before the spool deletes it. */
  recordDelivered(event: StreamEvent): void {
    const entry = entryOf(event);
    if (entry !== undefined) this.#add({ ...entry, at: this.#now(), isNew: false });
  }

  /** Signs the head if an entry is unsigned. Never rejects for the disk. */
  async sign(signing: Signing): Promise<void> {
    await this.#loadSeal();
    if (!this.#writeWaiting()) return;
    try {
      await this.#log?.sign(signing, signing.at);
    } catch (error) {
      this.#state.fail(describeError(error));
    }
  }

  close(): void {
    const unwritten = this.#waiting.length + this.#lost;
    if (unwritten > 0)
      this.#dependencies.logger.error('audit entries are lost with the disk', { entries: unwritten });
    this.#log?.close();
    this.#log = undefined;
  }

  #add(entry: WaitingEntry): void {
    this.#waiting.push(entry);
    if (this.#waiting.length > waitingMax) {
      this.#waiting.shift();
      this.#lost += 1;
    }
    this.#writeWaiting();
  }

  /** If the disk does not give the key, entries wait for the next attempt. */
  async #loadSeal(): Promise<void> {
    try {
      this.#seal ??= await this.#dependencies.openSeal?.();
    } catch (error) {
      this.#state.fail(describeError(error));
    }
  }

  /** Writes waiting entries, oldest first; false if the disk fails. */
  #writeWaiting(): boolean {
    if (this.#dependencies.openSeal !== undefined && this.#seal === undefined) return false;
    try {
      this.#log ??= this.#openLog();
      this.#tellMissing(this.#log);
      for (let entry = this.#waiting[0]; entry !== undefined; entry = this.#waiting[0]) {
        this.#write(this.#log, entry);
      }
    } catch (error) {
      this.#state.fail(describeError(error));
      return false;
    }
    if (this.#state.clear() && this.#lost > 0) {
      this.#dependencies.logger.error('audit entries are lost: too many waited', { entries: this.#lost });
      this.#lost = 0;
    }
    return true;
  }

  /** Written before all others, so that a reader knows that earlier entries are missing. */
  #tellMissing(log: AuditLog): void {
    if (log.missing === undefined || this.#hasToldMissing) return;
    this.#hasToldMissing = true;
    const { seqFrom, seqTo } = log.missing;
    this.#dependencies.logger.error('audit entries are missing', {
      reason: 'the audit log was removed, cut or replaced',
      seqFrom,
      seqTo,
    });
    this.#waiting.unshift({ kind: 'entries-missing', details: log.missing, at: this.#now(), isNew: true });
  }

  #write(log: AuditLog, { kind, details, at, isNew }: WaitingEntry): void {
    const entry = log.append(kind, details, at);
    this.#waiting.shift();
    if (isNew) this.#dependencies.note?.({ kind: 'audit', entry });
  }

  #openLog(): AuditLog {
    const { origin, clock, logger } = this.#dependencies;
    const headFile = auditHeadPath(this.#directory);
    const dependencies = { origin, clock, headFile, ...(this.#seal && { seal: this.#seal }) };
    try {
      return AuditLog.open(this.#directory, dependencies);
    } catch (error) {
      if (!(error instanceof MerestoneError) || error.code !== 'AuditDamaged') throw error;
      const aside = `${this.#directory}.damaged-${Math.round(clock.wallMs())}`;
      logger.error('the audit log is damaged and set aside', { reason: describeError(error), aside });
      renameSync(this.#directory, aside);
      copyAuditKey(aside, this.#directory);
      return AuditLog.open(this.#directory, dependencies);
    }
  }

  #now(): number {
    return Math.round(this.#dependencies.clock.wallMs());
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
    case 'storage-failed':
    case 'quota':
    case 'audit':
      return undefined;
  }
}
