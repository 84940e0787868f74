import { createHash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { CheckpointClaims } from '../messages/checkpoint.ts';
import type { StreamEvent } from '../messages/event.ts';
import type { Origin } from '../messages/topic.ts';
import { auditBreak, auditMarkOf, describeBreak, type AuditChange } from './audit-watch.ts';
import type { Arrival } from './arrival.ts';
import { describeEvent } from './notice-text.ts';
import type { Findings } from './findings.ts';
import { formatRanges } from './seq-set.ts';
import type { VouchFor } from './signature.ts';
import type { StateStore, StreamKey } from './state-store.ts';
import { verifyCheckpoint, verifyEvent } from './statement.ts';

export interface StatementIntakeParts {
  clock: Clock;
  store: StateStore;
  findings: Findings;
  /** Undefined: signatures are not looked at. */
  vouchFor: VouchFor | undefined;
}

/** Checkpoints and events: what a gateway says about its stream, compared with what came. */
export class StatementIntake {
  checkpoints = 0;
  readonly #parts: StatementIntakeParts;

  constructor(parts: StatementIntakeParts) {
    this.#parts = parts;
  }

  async takeCheckpoint(origin: Origin, { payload, again }: Arrival): Promise<void> {
    const { store, vouchFor, findings, clock } = this.#parts;
    const gateway = store.gateway(origin);
    const sha256 = createHash('sha256').update(payload).digest('hex');
    // The retained one comes with every new connection.
    if (vouchFor === undefined || gateway.isNewest(sha256)) return;
    const { claims, clockWrong } = await verifyCheckpoint(origin, payload, vouchFor, clock.wallMs());
    this.checkpoints++;
    const key = { ...origin, epoch: claims.epoch };
    const old = gateway.isOld(claims);
    // One that was not acknowledged comes again after newer ones, and says so; any other is a replay.
    if (old && again) return;
    const ledger = store.stream(key);
    findings.keep(origin, {
      channel: 'checkpoint',
      message: payload.toString(),
      outcome: signed(clockWrong),
    });
    if (old) return this.#findReplay(key, claims.seq);
    if (clockWrong) this.#findWrongClock(origin, `checkpoint at ${claims.seq}`, claims.at);
    gateway.takeCheckpoint(claims, sha256);
    findings.tell(key, ledger.takeSigned(claims));
    const before = this.#takePrevious(origin, claims);
    store.commit({ streams: before === undefined ? [key] : [key, before], gateway: origin });
  }

  async takeEvent(origin: Origin, { payload }: Arrival): Promise<void> {
    const { store, vouchFor, findings, clock } = this.#parts;
    const verified = await verifyEvent(origin, payload, vouchFor, clock.wallMs());
    if (verified === undefined) return;
    const { event, signer, clockWrong } = verified;
    // An unsigned one must not stand in the way of the true one.
    const id = signer === undefined ? `unsigned ${event.id}` : event.id;
    if (store.hasEvent({ ...origin, id })) return;
    findings.keep(origin, {
      channel: 'event',
      message: payload.toString(),
      outcome: signer === undefined ? 'unsigned' : signed(clockWrong),
    });
    findings.notify(describeEvent(event));
    if (clockWrong) this.#findWrongClock(origin, `event ${event.id}`, event.at);
    const key = this.#takeLost(event, signer !== undefined);
    const audit = this.#takeAudit(event, signer !== undefined);
    store.commit({ event: { ...origin, id }, streams: key === undefined ? [] : [key], audit });
  }

  /** The first checkpoint of an epoch signs the last head of the one before. */
  #takePrevious(origin: Origin, { previous }: CheckpointClaims): StreamKey | undefined {
    if (previous === undefined) return undefined;
    const { store, findings } = this.#parts;
    const key = { ...origin, epoch: previous.epoch };
    const ledger = store.seenStream(key);
    if (ledger === undefined) return undefined;
    findings.tell(key, ledger.takeEnd(previous));
    return key;
  }

  /** Where signatures are looked at, an unsigned message explains nothing. */
  #takeLost(event: StreamEvent, isSigned: boolean): StreamKey | undefined {
    if (event.kind !== 'dropped' && event.kind !== 'quarantined') return undefined;
    const { store, vouchFor, findings } = this.#parts;
    const { tenant, gateway, epoch, kind, seqFrom: from, seqTo: to } = event;
    const key = { tenant, gateway, epoch };
    if (vouchFor !== undefined && !isSigned) {
      const message = `nobody signed that ${formatRanges([[from, to]])} was ${kind}: it explains no gap`;
      const origin = { tenant, gateway };
      const details = { from, to };
      findings.find({ severity: 'security', kind: 'event-unsigned', message, origin, epoch, details });
      return undefined;
    }
    findings.tell(key, store.stream(key).takeLost(event, isSigned));
    return key;
  }

  /** An unsigned entry says nothing of the log, where signatures are looked at. */
  #takeAudit(event: StreamEvent, isSigned: boolean): AuditChange | undefined {
    const { store, vouchFor, findings } = this.#parts;
    if (event.kind !== 'audit' || (vouchFor !== undefined && !isSigned)) return undefined;
    const mark = auditMarkOf(event.entry);
    if (mark === undefined) return undefined;
    const { tenant, gateway } = event;
    const origin = { tenant, gateway };
    const known = store.auditMarks(origin, mark.seq);
    const found = auditBreak(mark, known);
    if (known !== undefined && found !== undefined) findings.find(describeBreak(found, origin, mark, known));
    if (event.entry['kind'] === 'entries-missing') {
      const { seqFrom, seqTo } = event.entry;
      // Members of an entry may be anything, also what no text can be made of.
      const [from, to] = [seqFrom, seqTo].map((seq) => (typeof seq === 'number' ? seq : '?'));
      const message = `the gateway misses entries ${from} to ${to} of its audit log: it was removed, cut or replaced on the box`;
      const details = { seqFrom, seqTo };
      findings.find({ severity: 'security', kind: 'audit-missing', message, origin, details });
    }
    return { ...origin, mark, isAnotherLog: found !== undefined };
  }

  #findReplay({ tenant, gateway, epoch }: StreamKey, seq: number): void {
    const message = `the checkpoint at ${seq} is older than the newest one, and was sent anew`;
    const origin = { tenant, gateway };
    const details = { seq };
    this.#parts.findings.find({
      severity: 'security',
      kind: 'checkpoint-replayed',
      message,
      origin,
      epoch,
      details,
    });
  }

  /** Honest, and signed at a time that cannot be: believed, and kept with both times. */
  #findWrongClock(origin: Origin, what: string, saidAt: number): void {
    const { findings, clock } = this.#parts;
    const arrivedAt = clock.wallMs();
    const [said, arrived] = [saidAt, arrivedAt].map((ms) => new Date(ms).toISOString());
    const message = `the ${what} says ${said}, when its certificate was not valid; it came at ${arrived}`;
    const details = { saidAt, arrivedAt };
    findings.find({ severity: 'warning', kind: 'clock-wrong', message, origin, details });
  }
}

function signed(clockWrong: boolean): 'signed' | 'signed, clock wrong' {
  return clockWrong ? 'signed, clock wrong' : 'signed';
}
