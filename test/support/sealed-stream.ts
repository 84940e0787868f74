import { parseCertificate } from '../../src/identity/certificate.ts';
import { createSigner, type Signer } from '../../src/identity/signer.ts';
import type { Authority } from '../../src/simulator/certificate-authority.ts';
import { encodeBatch, type PublishedSample } from '../../src/messages/telemetry.ts';
import { chainNext, chainStart } from '../../src/messages/hash-chain.ts';
import type { CheckpointClaims } from '../../src/messages/checkpoint.ts';
import type { EventBody, StreamEvent } from '../../src/messages/event.ts';
import type { Origin } from '../../src/messages/topic.ts';
import { createPrivateKey, X509Certificate } from 'node:crypto';

export const epochs = ['01JD3W5V2K0000000000000000', '01JD3W5V2K0000000000000001'] as const;

/** 2025-11-22T20:08:43.456Z. */
export const firstTs = 1_763_842_123_456;

/** One epoch of one gateway as its spool would seal it, in memory: payloads, chain, events. */
export class SealedStream {
  readonly origin: Origin;
  readonly epoch: string;
  /** By seq - 1. */
  readonly payloads: Buffer[] = [];
  /** chain(seq), from chain(0). */
  readonly chains: Buffer[] = [chainStart];
  #events = 0;

  constructor(origin: Origin, epoch: string = epochs[0]) {
    this.origin = origin;
    this.epoch = epoch;
  }

  get seq(): number {
    return this.payloads.length;
  }

  /** Seals one batch; without samples, one sample of one value that tells the batch's number. */
  append(samples?: readonly PublishedSample[]): Buffer {
    const seq = this.seq + 1;
    const own = samples ?? [
      { device: 'meter', ts: firstTs + seq * 1000, values: { power: seq, energy: seq / 8 } },
    ];
    const payload = encodeBatch(
      { ...this.origin, epoch: this.epoch, seq },
      own.map((each) => JSON.stringify(each)),
    );
    this.payloads.push(payload);
    this.chains.push(chainNext(this.chains.at(-1)!, payload));
    return payload;
  }

  appendMany(count: number): this {
    for (let index = 0; index < count; index++) this.append();
    return this;
  }

  payload(seq: number): Buffer {
    return this.payloads[seq - 1]!;
  }

  place(seq: number): { seq: number; chain: string } {
    return { seq, chain: this.chains[seq]!.toString('hex') };
  }

  claims(seq = this.seq, more: Partial<CheckpointClaims> = {}): CheckpointClaims {
    const { origin, epoch } = this;
    const [from, to] = seq === 0 ? [null, null] : [firstTs + 1000, firstTs + seq * 1000];
    return { v: 1, ...origin, epoch, ...this.place(seq), samples: seq, from, to, at: Date.now(), ...more };
  }

  lost(kind: 'dropped' | 'quarantined', seqFrom: number, seqTo: number, reason = 'spool full'): StreamEvent {
    const batches = seqTo - seqFrom + 1;
    return this.event({
      kind,
      reason,
      epoch: this.epoch,
      seqFrom,
      seqTo,
      batches,
      samples: batches,
      from: firstTs + seqFrom * 1000,
      to: firstTs + seqTo * 1000,
      chainBefore: this.place(seqFrom - 1).chain,
      chainAfter: this.place(seqTo).chain,
    });
  }

  event(body: EventBody): StreamEvent {
    this.#events++;
    const id = `01JD3W5V2K00000000000E${String(this.#events).padStart(4, '0')}`;
    return { v: 1, ...this.origin, id, at: Date.now(), ...body };
  }
}

/** The event with its proof, as a gateway publishes it. */
export async function prove(signer: Signer, event: StreamEvent): Promise<StreamEvent> {
  return { ...event, proof: await signer.sign({ ...event, signedAt: Date.now() }) };
}

/** The signer of a gateway whose certificate `authority` issues now. */
export async function issueSigner(
  authority: Authority,
  { tenant, gateway }: Origin,
  times: { notBefore?: number; notAfter?: number } = {},
): Promise<Signer & { certificatePem: string; privateKeyPem: string }> {
  const issued = await authority.issue({ organization: tenant, commonName: gateway, ...times });
  const leaf = parseCertificate(new X509Certificate(issued.certificatePem).raw, 'test');
  return { ...issued, ...createSigner(leaf, [leaf], createPrivateKey(issued.privateKeyPem)) };
}
