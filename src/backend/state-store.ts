import { Worker } from 'node:worker_threads';
import type Database from 'better-sqlite3';
import { MerestoneError } from '../base/error.ts';
import type { BatchKey } from '../messages/telemetry.ts';
import type { Origin } from '../messages/topic.ts';
import { auditMarksMax, type AuditChange, type KnownMarks } from './audit-watch.ts';
import { ParkedMessages, type ParkedLimits } from './parked-messages.ts';
import { GatewayCache, type CacheLimits } from './gateway-cache.ts';
import { GatewayRecord, type GatewayState, type Units } from './gateway-record.ts';
import { openState, prepareStatements, type OutputMark, type Statements } from './state-database.ts';
import { seenMax, StreamLedger, type StreamState } from './stream-ledger.ts';

/**
 * Gateways held in memory, an honest one with some 10 kB of JSON, and one with 20,000 points or thousands of gaps with
 * megabytes; those beyond are read again when they are heard again.
 */
const storeLimits: CacheLimits & { seenMax: number } = { gatewaysMax: 10_000, weightMax: 256e6, seenMax };
/** What a digest weighs that is in memory. */
const digestWeight = 150;
/** Epochs of one gateway held in memory: the one that is over, and the one that goes on. Others are read again. */
const epochsCachedMax = 4;
/** Epochs of one gateway that are kept in full: a spool file's life is months. */
const epochsMax = 64;
/** Epochs of one gateway of which is known that they were. */
const foldedMax = 1000;
/** Batches between two looks at how many digests of a stream are kept. */
const prunedEvery = 1024;
/** Ids of one gateway's events that are kept; one comes a second time within minutes or never. */
const eventsMax = 10_000;

/** What one message changed. */
export interface Changes {
  streams?: readonly StreamKey[];
  gateway?: Origin;
  meta?: Origin;
  event?: Origin & { id: string };
  audit?: AuditChange | undefined;
  output?: OutputMark | undefined;
}

export type StreamKey = Omit<BatchKey, 'seq'>;

/** The stream of batches that came under numbers of `key` with other content; no epoch of a gateway has a `~`. */
export function forkOf({ tenant, gateway, epoch }: StreamKey, fork: number): StreamKey {
  return { tenant, gateway, epoch: `${epoch}~${fork}` };
}

function isFork({ epoch }: StreamKey): boolean {
  return epoch.includes('~');
}

/** An epoch of which only this is left. */
export interface FoldedEpoch extends StreamKey {
  received: number;
  missing: number;
}

interface CachedStream {
  key: StreamKey;
  /** Undefined until it is first written. */
  id: number | undefined;
  ledger: StreamLedger;
  /** Characters of its state, and what its digests weigh. */
  weight: number;
  /** Batches that came since their digests were last pruned. */
  unpruned: number;
}

interface CachedGateway {
  origin: Origin;
  record: GatewayRecord;
  /** Characters of its units. */
  unitsWeight: number;
  /** By epoch, the one that was heard last at the end. */
  streams: Map<string, CachedStream>;
}

export interface StateListeners {
  /** A stream leaves memory; its state is on disk. */
  onReleased?(key: StreamKey, ledger: StreamLedger): void;
  onFolded?(epoch: FoldedEpoch): void;
}

export class StateStore {
  readonly parked: ParkedMessages;
  /** Where messages went that were set aside and can no longer be read; undefined where there were none. */
  readonly damagedParked: string | undefined;
  readonly #file: string;
  readonly #database: Database.Database;
  #checkpoints: Worker | undefined;
  readonly #parkedDatabase: Database.Database;
  readonly #statements: Statements;
  readonly #gateways: GatewayCache<CachedGateway>;
  readonly #seenMax: number;
  #listeners: StateListeners = {};

  /** `file`, or `:memory:` for a state that ends with the process. Throws StateInvalid. */
  constructor(file: string, parkedLimits: ParkedLimits, limits = storeLimits) {
    this.#seenMax = limits.seenMax;
    this.#gateways = new GatewayCache(limits, ({ streams }) => {
      for (const { key, ledger } of streams.values()) this.#reportReleased(key, ledger);
    });
    const { state, parked } = openState(file);
    this.#file = file;
    this.#database = state;
    this.#statements = prepareStatements(state);
    this.#parkedDatabase = parked.database;
    this.damagedParked = parked.damaged;
    this.parked = new ParkedMessages(parked.database, parkedLimits);
  }

  listen(listeners: StateListeners): void {
    this.#listeners = listeners;
  }

  /** The ledger of a stream; a new one where it was never seen. Throws StreamInvalid where it was folded. */
  stream(key: StreamKey): StreamLedger {
    return this.#cache(key, true)!.ledger;
  }

  /** The ledger of a stream that was seen before. */
  seenStream(key: StreamKey): StreamLedger | undefined {
    return this.#cache(key, false)?.ledger;
  }

  /** The digest of a batch that was taken; undefined where none is kept. */
  digestOf(key: StreamKey, seq: number): Uint8Array | undefined {
    const id = this.#cache(key, false)?.id;
    return id === undefined ? undefined : this.#statements.seen.get(id, seq)?.digest;
  }

  /** The streams in memory: of each gateway those that were heard of last. */
  *cachedStreams(): Generator<readonly [StreamKey, StreamLedger]> {
    for (const { streams } of this.#gateways.values()) {
      for (const { key, ledger } of streams.values()) if (!isFork(key)) yield [key, ledger];
    }
  }

  /** All streams, as they were last written. */
  *allStreams(): Generator<readonly [StreamKey, StreamLedger]> {
    for (const { state, ...key } of this.#statements.allStreams.iterate()) {
      if (isFork(key)) continue;
      yield [key, new StreamLedger(JSON.parse(state) as StreamState)];
    }
  }

  gateway(origin: Origin): GatewayRecord {
    return this.#cacheGateway(origin).record;
  }

  hasEvent({ tenant, gateway, id }: Origin & { id: string }): boolean {
    return this.#statements.event.get(tenant, gateway, id) !== undefined;
  }

  /** Notes that the broker has a session of this name from now on; true where it had one before. */
  noteSession(name: string): boolean {
    const isKnown = this.#statements.session.get(name) !== undefined;
    if (!isKnown) this.#statements.saveSession.run(name);
    return isKnown;
  }

  /** What is known of a gateway's audit log, for an entry of it; undefined where nothing is. */
  auditMarks({ tenant, gateway }: Origin, seq: number): KnownMarks | undefined {
    const last = this.#statements.lastAuditMark.get(tenant, gateway);
    if (last === undefined) return undefined;
    const { count, first } = this.#statements.auditMarks.get(tenant, gateway)!;
    const forgottenBelow = count < auditMarksMax ? 0 : first;
    return { last, forgottenBelow, same: this.#statements.auditMark.get(tenant, gateway, seq) };
  }

  output(path: string): OutputMark | undefined {
    return this.#statements.output.get(path);
  }

  /** Writes what one message changed, all or nothing. */
  commit(changes: Changes): void {
    const folded: FoldedEpoch[] = [];
    this.#database.transaction(() => {
      for (const key of changes.streams ?? []) folded.push(...this.#saveStream(key));
      if (changes.gateway !== undefined) this.#saveGateway(changes.gateway);
      if (changes.meta !== undefined) {
        this.#saveMeta(changes.meta);
      }
      if (changes.event !== undefined) {
        const { tenant, gateway, id } = changes.event;
        this.#statements.saveEvent.run(tenant, gateway, id);
        this.#statements.pruneEvents.run(tenant, gateway, eventsMax);
      }
      if (changes.audit !== undefined) this.#saveAuditMark(changes.audit);
      if (changes.output !== undefined) this.#statements.saveOutput.run(changes.output);
    })();
    for (const epoch of folded) this.#listeners.onFolded?.(epoch);
  }

  /** Forgets what a gateway's last message changed and was not written. */
  revert(origin: Origin): void {
    this.#gateways.delete(origin);
  }

  /** Leaves it to a thread of its own to write the log back; until it runs, and where it fails, that is done here. */
  checkpointParked(): void {
    if (this.#file === ':memory:') return;
    const worker = new Worker(new URL('./checkpoint-worker.ts', import.meta.url), {
      workerData: { file: this.#file },
    });
    this.#checkpoints = worker;
    worker.unref();
    worker.once('online', () => this.#database.open && this.#database.pragma('wal_autocheckpoint = 16000'));
    worker.once('error', () => this.#database.open && this.#database.pragma('wal_autocheckpoint = 1000'));
  }

  close(): void {
    this.#checkpoints?.postMessage('end');
    this.#parkedDatabase.close();
    this.#database.close();
  }

  #cacheGateway({ tenant, gateway }: Origin): CachedGateway {
    const known = this.#gateways.get({ tenant, gateway });
    if (known !== undefined) return known;
    const cached: CachedGateway = {
      origin: { tenant, gateway },
      ...this.#loadGateway(tenant, gateway),
      streams: new Map(),
    };
    this.#gateways.add(cached.origin, cached);
    this.#weigh(cached);
    return cached;
  }

  #weigh({ origin, unitsWeight, streams }: CachedGateway): void {
    let weight = unitsWeight;
    for (const stream of streams.values()) weight += stream.weight;
    this.#gateways.weigh(origin, weight);
  }

  #reportReleased(key: StreamKey, ledger: StreamLedger): void {
    if (!isFork(key)) this.#listeners.onReleased?.(key, ledger);
  }

  #loadGateway(tenant: string, gateway: string): Pick<CachedGateway, 'record' | 'unitsWeight'> {
    const row = this.#statements.gateway.get(tenant, gateway);
    const meta = this.#statements.meta.get(tenant, gateway);
    const state = row && (JSON.parse(row.state) as GatewayState);
    const record = new GatewayRecord(state, meta && (JSON.parse(meta.units) as Units));
    return { record, unitsWeight: meta?.units.length ?? 0 };
  }

  #saveMeta(origin: Origin): void {
    const cached = this.#cacheGateway(origin);
    const units = JSON.stringify(cached.record.units);
    this.#statements.saveMeta.run(origin.tenant, origin.gateway, units);
    cached.unitsWeight = units.length;
    this.#weigh(cached);
  }

  #saveGateway(origin: Origin): void {
    const { state } = this.gateway(origin);
    this.#statements.saveGateway.run(origin.tenant, origin.gateway, JSON.stringify(state));
  }

  /** Where another log begins, what was known of the one before is of no more use. */
  #saveAuditMark({ tenant, gateway, mark, isAnotherLog }: AuditChange): void {
    const { pruneAuditMarks, saveAuditMark } = this.#statements;
    if (isAnotherLog) pruneAuditMarks.run({ tenant, gateway, kept: 0 });
    saveAuditMark.run({ tenant, gateway, ...mark });
    pruneAuditMarks.run({ tenant, gateway, kept: auditMarksMax });
  }

  #cache(key: StreamKey, create: boolean): CachedStream | undefined {
    const holder = this.#cacheGateway(key);
    const { streams } = holder;
    const cached = streams.get(key.epoch) ?? this.#load(key) ?? (create ? this.#create(key) : undefined);
    if (cached === undefined) return undefined;
    const isNew = !streams.delete(key.epoch);
    streams.set(key.epoch, cached);
    if (streams.size > epochsCachedMax) {
      const [epoch, oldest] = streams.entries().next().value!;
      streams.delete(epoch);
      this.#reportReleased(oldest.key, oldest.ledger);
    }
    if (isNew) this.#weigh(holder);
    return cached;
  }

  #create({ tenant, gateway, epoch }: StreamKey): CachedStream {
    if (this.#statements.folded.get(tenant, gateway, epoch) !== undefined) {
      throw new MerestoneError('StreamInvalid', `epoch ${epoch} is over: ${epochsMax} others came after it`);
    }
    return {
      key: { tenant, gateway, epoch },
      id: undefined,
      ledger: new StreamLedger(),
      weight: 0,
      unpruned: 0,
    };
  }

  #load({ tenant, gateway, epoch }: StreamKey): CachedStream | undefined {
    const row = this.#statements.stream.get(tenant, gateway, epoch);
    if (row === undefined) return undefined;
    const digests = this.#statements.digests.all(row.id).map(({ seq, sha256 }) => [seq, sha256] as const);
    const ledger = new StreamLedger(JSON.parse(row.state) as StreamState, digests);
    const weight = weightOf(row.state, ledger);
    return { key: { tenant, gateway, epoch }, id: row.id, ledger, weight, unpruned: prunedEvery };
  }

  #saveStream(key: StreamKey): FoldedEpoch[] {
    const cached = this.#cache(key, true)!;
    const { tenant, gateway, epoch } = key;
    const state = JSON.stringify(cached.ledger.state);
    const folded: FoldedEpoch[] = [];
    if (cached.id === undefined) {
      cached.id = Number(this.#statements.addStream.run(tenant, gateway, epoch, state).lastInsertRowid);
      folded.push(...this.#foldOldest(key));
    } else {
      this.#statements.saveStream.run(state, cached.id);
    }
    const { added, released, arrived } = cached.ledger.drainChanges();
    for (const [from, to] of released) this.#statements.removeDigests.run(cached.id, from, to);
    for (const [seq, sha256] of added) this.#statements.addDigest.run(cached.id, seq, sha256);
    for (const [seq, digest] of arrived) this.#statements.addSeen.run(cached.id, seq, digest);
    this.#pruneSeen(cached, arrived.size);
    cached.weight = weightOf(state, cached.ledger);
    this.#weigh(this.#cacheGateway(key));
    return folded;
  }

  /** Counted, not told by the numbers of the batches: these are the sender's choice. */
  #pruneSeen(cached: CachedStream, arrived: number): void {
    cached.unpruned += arrived;
    if (cached.unpruned < prunedEvery || arrived === 0) return;
    cached.unpruned = 0;
    this.#statements.pruneSeen.run({ stream: cached.id!, kept: this.#seenMax });
  }

  /** Makes room for one more epoch of a gateway that has too many: of the oldest only numbers are left. */
  #foldOldest({ tenant, gateway }: Origin): FoldedEpoch[] {
    if (this.#statements.countStreams.get(tenant, gateway)!.count <= epochsMax) return [];
    const cached = this.#cacheGateway({ tenant, gateway }).streams;
    const oldest = this.#statements.oldestStreams.all(tenant, gateway, epochsCachedMax + 1);
    const { id, epoch, state } = oldest.find((each) => !cached.has(each.epoch))!;
    const ledger = new StreamLedger(JSON.parse(state) as StreamState);
    const received = ledger.received.size;
    const missing = ledger.gaps().reduce((sum, [from, to]) => sum + to - from + 1, 0);
    this.#statements.addFolded.run(tenant, gateway, epoch, received, missing);
    this.#statements.pruneFolded.run(tenant, gateway, foldedMax);
    this.#statements.removeStream.run(id);
    return [{ tenant, gateway, epoch, received, missing }];
  }
}

function weightOf(state: string, { digestCount }: StreamLedger): number {
  return state.length + digestCount * digestWeight;
}
