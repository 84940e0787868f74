import { MerestoneError } from '../base/error.ts';
import type { TelemetryBatch } from '../messages/telemetry.ts';
import { inTurns, type Breathe } from '../base/steps.ts';
import { decodeBatchSteps } from '../messages/decoding.ts';
import type { Origin } from '../messages/topic.ts';
import type { Arrival } from './arrival.ts';
import { batchDigestSteps } from './chain-walk.ts';
import type { Findings } from './findings.ts';
import type { RowSink } from './row-sink.ts';
import { rowDigestSteps } from './row-digest.ts';
import { rowsOf } from './row.ts';
import { forkOf, type StateStore, type StreamKey } from './state-store.ts';
import type { StreamLedger } from './stream-ledger.ts';
import type { StreamWatch } from './stream-watch.ts';
import type { UnitWatch } from './unit-watch.ts';

/** Second chains of an epoch that are kept apart; only an attacker makes more. */
const forksMax = 4;

export interface BatchIntakeParts {
  store: StateStore;
  sink: RowSink;
  findings: Findings;
  watch: StreamWatch;
  units: UnitWatch;
}

interface ArrivedBatch {
  batch: TelemetryBatch;
  /** SHA-256, hex. */
  digest: string;
}

/** Batches, whose rows are written once each. */
export class BatchIntake {
  readonly counts = { batches: 0, samples: 0, rows: 0, duplicates: 0 };
  readonly #parts: BatchIntakeParts;

  constructor(parts: BatchIntakeParts) {
    this.#parts = parts;
  }

  async take(origin: Origin, arrival: Arrival, breathe: Breathe): Promise<void> {
    const { store, findings } = this.#parts;
    const steps = decodeBatchSteps(origin, arrival.payload, arrival.properties);
    const { batch, payload } = await inTurns(steps, breathe);
    const digest = await inTurns(batchDigestSteps(payload), breathe);
    const key = { ...origin, epoch: batch.epoch };
    const { seq } = batch;
    const ledger = store.stream(key);
    const result = ledger.takeBatch(seq, digest, store.digestOf(key, seq));
    switch (result.kind) {
      case 'fresh':
        findings.tell(key, result.findings);
        return this.#write(key, { batch, digest }, breathe);
      case 'duplicate':
        return this.#noteDuplicate(ledger, seq);
      case 'other':
        return this.#takeFork(key, ledger, { batch, digest }, breathe);
      case 'unknown':
        throw new MerestoneError('StreamInvalid', `batch ${seq} came long ago, and may be another one now`);
    }
  }

  /** A batch whose number had another content before: its rows are written too, and say so. */
  async #takeFork(
    key: StreamKey,
    first: StreamLedger,
    { batch, digest }: ArrivedBatch,
    breathe: Breathe,
  ): Promise<void> {
    const { store, findings } = this.#parts;
    const { seq } = batch;
    for (let fork = 1; fork <= forksMax; fork++) {
      const forkKey = forkOf(key, fork);
      const ledger = store.stream(forkKey);
      const { kind } = ledger.takeBatch(seq, digest, store.digestOf(forkKey, seq));
      if (kind === 'duplicate') return this.#noteDuplicate(first, seq);
      if (kind !== 'fresh') continue;
      findings.tell(key, ledger.judgeFork(seq, fork, first.verified.has(seq)));
      return this.#write(forkKey, { batch, digest }, breathe, fork);
    }
    throw new MerestoneError('StreamInvalid', `batch ${seq} came with more than ${forksMax + 1} contents`);
  }

  async #write(
    key: StreamKey,
    { batch, digest }: ArrivedBatch,
    breathe: Breathe,
    fork?: number,
  ): Promise<void> {
    const { store, sink, findings, units } = this.#parts;
    const gateway = store.gateway(key);
    const steps = rowsOf(batch, (device, point) => gateway.unitOf(device, point), fork);
    const rows = await inTurns(steps, breathe);
    const rowsSha256 = await inTurns(rowDigestSteps(rows), breathe);
    await sink.write(rows, breathe);
    const sha256 = Buffer.from(digest, 'hex').toString('base64url');
    const kept = { epoch: key.epoch, seq: batch.seq, sha256, rows: rows.length, rowsSha256 };
    findings.keep(key, { batch: kept });
    store.commit({ streams: [key], output: sink.mark() });
    if (!gateway.isDescribed) units.noteRows(key, rows.length);
    this.counts.batches++;
    this.counts.samples += batch.samples.length;
    this.counts.rows += rows.length;
  }

  #noteDuplicate(ledger: StreamLedger, seq: number): void {
    this.counts.duplicates++;
    this.#parts.watch.noteDuplicate(ledger, seq);
  }
}
