import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextLoop } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Arrival } from '../../src/backend/arrival.ts';
import { Consumer } from '../../src/backend/consumer.ts';
import { Deliveries } from '../../src/backend/deliveries.ts';
import { EvidenceLog } from '../../src/backend/evidence.ts';
import type { Notice } from '../../src/backend/notice.ts';
import { type FileSink, openFileSink } from '../../src/backend/row-sink.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import type { Cancel, Clock } from '../../src/base/clock.ts';
import { parseCertificate } from '../../src/identity/certificate.ts';
import { createSigner } from '../../src/identity/signer.ts';
import { loadGatewayTrust } from '../../src/cli/gateway-trust.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { encodeBatch } from '../../src/messages/telemetry.ts';
import { topicOf, type Channel, type Origin } from '../../src/messages/topic.ts';
import { threadCpuMs } from './cpu-time.ts';
import { epochs, firstTs } from './sealed-stream.ts';
import { StreamFuzz } from './stream-fuzz.ts';

export const hostile = { tenant: 'acme', gateway: 'acme_gw-0001' };
export const honest = { tenant: 'beta', gateway: 'beta_gw-0001' };

const limits = {
  waitingBytesMax: 64e6,
  heldBytesMax: 128e6,
  refusedBytesMax: 16e6,
  tenantRefusedBytesMax: 32e6,
};

/** After this many idle turns of the event loop, all work is done. */
const idleTurns = 4;
/** CPU time that a turn of the loop takes in which a message in hand only waits for the disk, ms. */
const waitingTurnMs = 0.03;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** More are not looked at, and a soak makes them without end. */
const noticesMax = 5000;

interface Timer {
  dueMs: number;
  callback: () => void;
}

/** Time that this thread used, and time that was skipped as nothing was to do: others on the machine do not count. */
class CpuClock implements Clock {
  #excludedMs = 0;
  #skippedMs = 0;
  readonly #timers = new Set<Timer>();
  readonly #startedAt = Date.now();

  monotonicMs(): number {
    return threadCpuMs() - this.#excludedMs + this.#skippedMs;
  }

  wallMs(): number {
    return this.#startedAt + Math.floor(this.monotonicMs());
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer = { dueMs: this.monotonicMs() + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  exclude(ms: number): void {
    this.#excludedMs += ms;
  }

  /** To then, or to the next timer; to nowhere where there is neither. */
  skipTo(ms: number): void {
    const nextMs = Math.min(ms, this.#nextMs());
    if (nextMs < Infinity) this.#skippedMs += Math.max(0, nextMs - this.monotonicMs());
  }

  fire(): void {
    const nowMs = this.monotonicMs();
    for (const timer of this.#timers) {
      if (timer.dueMs > nowMs) continue;
      this.#timers.delete(timer);
      timer.callback();
    }
  }

  #nextMs(): number {
    return Math.min(...[...this.#timers].map(({ dueMs }) => dueMs));
  }
}

export interface Phase {
  /** Batches of the honest tenant. */
  batches: number;
  everyMs: number;
  /** Messages of the hostile one with each of these, spread over the time between. */
  hostilePerBatch: number;
}

/**
 * A consumer with state, evidence and a row file in this process, to which messages come at times of its own CPU
 * clock: how long another tenant's batch waits and takes is then the same on a busy machine and on an idle one.
 */
export class SimulatedArrival implements AsyncDisposable {
  readonly notices: Notice[] = [];
  taken = 0;
  sentHostile = 0;
  failure: unknown;
  readonly consumer: Consumer;
  readonly #clock = new CpuClock();
  readonly #folder: string;
  readonly #store: StateStore;
  readonly #sink: FileSink;
  readonly #deliveries: Deliveries;
  readonly #over = new AbortController();
  readonly #fuzz: StreamFuzz;
  /** Of the honest tenant's newest batch. */
  #seq = 0;
  /** seq → when it came, until it is safe. */
  readonly #waiting = new Map<string, number>();
  #inHand = 0;
  #latencies: number[] = [];

  private constructor(folder: string, sink: FileSink, store: StateStore, fuzz: StreamFuzz, caFile: string) {
    this.#folder = folder;
    this.#store = store;
    this.#sink = sink;
    this.#fuzz = fuzz;
    this.consumer = new Consumer({
      clock: this.#clock,
      store,
      sink,
      vouchFor: loadGatewayTrust([caFile]),
      evidence: new EvidenceLog(join(folder, 'evidence'), this.#clock),
      keepRefused: true,
      gapGraceMs: 30_000,
      notify: (notice) => this.notices.length < noticesMax && this.notices.push(notice),
    });
    this.#deliveries = new Deliveries({
      clock: this.#clock,
      parked: store.parked,
      take: async (arrival, breathe) => {
        this.#inHand++;
        const refused = await this.consumer.take(arrival, breathe);
        this.#inHand--;
        this.taken++;
        this.#note(arrival);
        return refused;
      },
      onOverrun: (origin, arrival) => this.consumer.takeOverrun(origin, arrival),
      onSlowed: (origin) => this.consumer.noteSlowed(origin),
      onFailed: (error) => (this.failure = error),
      signal: this.#over.signal,
    });
  }

  static async start(seed: number, bytesMax: number): Promise<SimulatedArrival> {
    const folder = await mkdtemp(join(tmpdir(), 'simulated-arrival-'));
    const authority = await createAuthority('Test CA');
    const caFile = join(folder, 'ca.crt');
    await writeFile(caFile, authority.certificatePem);
    const own = await authority.issue({ organization: hostile.tenant, commonName: hostile.gateway });
    const leaf = parseCertificate(new X509Certificate(own.certificatePem).raw, 'fuzz');
    const signer = createSigner(leaf, [leaf], createPrivateKey(own.privateKeyPem));
    const fuzz = new StreamFuzz(hostile, (claims) => signer.sign(claims), seed, bytesMax);
    const store = new StateStore(join(folder, 'state'), limits);
    const sink = await openFileSink(join(folder, 'rows.ndjson'), store);
    return new SimulatedArrival(folder, sink, store, fuzz, caFile);
  }

  /** Latencies of the honest tenant's batches from arrival to row, ms. */
  async run({ batches, everyMs, hostilePerBatch }: Phase): Promise<number[]> {
    this.#latencies = [];
    const arrivals = await this.#schedule(batches, everyMs, hostilePerBatch);
    for (let next = 0, idleFor = 0, taken = this.taken; next < arrivals.length || this.#waiting.size > 0; ) {
      if (this.failure !== undefined) throw this.failure;
      const endedAtMs = threadCpuMs();
      await nextLoop();
      const beganAtMs = threadCpuMs();
      idleFor = this.#inHand === 0 && taken === this.taken ? idleFor + 1 : 0;
      taken = this.taken;
      if (idleFor > 0 || beganAtMs - endedAtMs < waitingTurnMs) this.#clock.exclude(beganAtMs - endedAtMs);
      const due = arrivals[next]?.dueMs ?? Infinity;
      if (idleFor >= idleTurns) this.#clock.skipTo(due);
      const nowMs = this.#clock.monotonicMs();
      this.#clock.exclude(threadCpuMs() - beganAtMs);
      this.#clock.fire();
      if (due > nowMs) continue;
      idleFor = 0;
      const { arrival, dueMs } = arrivals[next++]!;
      if (seqOf(arrival) !== undefined) this.#waiting.set(seqOf(arrival)!, dueMs);
      this.#deliveries.offer(arrival, () => {});
    }
    return this.#latencies;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#deliveries.ended;
    this.consumer.end();
    await this.#sink.close();
    this.#store.close();
    await rm(this.#folder, { recursive: true });
  }

  async #schedule(
    batches: number,
    everyMs: number,
    hostilePerBatch: number,
  ): Promise<{ dueMs: number; arrival: Arrival }[]> {
    const messages = [];
    for (let index = 0; index < batches; index++) {
      const seq = ++this.#seq;
      const sample = { device: 'meter', ts: firstTs + seq * 1000, values: { power: seq, energy: seq / 8 } };
      const payload = encodeBatch({ ...honest, epoch: epochs[0], seq }, [JSON.stringify(sample)]);
      const arrival = arrivalOf(honest, 'telemetry', payload, seq);
      messages.push({ at: index * everyMs, arrival });
      for (let each = 0; each < hostilePerBatch; each++) {
        const { channel, payload } = await this.#fuzz.next();
        this.sentHostile++;
        const at = (index + (each + 0.5) / hostilePerBatch) * everyMs;
        messages.push({ at, arrival: arrivalOf(hostile, channel, payload) });
      }
    }
    // What it took to make them is nothing that a consumer would have to collect.
    collectGarbage();
    const startMs = this.#clock.monotonicMs();
    return messages.map(({ at, arrival }) => ({ dueMs: startMs + at, arrival }));
  }

  #note(arrival: Arrival): void {
    const seq = seqOf(arrival);
    const cameMs = seq === undefined ? undefined : this.#waiting.get(seq);
    if (cameMs === undefined) return;
    this.#waiting.delete(seq!);
    this.#latencies.push(this.#clock.monotonicMs() - cameMs);
  }
}

/** Of the honest tenant's: only these say it beside the payload. */
function seqOf({ properties }: Arrival): string | undefined {
  return properties.seq as string | undefined;
}

function arrivalOf(origin: Origin, channel: Channel, payload: Buffer, seq?: number): Arrival {
  const properties = seq === undefined ? {} : { seq: String(seq) };
  return { topic: topicOf(origin, channel), payload, properties, again: false };
}
