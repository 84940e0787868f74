import { isDeepStrictEqual } from 'node:util';
import { describeError, MerestoneError } from '../base/error.ts';
import type { Clock } from '../base/clock.ts';
import type { CheckpointClaims } from '../stream/checkpoint.ts';
import {
  decodeBatch,
  decodeClaims,
  decodeEvent,
  decodeMeta,
  decodeProof,
  decodeStatus,
} from '../stream/decoding.ts';
import type { EventProof, StreamEvent } from '../stream/event.ts';
import { parseTopic, type Origin } from '../stream/topic.ts';
import { describeEvent, describeFinding } from './description.ts';
import { GapWatch } from './gap-watch.ts';
import type { Notice } from './notice.ts';
import { rowsOf } from './row.ts';
import type { RowSink } from './row-sink.ts';
import { formatRanges, SeqSet } from './seq-set.ts';
import { verifySigned, type Statement, type VouchFor } from './signature.ts';
import type { StateStore, StreamKey } from './state-store.ts';
import type { LedgerFinding, StreamLedger } from './stream-ledger.ts';
import type { Arrival } from './subscriber.ts';

export interface ConsumerParts {
  clock: Clock;
  store: StateStore;
  sink: RowSink;
  /** Undefined: checkpoints are not verified. */
  vouchFor: VouchFor | undefined;
  /** A gap that lasts this long is named. */
  gapGraceMs: number;
  notify(notice: Notice): void;
}

export interface ConsumerCounts {
  messages: number;
  batches: number;
  samples: number;
  rows: number;
  duplicates: number;
  refused: number;
  checkpoints: number;
  security: number;
}

/** What a stream has this moment, beside what is kept of it. */
interface Watch {
  gaps: GapWatch;
  duplicates: SeqSet;
}

/**
 * The backend's side of the stream: every message is checked, its rows are written once, and what it
 * says about other batches is held against what came. `take` resolves when the message is safe.
 */
export class Consumer {
  readonly counts: ConsumerCounts = {
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
  readonly #watches = new WeakMap<StreamLedger, Watch>();

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
  }

  /** Throws only where rows or state cannot be written; what is wrong with a message becomes a notice. */
  async take(arrival: Arrival): Promise<void> {
    this.counts.messages++;
    const place = parseTopic(arrival.topic);
    if (place === undefined) return;
    const { channel, ...origin } = place;
    try {
      switch (channel) {
        case 'telemetry':
          return await this.#takeBatch(origin, arrival);
        case 'checkpoint':
          return await this.#takeCheckpoint(origin, arrival);
        case 'event':
          return await this.#takeEvent(origin, arrival);
        case 'meta':
          return this.#takeMeta(origin, arrival);
        case 'status':
          return this.#takeStatus(origin, arrival);
        case 'canary':
          return;
      }
    } catch (error) {
      if (!(error instanceof MerestoneError) || !refusals.has(error.code)) throw error;
      this.counts.refused++;
      this.#notify({
        severity: error.code === 'StreamInvalid' ? 'warning' : 'security',
        kind: `${channel}-refused`,
        message: describeError(error),
        origin,
        details: { topic: arrival.topic, code: error.code, bytes: arrival.payload.length },
      });
    }
  }

  /** To be called every second or so: names duplicates in bulk and gaps that last. */
  tick(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    for (const [key, ledger] of this.#parts.store.heldStreams()) {
      const watch = this.#watch(ledger);
      if (watch.duplicates.size > 0) {
        this.#say(
          key,
          'info',
          'duplicates',
          `came again and were dropped: ${formatRanges(watch.duplicates.runs)}`,
          {
            batches: watch.duplicates.runs,
          },
        );
        watch.duplicates = new SeqSet();
      }
      const { lasting, closed } = watch.gaps.look(ledger.gaps(), nowMs);
      for (const range of lasting) {
        this.#say(key, 'warning', 'gap', `missing, and no event says why: ${formatRanges([range])}`, {
          from: range[0],
          to: range[1],
        });
      }
      for (const range of closed) {
        this.#say(key, 'info', 'gap-closed', `no longer missing: ${formatRanges([range])}`, {
          from: range[0],
          to: range[1],
        });
      }
    }
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
      this.#watch(ledger).duplicates.add(batch.seq);
      return;
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
    if (vouchFor === undefined || payload.length === 0) return;
    const { claims } = await verifySigned(payload, checkpointOf(origin), vouchFor);
    this.counts.checkpoints++;
    const gateway = store.gateway(origin);
    const key = { ...origin, epoch: claims.epoch };
    if (gateway.isOld(claims)) {
      // One that was not acknowledged comes again after newer ones, and says so; any other is a replay.
      if (again) return;
      this.#say(
        key,
        'security',
        'checkpoint-replayed',
        `the checkpoint at ${claims.seq} is older than the newest one`,
        {
          seq: claims.seq,
        },
      );
      return;
    }
    gateway.takeCheckpoint(claims);
    this.#tell(key, store.stream(key).takeCheckpoint(claims));
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
    const { store } = this.#parts;
    const event = decodeEvent(origin, payload);
    if (event === undefined) return;
    const signed = await this.#isSigned(origin, event);
    // An unsigned one must not stand in the way of the true one.
    const id = signed ? event.id : `unsigned ${event.id}`;
    if (store.hasEvent({ ...origin, id })) return;
    this.#notify(describeEvent(event));
    const key = this.#takeLost(event, signed);
    store.commit({ event: { ...origin, id }, streams: key === undefined ? [] : [key] });
  }

  /** Throws where an event has a proof that is not its own. */
  async #isSigned(origin: Origin, { proof, ...event }: StreamEvent): Promise<boolean> {
    const { vouchFor } = this.#parts;
    if (vouchFor === undefined || proof === undefined) return false;
    const { claims } = await verifySigned(proof, eventProofOf(origin), vouchFor);
    const { signedAt: _signedAt, ...proven } = claims;
    if (isDeepStrictEqual(proven, event)) return true;
    throw new MerestoneError('SignatureRefused', 'its proof is about something else');
  }

  #takeLost(event: StreamEvent, signed: boolean): StreamKey | undefined {
    if (event.kind !== 'dropped' && event.kind !== 'quarantined') return undefined;
    const { tenant, gateway, epoch } = event;
    const key = { tenant, gateway, epoch };
    this.#tell(key, this.#parts.store.stream(key).takeLost(event, signed));
    return key;
  }

  #takeMeta(origin: Origin, { payload }: Arrival): void {
    if (payload.length === 0) return; // a retained message that somebody cleared
    const { store } = this.#parts;
    store.gateway(origin).takeMeta(decodeMeta(origin, payload));
    store.commit({ gateway: origin });
  }

  #takeStatus(origin: Origin, { payload }: Arrival): void {
    if (payload.length === 0) return;
    const { online, version } = decodeStatus(origin, payload);
    const message = online ? `the gateway is online (version ${version})` : 'the gateway is offline';
    this.#notify({ severity: 'info', kind: online ? 'online' : 'offline', message, origin });
  }

  #watch(ledger: StreamLedger): Watch {
    let watch = this.#watches.get(ledger);
    if (watch === undefined) {
      watch = { gaps: new GapWatch(this.#parts.gapGraceMs), duplicates: new SeqSet() };
      this.#watches.set(ledger, watch);
    }
    return watch;
  }

  #tell(key: StreamKey, findings: readonly LedgerFinding[]): void {
    for (const finding of findings) this.#notify(describeFinding(key, finding));
  }

  #say(
    { tenant, gateway, epoch }: StreamKey,
    severity: Notice['severity'],
    kind: string,
    message: string,
    details: Record<string, unknown>,
  ): void {
    this.#notify({ severity, kind, message, origin: { tenant, gateway }, epoch, details });
  }

  #notify(notice: Notice): void {
    if (notice.severity === 'security') this.counts.security++;
    this.#parts.notify(notice);
  }
}

function checkpointOf(origin: Origin): Statement<CheckpointClaims> {
  return { decode: (payload) => decodeClaims(origin, payload), signedAt: ({ at }) => at };
}

function eventProofOf(origin: Origin): Statement<EventProof> {
  return { decode: (payload) => decodeProof(origin, payload), signedAt: ({ signedAt }) => signedAt };
}

/** What is wrong with a message, as opposed to what is wrong with us. */
const refusals: ReadonlySet<string> = new Set(['StreamInvalid', 'StreamForeign', 'SignatureRefused']);
