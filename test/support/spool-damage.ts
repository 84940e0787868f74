import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Spool } from '../../src/spool/spool.ts';
import type { EventBody, StreamEvent } from '../../src/messages/event.ts';
import { directoryInMemory, openTestSpool, testSample } from './spool.ts';

/** A spool's files, and the batches that must be delivered unchanged or reported by an event. */
export interface Image {
  directory: string;
  bytesMax: number;
  epoch: string;
  /** Payloads by seq. */
  owed: ReadonlyMap<number, Buffer>;
  /** Reasons of the events that were noted. */
  noted: readonly string[];
}

/**
 * The files of a spool with some of everything, as a kill leaves them: rows within a page and over several,
 * delivered and rejected batches among those that wait, two data keys, events, undated samples.
 */
export async function makeImage(
  t: { after: (done: () => void) => void },
  batches: number,
  bytesMax: number,
): Promise<Image> {
  const parent = directoryInMemory(t);
  const directory = join(parent, 'killed');
  const spool = await openTestSpool(join(parent, 'living'), { bytesMax });
  const noted: string[] = [];
  for (let seq = 1; seq <= batches; seq += 1) {
    if (seq === Math.floor(batches / 2)) await spool.rotateKey();
    spool.enqueue([testSample(seq * 1000, (seq % 4) * 2500)]);
    if (seq % 10 > 0) continue;
    noted.push(`quota ${seq}`);
    spool.note({ kind: 'samples-dropped', reason: `quota ${seq}`, samples: 1, from: seq, to: seq });
  }
  spool.hold(Buffer.from('[]'));
  const leased = spool.lease(batches, 'fifo');
  const isDone = (seq: number): boolean => seq <= batches / 6 || seq % 7 === 0;
  const isBad = (seq: number): boolean => !isDone(seq) && seq % 11 === 0;
  const refs = leased.map(({ key }) => key);
  spool.settle({
    acked: refs.filter(({ seq }) => isDone(seq)),
    rejected: refs.filter(({ seq }) => isBad(seq)).map((ref) => ({ ...ref, reason: 'refused' })),
  });
  spool.enqueue([testSample(0)]);
  const owed = leased
    .filter(({ key: { seq } }) => !isDone(seq))
    .map((each) => [each.key.seq, each.payload] as const);
  const [last] = spool.lease(1, 'fifo');
  cpSync(join(parent, 'living'), directory, { recursive: true });
  spool.close();
  return {
    directory,
    bytesMax,
    epoch: spool.epoch,
    owed: new Map([...owed, [last!.key.seq, last!.payload]]),
    noted,
  };
}

export interface Drained {
  delivered: Map<string, Buffer>;
  events: StreamEvent[];
}

/** Takes everything out of a spool, as an uplink would. */
export function drain(spool: Spool): Drained {
  const delivered = new Map<string, Buffer>();
  for (let batches = spool.lease(64, 'fifo'); batches.length > 0; batches = spool.lease(64, 'fifo')) {
    for (const { key, payload } of batches) delivered.set(`${key.epoch}/${key.seq}`, payload);
    spool.settle({ acked: batches.map(({ key }) => key) });
  }
  const events: StreamEvent[] = [];
  for (let leased = spool.leaseEvents(64); leased.length > 0; leased = spool.leaseEvents(64)) {
    events.push(...leased.map(({ payload }) => JSON.parse(payload.toString()) as StreamEvent));
    spool.settleEvents(leased.map(({ id }) => id));
  }
  return { delivered, events };
}

/** Every batch of the image is delivered unchanged or reported, and so is every event. */
export function assertNothingLostUnreported(
  { epoch, owed, noted }: Image,
  { delivered, events }: Drained,
): void {
  const isTold = (seq: number): boolean => events.some((event) => tellsOf(event, epoch, seq));
  for (const [seq, payload] of owed) {
    const got = delivered.get(`${epoch}/${seq}`);
    if (got === undefined) assert.ok(isTold(seq), `batch ${seq} is lost, and no event tells of it`);
    else assert.ok(got.equals(payload), `batch ${seq} is not what was stored`);
  }
  const reasons = events.map((event) => ('reason' in event ? event.reason : ''));
  const isEventLossTold = reasons.some((reason) => reason.includes('report'));
  for (const reason of noted)
    assert.ok(reasons.includes(reason) || isEventLossTold, `event '${reason}' is lost`);
}

/** Whether an event accounts for a batch that does not come. */
export function tellsOf(event: EventBody, epoch: string, seq: number): boolean {
  const isRun = event.kind === 'quarantined' || event.kind === 'dropped';
  return isRun && event.epoch === epoch && event.seqFrom <= seq && seq <= event.seqTo;
}

export type Damage = (file: string) => void;

/** Damages one file of a copy of the image, opens the copy and takes everything out of it. */
export async function survive(
  image: Image,
  directory: string,
  name: string,
  damage: Damage,
): Promise<Drained> {
  rmSync(directory, { recursive: true, force: true });
  cpSync(image.directory, directory, { recursive: true });
  damage(join(directory, name));
  const open = (): Promise<Spool> => openTestSpool(directory, { bytesMax: image.bytesMax });
  let spool = await open();
  try {
    return drain(spool);
  } catch (error) {
    // Damage that shows only in use: the next opening salvages, as a silo's restart does.
    assert.equal((error as { code?: string }).code, 'SpoolDamaged', String(error));
    spool.close();
    spool = await open();
    return drain(spool);
  } finally {
    spool.close();
  }
}

export function flip(bit: number): Damage {
  return (file) => {
    const bytes = readFileSync(file);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    writeFileSync(file, bytes);
  };
}
