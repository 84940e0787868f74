import { createHash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { describeError, MerestoneError, type ErrorCode } from '../base/error.ts';
import type { CheckpointClaims } from '../stream/checkpoint.ts';
import { decodeBatch, decodeMeta, decodeStatus } from '../stream/decoding.ts';
import type { StreamEvent } from '../stream/event.ts';
import { parseTopic, type Channel, type Origin } from '../stream/topic.ts';
import { describeEvent, describeFinding } from './description.ts';
import type { EvidenceEntry, EvidenceLog } from './evidence.ts';
import { noticeDocument, type Notice } from './notice.ts';
import { rowsOf } from './row.ts';
import type { RowSink } from './row-sink.ts';
import type { VouchFor } from './signature.ts';
import type { StateStore, StreamKey } from './state-store.ts';
import { verifyCheckpoint, verifyEvent } from './statement.ts';
import type { LedgerFinding } from './stream-ledger.ts';
import { StreamWatch } from './stream-watch.ts';
import type { Arrival } from './subscriber.ts';

export interface ConsumerParts {
  clock: Clock;
  store: StateStore;
  sink: RowSink;
  /** Undefined: signatures are not looked at. */
  vouchFor: VouchFor | undefined;
  evidence: EvidenceLog | undefined;
  /** A gap that lasts this long is named. */
  gapGraceMs: number;
  notify(notice: Notice): void;
}

/** What is wrong with a message, as opposed to what is wrong with us. */
const refusals: ReadonlySet<ErrorCode> = new Set(['StreamInvalid', 'StreamForeign', 'SignatureRefused']);

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
  };
  readonly #parts: ConsumerParts;
  readonly #watch: StreamWatch;

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
    this.#watch = new StreamWatch(parts.clock, parts.gapGraceMs);
  }

  /**
   * Resolves when the message is safe and may be acknowledged. Throws only where rows, state or evidence
   * cannot be written; what is wrong with a message becomes a notice.
   */
  async take(arrival: Arrival): Promise<void> {
    this.counts.messages++;
    const place = parseTopic(arrival.topic);
    if (place === undefined) return;
    const { channel, ...origin } = place;
    try {
      await this.#takeFrom(channel, origin, arrival);
    } catch (error) {
      if (!(error instanceof MerestoneError) || !refusals.has(error.code)) throw error;
      this.#refuse(channel, origin, arrival, error);
    }
  }

  /** To be called every second or so: names duplicates in bulk and gaps that last. */
  tick(): void {
    for (const notice of this.#watch.look(this.#parts.store.heldStreams())) this.#find(notice);
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

  #refuse(channel: Channel, origin: Origin, { topic, payload }: Arrival, error: MerestoneError): void {
    this.counts.refused++;
    if (channel === 'checkpoint' || channel === 'event') {
      this.#keep(origin, { channel, message: payload.toString(), outcome: `refused: ${error.message}` });
    }
    this.#find({
      severity: error.code === 'StreamInvalid' ? 'warning' : 'security',
      kind: `${channel}-refused`,
      message: describeError(error),
      origin,
      details: { topic, code: error.code, bytes: payload.length },
    });
  }

  async #takeBatch(origin: Origin, arrival: Arrival): Promise<void> {
    const { store, sink } = this.#parts;
    const { batch, payload } = decodeBatch(origin, arrival.payload, arrival.properties);
    const key = { ...origin, epoch: batch.epoch };
    const ledger = store.stream(key);
    const { fresh, findings } = ledger.takeBatch(batch.seq, payload);
    this.#tell(key, findings);
    if (!fresh) {
      this.counts.duplicates++;
      return this.#watch.noteDuplicate(ledger, batch.seq);
    }
    const gateway = store.gateway(origin);
    const rows = rowsOf(batch, (device, point) => gateway.unitOf(device, point));
    await sink.write(rows);
    store.commit({ streams: [key], output: sink.mark() });
    this.counts.batches++;
    this.counts.samples += batch.samples.length;
    this.counts.rows += rows.length;
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

  #takeLost(event: StreamEvent, signed: boolean): StreamKey | undefined {
    if (event.kind !== 'dropped' && event.kind !== 'quarantined') return undefined;
    const { tenant, gateway, epoch } = event;
    const key = { tenant, gateway, epoch };
    this.#tell(key, this.#parts.store.stream(key).takeLost(event, signed));
    return key;
  }

  #takeMeta(origin: Origin, { payload }: Arrival): void {
    const { store } = this.#parts;
    store.gateway(origin).takeMeta(decodeMeta(origin, payload));
    store.commit({ gateway: origin });
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
    this.#parts.notify(notice);
  }
}
