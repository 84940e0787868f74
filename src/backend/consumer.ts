import { createHash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { CheckpointClaims } from '../stream/checkpoint.ts';
import type { TelemetryBatch } from '../stream/batch.ts';
import { decodeBatch, decodeMeta, decodeStatus } from '../stream/decoding.ts';
import type { StreamEvent } from '../stream/event.ts';
import { parseTopic, type Channel, type Origin } from '../stream/topic.ts';
import type { Arrival } from './arrival.ts';
import { describeEvent, describeFinding } from './description.ts';
import type { EvidenceEntry, EvidenceLog } from './evidence.ts';
import { NoticeLimit } from './notice-limit.ts';
import { noticeDocument, type Notice } from './notice.ts';
import { rowsOf } from './row.ts';
import type { RowSink } from './row-sink.ts';
import type { VouchFor } from './signature.ts';
import { faultOf } from './refusal.ts';
import { forkOf, type FoldedEpoch, type StateStore, type StreamKey } from './state-store.ts';
import { formatRanges } from './seq-set.ts';
import { verifyCheckpoint, verifyEvent } from './statement.ts';
import type { LedgerFinding, StreamLedger } from './stream-ledger.ts';
import { StreamWatch } from './stream-watch.ts';

export interface ConsumerParts {
  clock: Clock;
  store: StateStore;
  sink: RowSink;
  /** Undefined: signatures are not looked at. */
  vouchFor: VouchFor | undefined;
  evidence: EvidenceLog | undefined;
  /** Whether refused messages are kept in the state. */
  keepRefused: boolean;
  /** A gap that lasts this long is named. */
  gapGraceMs: number;
  notify(notice: Notice): void;
}

/** Second chains of an epoch that are kept apart; more only come of somebody who means it. */
const forksMax = 4;

/**
 * The backend's side of the stream: every message is checked, its rows are written once, and what it
 * says about other batches is held against what came.
 */
export class Consumer {
  readonly counts = {
    messages: 0,
    batches: 0,
    samples: 0,
    rows: 0,
    duplicates: 0,
    refused: 0,
    checkpoints: 0,
    security: 0,
    /** Messages let go, as their tenant sent faster than its turns came. */
    overrun: 0,
  };
  readonly #parts: ConsumerParts;
  readonly #watch: StreamWatch;
  readonly #limit: NoticeLimit;

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
    this.#watch = new StreamWatch(parts.clock, parts.gapGraceMs);
    this.#limit = new NoticeLimit(parts.clock, (notice) => parts.notify(notice));
    parts.store.listen({
      onReleased: (key, ledger) => this.#findAll(this.#watch.leave(key, ledger)),
      onFolded: (epoch) => this.#find(folded(epoch)),
    });
  }

  /**
   * Resolves when the message is safe and may be acknowledged. Throws only where rows, state or evidence
   * cannot be written; whatever else a message provokes is a finding against its gateway, and the message is
   * kept aside.
   */
  async take(arrival: Arrival): Promise<void> {
    this.counts.messages++;
    const place = parseTopic(arrival.topic);
    if (place === undefined) return;
    const { channel, ...origin } = place;
    try {
      await this.#takeFrom(channel, origin, arrival);
    } catch (error) {
      this.#refuse(channel, origin, arrival, faultOf(error));
    }
  }

  /** A message was let go, as its tenant sent faster than its turns came, and had no room to wait. */
  takeOverrun(origin: Origin, { topic, payload }: Arrival): void {
    this.counts.overrun++;
    const message = 'sent faster than its turns come, and has no room to wait: a message was let go';
    const details = { topic, bytes: payload.length };
    this.#find({ severity: 'security', kind: 'overrun', message, origin, details });
  }

  /** To be called every second or so: names duplicates in bulk and gaps that last. */
  tick(): void {
    this.#findAll(this.#watch.look(this.#parts.store.heldStreams()));
    this.#limit.tick();
  }

  /** Says what was only counted so far. */
  end(): void {
    this.tick();
    this.#limit.tellRest();
  }

  async #takeFrom(channel: Channel, origin: Origin, arrival: Arrival): Promise<void> {
    if (channel === 'telemetry') return this.#takeBatch(origin, arrival);
    // A retained message that somebody cleared arrives empty.
    if (arrival.payload.length === 0) return;
    switch (channel) {
      case 'checkpoint':
        return this.#takeCheckpoint(origin, arrival);
      case 'event':
        return this.#takeEvent(origin, arrival);
      case 'meta':
        return this.#takeMeta(origin, arrival);
      case 'status':
        return this.#takeStatus(origin, arrival);
      case 'canary':
        return;
    }
  }

  #refuse(channel: Channel, origin: Origin, arrival: Arrival, error: MerestoneError): void {
    const { store, clock, keepRefused } = this.#parts;
    const { topic, payload } = arrival;
    this.counts.refused++;
    // What it changed before it failed was never written.
    if (error.code === 'Internal') store.revert(origin);
    const reason = describeError(error);
    const kept = keepRefused && store.aside.keepRefused(origin, arrival, clock.wallMs(), reason);
    if (channel === 'checkpoint' || channel === 'event') {
      this.#keep(origin, { channel, message: payload.toString(), outcome: `refused: ${error.message}` });
    }
    this.#find({
      severity: error.code === 'StreamInvalid' ? 'warning' : 'security',
      kind: `${channel}-refused`,
      message: kept ? reason : `${reason}; not kept`,
      origin,
      details: { topic, code: error.code, bytes: payload.length, kept },
    });
  }

  async #takeBatch(origin: Origin, arrival: Arrival): Promise<void> {
    const { store } = this.#parts;
    const { batch, payload } = decodeBatch(origin, arrival.payload, arrival.properties);
    const key = { ...origin, epoch: batch.epoch };
    const ledger = store.stream(key);
    const { kind, findings } = ledger.takeBatch(batch.seq, payload, store.digestOf(key, batch.seq));
    switch (kind) {
      case 'fresh':
        this.#tell(key, findings);
        return this.#write(key, batch);
      case 'duplicate':
        return this.#noteDuplicate(ledger, batch.seq);
      case 'other':
        return this.#takeFork(key, ledger, batch, payload);
      case 'unknown':
        throw new MerestoneError(
          'StreamInvalid',
          `batch ${batch.seq} came long ago, and may be another one now`,
        );
    }
  }

  /** A batch whose number had another content before: its rows are written too, and say so. */
  async #takeFork(key: StreamKey, first: StreamLedger, batch: TelemetryBatch, payload: Uint8Array) {
    const { store } = this.#parts;
    const { seq } = batch;
    for (let fork = 1; fork <= forksMax; fork++) {
      const forkKey = forkOf(key, fork);
      const ledger = store.stream(forkKey);
      const { kind } = ledger.takeBatch(seq, payload, store.digestOf(forkKey, seq));
      if (kind === 'duplicate') return this.#noteDuplicate(first, seq);
      if (kind !== 'fresh') continue;
      this.#tell(key, ledger.judgeFork(seq, fork, first.verified.has(seq)));
      return this.#write(forkKey, batch, fork);
    }
    throw new MerestoneError('StreamInvalid', `batch ${seq} came with more than ${forksMax + 1} contents`);
  }

  async #write(key: StreamKey, batch: TelemetryBatch, fork?: number): Promise<void> {
    const { store, sink } = this.#parts;
    const gateway = store.gateway(key);
    const rows = rowsOf(batch, (device, point) => gateway.unitOf(device, point), fork);
    await sink.write(rows);
    store.commit({ streams: [key], output: sink.mark() });
    this.counts.batches++;
    this.counts.samples += batch.samples.length;
    this.counts.rows += rows.length;
  }

  #noteDuplicate(ledger: StreamLedger, seq: number): void {
    this.counts.duplicates++;
    this.#watch.noteDuplicate(ledger, seq);
  }

  async #takeCheckpoint(origin: Origin, { payload, again }: Arrival): Promise<void> {
    const { store, vouchFor } = this.#parts;
    const gateway = store.gateway(origin);
    const sha256 = createHash('sha256').update(payload).digest('hex');
    // The retained one comes with every new connection.
    if (vouchFor === undefined || gateway.isNewest(sha256)) return;
    const { claims } = await verifyCheckpoint(origin, payload, vouchFor);
    this.counts.checkpoints++;
    const key = { ...origin, epoch: claims.epoch };
    const old = gateway.isOld(claims);
    // One that was not acknowledged comes again after newer ones, and says so; any other is a replay.
    if (old && again) return;
    this.#keep(origin, { channel: 'checkpoint', message: payload.toString(), outcome: 'signed' });
    if (old) {
      const { seq } = claims;
      const message = `the checkpoint at ${seq} is older than the newest one, and was sent anew`;
      const { epoch } = key;
      this.#find({
        severity: 'security',
        kind: 'checkpoint-replayed',
        message,
        origin,
        epoch,
        details: { seq },
      });
      return;
    }
    gateway.takeCheckpoint(claims, sha256);
    this.#tell(key, store.stream(key).takeSigned(claims));
    const before = this.#takePrevious(origin, claims);
    store.commit({ streams: before === undefined ? [key] : [key, before], gateway: origin });
  }

  /** The first checkpoint of an epoch signs the last head of the one before. */
  #takePrevious(origin: Origin, { previous }: CheckpointClaims): StreamKey | undefined {
    if (previous === undefined) return undefined;
    const key = { ...origin, epoch: previous.epoch };
    const ledger = this.#parts.store.seenStream(key);
    if (ledger === undefined) return undefined;
    this.#tell(key, ledger.takeEnd(previous));
    return key;
  }

  async #takeEvent(origin: Origin, { payload }: Arrival): Promise<void> {
    const { store, vouchFor } = this.#parts;
    const verified = await verifyEvent(origin, payload, vouchFor);
    if (verified === undefined) return;
    const { event } = verified;
    const signed = verified.signer !== undefined;
    // An unsigned one must not stand in the way of the true one.
    const id = signed ? event.id : `unsigned ${event.id}`;
    if (store.hasEvent({ ...origin, id })) return;
    this.#keep(origin, {
      channel: 'event',
      message: payload.toString(),
      outcome: signed ? 'signed' : 'unsigned',
    });
    this.#notify(describeEvent(event));
    const key = this.#takeLost(event, signed);
    store.commit({ event: { ...origin, id }, streams: key === undefined ? [] : [key] });
  }

  /** Where signatures are looked at, a word that nobody signed explains nothing. */
  #takeLost(event: StreamEvent, signed: boolean): StreamKey | undefined {
    if (event.kind !== 'dropped' && event.kind !== 'quarantined') return undefined;
    const { tenant, gateway, epoch, kind, seqFrom: from, seqTo: to } = event;
    const key = { tenant, gateway, epoch };
    if (this.#parts.vouchFor !== undefined && !signed) {
      const message = `nobody signed that ${formatRanges([[from, to]])} was ${kind}: it explains no gap`;
      const origin = { tenant, gateway };
      this.#find({
        severity: 'security',
        kind: 'event-unsigned',
        message,
        origin,
        epoch,
        details: { from, to },
      });
      return undefined;
    }
    this.#tell(key, this.#parts.store.stream(key).takeLost(event, signed));
    return key;
  }

  #takeMeta(origin: Origin, { payload }: Arrival): void {
    const { store } = this.#parts;
    store.gateway(origin).takeMeta(decodeMeta(origin, payload));
    store.commit({ meta: origin });
  }

  #takeStatus(origin: Origin, { payload }: Arrival): void {
    const { store } = this.#parts;
    const status = decodeStatus(origin, payload);
    if (!store.gateway(origin).takeStatus(status)) return;
    store.commit({ gateway: origin });
    const { online, version } = status;
    const message = online ? `the gateway is online (version ${version})` : 'the gateway is offline';
    this.#notify({ severity: 'info', kind: online ? 'online' : 'offline', message, origin });
  }

  #tell(key: StreamKey, findings: readonly LedgerFinding[]): void {
    for (const finding of findings) this.#find(describeFinding(key, finding));
  }

  #findAll(notices: readonly Notice[]): void {
    for (const notice of notices) this.#find(notice);
  }

  /** What we found, as opposed to what a gateway told: it is said, and it is evidence. */
  #find(notice: Notice): void {
    if (notice.origin !== undefined) this.#keep(notice.origin, { finding: noticeDocument(notice) });
    this.#notify(notice);
  }

  #keep(origin: Origin, entry: EvidenceEntry): void {
    this.#parts.evidence?.append(origin, entry);
  }

  #notify(notice: Notice): void {
    if (notice.severity === 'security') this.counts.security++;
    this.#limit.pass(notice);
  }
}

function folded({ tenant, gateway, epoch, received, missing }: FoldedEpoch): Notice {
  const message = `too many epochs: of the oldest is only known that ${received} batches came and ${missing} did not`;
  const origin = { tenant, gateway };
  return {
    severity: 'warning',
    kind: 'epoch-folded',
    message,
    origin,
    epoch,
    details: { received, missing },
  };
}
