import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  statSync,
  truncateSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Consumer } from '../../src/backend/consumer.ts';
import { EvidenceLog, type EvidenceLine } from '../../src/backend/evidence.ts';
import { reportOn, type Report } from '../../src/backend/report.ts';
import type { VouchFor } from '../../src/backend/signature.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { loadGatewayTrust } from '../../src/cli/gateway-trust.ts';
import { createAuthority, type Authority } from '../../src/simulator/certificate-authority.ts';
import type { Channel, Origin } from '../../src/messages/topic.ts';
import { topicOf } from '../../src/messages/topic.ts';
import { runCommand } from '../support/daemon.ts';
import { asideLimits } from '../support/parked-limits.ts';
import { readEvidence } from '../support/evidence.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { issueSigner, prove, SealedStream } from '../support/sealed-stream.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };

type TestSigner = Awaited<ReturnType<typeof issueSigner>>;

function fingerprint({ certificatePem }: TestSigner): string {
  return createHash('sha256').update(new X509Certificate(certificatePem).raw).digest('hex');
}

describe('evidence', () => {
  let root: string;
  let folder: string;
  let authority: Authority;
  let vouchFor: VouchFor;
  let signers: { acme: TestSigner; beta: TestSigner };
  let clock: FakeClock;
  let consumer: Consumer;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'evidence-'));
    authority = await createAuthority('Test CA');
    signers = { acme: await issueSigner(authority, acme), beta: await issueSigner(authority, beta) };
    writeFileSync(join(root, 'ca.crt'), authority.certificatePem);
    vouchFor = loadGatewayTrust([join(root, 'ca.crt')]);
  });
  after(() => rmSync(root, { recursive: true }));

  beforeEach(() => {
    folder = mkdtempSync(join(root, 'kept-'));
    clock = new FakeClock(Date.now());
    consumer = createConsumer();
  });

  function createConsumer(): Consumer {
    return new Consumer({
      clock,
      store: new StateStore(':memory:', asideLimits),
      sink: { write: async () => {}, mark: () => undefined, close: async () => {} },
      vouchFor,
      evidence: new EvidenceLog(folder, clock),
      keepRefused: false,
      gapGraceMs: 0,
      notify: () => {},
    });
  }

  function take(
    channel: Channel,
    document: Buffer | string | object,
    origin: Origin = acme,
  ): Promise<boolean> {
    const text = (): string => (typeof document === 'string' ? document : JSON.stringify(document));
    const payload = Buffer.isBuffer(document) ? document : Buffer.from(text());
    return consumer.take({ topic: topicOf(origin, channel), payload, properties: {}, again: false });
  }

  async function takeBatches(stream: SealedStream, ...seqs: number[]): Promise<void> {
    for (const seq of seqs) await take('telemetry', stream.payload(seq), stream.origin);
  }

  const checkpoint = (signer: TestSigner, stream: SealedStream, seq = stream.seq): Promise<string> =>
    signer.sign(stream.claims(seq));

  function report(certificate?: string): Promise<Report> {
    const [from, to] = [0, clock.wallMs() + 1];
    return reportOn(folder, { tenant: 'acme', certificate, from, to, vouchFor });
  }

  function file(origin: Origin): string {
    const own = join(folder, origin.tenant, origin.gateway);
    return join(own, readdirSync(own)[0]!);
  }

  /** A month in the life of two gateways. */
  async function live(): Promise<SealedStream> {
    const stream = new SealedStream(acme).appendMany(20);
    const other = new SealedStream(beta).appendMany(3);
    await takeBatches(stream, 1, 2, 3, 4);
    await take('checkpoint', await checkpoint(signers.acme, stream, 4));
    await take('event', await prove(signers.acme, stream.lost('dropped', 5, 7)));
    await take(
      'event',
      stream.event({ kind: 'samples-dropped', reason: 'spool full', samples: 12, from: 1, to: 2 }),
    );
    const entry = { at: 1, seq: 1, kind: 'start', chain: 'x' };
    await take('event', await prove(signers.acme, stream.event({ kind: 'audit', entry })));
    await takeBatches(stream, 8, 9, 11, 12);
    await take('checkpoint', await checkpoint(signers.acme, stream, 12));
    await takeBatches(other, 1, 2, 3);
    await take('checkpoint', await checkpoint(signers.beta, other, 3), beta);
    consumer.tick();
    return stream;
  }

  it('tells what a certificate could reach and did', async () => {
    const stream = await live();
    const found = await report();
    const { certificates, epochs, neverStored, audit, findings, others, damaged } = found;
    assert.deepEqual(
      certificates.map(({ tenant, gateway, reach, checkpoints, events, fingerprintSha256 }) => [
        tenant,
        gateway,
        reach,
        checkpoints,
        events,
        fingerprintSha256,
      ]),
      [['acme', acme.gateway, 't/acme/acme_gw-0001/#', 2, 2, fingerprint(signers.acme)]],
    );
    assert.deepEqual(epochs, [
      {
        gateway: acme.gateway,
        epoch: stream.epoch,
        signed: [{ from: 1, to: 12, samples: 12, fingerprintSha256: fingerprint(signers.acme) }],
        verified: [[1, 4]],
        lost: [{ kind: 'dropped', from: 5, to: 7, samples: 3, reason: 'spool full', signed: true }],
        missing: [[10, 10]],
      },
    ]);
    assert.deepEqual(neverStored, [
      { gateway: acme.gateway, samples: 12, from: 1, to: 2, reason: 'spool full' },
    ]);
    assert.deepEqual(
      audit.map(({ signed, entry }) => [signed, entry['kind']]),
      [[true, 'start']],
    );
    assert.deepEqual(
      findings.map(({ kind }) => kind),
      ['gap'],
    );
    assert.deepEqual(others, [{ tenant: 'beta', signatures: 1, named: [] }]);
    assert.deepEqual(damaged, []);
  });

  it('tells the story of a leaked key', async () => {
    const stream = await live();
    // The thief has acme's certificate and key, and a way around the broker's access control.
    const thief = signers.acme;
    const forged = new SealedStream(acme).appendMany(12);
    forged.append([{ device: 'meter', ts: Date.now(), values: { power: 9999 } }]);
    forged.appendMany(3);
    await takeBatches(forged, 13, 14);
    await take('checkpoint', await checkpoint(thief, forged, 14));
    // The true gateway goes on.
    await takeBatches(stream, 13, 14, 15);
    await take('checkpoint', await checkpoint(signers.acme, stream, 15));
    // And on the neighbour's topic:
    const neighbour = new SealedStream(beta).appendMany(9);
    await take('telemetry', stream.payload(16), beta);
    await take('checkpoint', await checkpoint(thief, stream, 15), beta);
    await take('checkpoint', await checkpoint(thief, neighbour, 9), beta);
    await take('event', await prove(thief, neighbour.lost('dropped', 4, 5)), beta);

    const { findings, others, certificates } = await report(fingerprint(thief));
    assert.equal(certificates.length, 1);
    // Two batches of one number, or two values of one place: the thief cannot write without its being seen.
    const kinds = findings.filter(({ severity }) => severity === 'security').map(({ kind }) => kind);
    assert.deepEqual(kinds, ['forked', 'broken']);
    const [{ signatures, named }] = others as [Report['others'][number]];
    assert.equal(signatures, 4);
    assert.deepEqual(
      named.map(({ outcome }) => outcome.startsWith('refused: ')),
      [true, true, true],
    );
    // Nothing of the neighbour's own stream was touched.
    const rows = readEvidence(folder, 0, clock.wallMs() + 1).filter(({ origin }) => origin.tenant === 'beta');
    const own = rows.flatMap(({ lines }) =>
      lines.filter((line) => 'outcome' in line && line.outcome === 'signed'),
    );
    assert.equal(own.length, 1);
  });

  it('shows every line that was changed, taken out or put in', async () => {
    await live();
    const path = file(acme);
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    const damage: [string, (lines: string[]) => string[], string][] = [
      ['changed', (all) => all.with(2, all[2]!.replace('"at":1', '"at":2')), ':4'],
      ['taken out', (all) => all.toSpliced(2, 1), ':3'],
      ['put in', (all) => all.toSpliced(2, 0, all[5]!), ':3'],
      ['exchanged', (all) => all.with(2, all[3]!).with(3, all[2]!), ':3'],
      ['taken from the front', (all) => all.slice(1), ':1'],
      ['no line of ours', (all) => all.with(2, 'nonsense'), ':3'],
    ];
    for (const [what, change, where] of damage) {
      writeFileSync(path, `${change(lines).join('\n')}\n`);
      const { damaged } = await report();
      assert.equal(damaged[0], path + where, what);
    }
  });

  it('does not take the folder’s word for a signature', async () => {
    const stream = await live();
    const path = file(acme);
    const jws = await checkpoint(await issueSigner(await createAuthority('Stranger'), acme), stream, 18);
    const last = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1)!;
    const prev = createHash('sha256').update(last).digest('hex');
    const line = { at: clock.wallMs(), prev, channel: 'checkpoint', message: jws, outcome: 'signed' };
    appendFileSync(path, `${JSON.stringify(line)}\n`);
    const { damaged, epochs } = await report();
    assert.match(damaged.join(), /^acme\/acme_gw-0001 checkpoint of .*: its certificate is not good/);
    assert.equal(epochs[0]!.signed.at(-1)!.to, 12);
  });

  it('goes on after a crash in the midst of a line, and over months', async () => {
    const stream = await live();
    const path = file(acme);
    appendFileSync(path, '{"at":1,"prev":"half');
    consumer = createConsumer();
    await take('checkpoint', await checkpoint(signers.acme, stream, 14));
    clock.setWall(clock.wallMs() + 40 * 86_400_000);
    await takeBatches(stream, 13, 14);
    await take('checkpoint', await signers.acme.sign(stream.claims(15)));
    assert.equal(readdirSync(join(folder, 'acme', acme.gateway)).length, 2);
    const { damaged, epochs } = await report();
    assert.deepEqual(damaged, []);
    assert.equal(epochs[0]!.signed.at(-1)!.to, 15);
  });

  it('is kept once for a message that comes again', async () => {
    const stream = new SealedStream(acme).appendMany(4);
    const jws = await checkpoint(signers.acme, stream, 4);
    const event = await prove(signers.acme, stream.lost('dropped', 1, 2));
    for (let times = 0; times < 3; times++) {
      await take('checkpoint', jws);
      await take('event', event);
    }
    const lines = readFileSync(file(acme), 'utf8').trimEnd().split('\n');
    const kept = lines.map((line) => JSON.parse(line) as EvidenceLine).filter((line) => 'message' in line);
    assert.equal(kept.length, 2);
  });

  it('is reported on the command line', async () => {
    await live();
    const trust = ['--trust', join(root, 'ca.crt')];
    const words = ['backend', 'report', '--tenant', 'acme', '--evidence', folder, ...trust];
    const page = await runCommand(words);
    assert.equal(page.exitCode, 0, page.stderr);
    for (const line of [
      /^Evidence of tenant acme, 1970-01-01T00:00:00Z to 20/,
      new RegExp(`^Certificate ${fingerprint(signers.acme)}$`, 'm'),
      / {2}reaches {4}t\/acme\/acme_gw-0001\/#/,
      / {2}signed {5}2 checkpoints and 2 events/,
      / {2}signed {5}batches 1–12, 12 samples/,
      / {2}verified {3}1–4/,
      / {2}dropped {4}5–7, 3 samples: spool full \(signed\)/,
      / {2}missing {4}10, and no event says why/,
      / {2}beta: 1 signatures, none by a certificate above/,
    ]) {
      assert.match(page.stdout, line);
    }
    const print = new X509Certificate(signers.acme.certificatePem).fingerprint256;
    const json = await runCommand([...words, '--certificate', print, '--from', '2026-01-01', '--json']);
    const document = JSON.parse(json.stdout) as Report;
    assert.equal(document.certificates[0]!.fingerprintSha256, fingerprint(signers.acme));
    appendFileSync(file(acme), '{}\n');
    const [damaged, unknown, wrongTime, none] = await Promise.all([
      runCommand(words),
      runCommand([...words, '--certificate', 'abc']),
      runCommand([...words, '--from', 'yesterday']),
      runCommand(words.map((word) => (word === folder ? join(root, 'none') : word))),
    ]);
    assert.equal(damaged.exitCode, 74);
    assert.match(damaged.stdout, /The evidence itself is damaged:\n {2}.*ndjson:\d+/);
    assert.equal(unknown.exitCode, 64);
    assert.equal(wrongTime.exitCode, 64);
    assert.equal(none.exitCode, 66);
  });

  /** Bytes that this process takes more than before, at most, while `work` is done. */
  async function grownBy(work: () => Promise<unknown> | void): Promise<number> {
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    let most = before;
    const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 5);
    await work();
    clearInterval(watch);
    return Math.max(most, process.memoryUsage().rss) - before;
  }

  it('of refused events of 15 MB is small', async () => {
    for (let n = 0; n < 7; n++) await take('event', Buffer.alloc(15e6, n));
    for (let n = 0; n < 7; n++) await take('checkpoint', Buffer.alloc(15e6, 'x'));
    assert.ok(statSync(file(acme)).size < 300_000, String(statSync(file(acme)).size));
    const { damaged, findings } = await report();
    assert.deepEqual(damaged, []);
    assert.equal(findings.length, 14);
  });

  it('of a month with a line of 600 MB is gone on with and read in little memory', async () => {
    const own = join(folder, acme.tenant, acme.gateway);
    mkdirSync(own, { recursive: true });
    const path = join(own, `${new Date(clock.wallMs()).toISOString().slice(0, 7)}.ndjson`);
    // One line of zeros, which takes no room on the disk, and is longer than any string.
    writeFileSync(path, '');
    truncateSync(path, 600e6);
    appendFileSync(path, '\n');
    const stream = new SealedStream(acme).appendMany(4);
    const jws = await checkpoint(signers.acme, stream, 4);
    const writing = await grownBy(() => take('checkpoint', jws));
    let found: Report | undefined;
    const reading = await grownBy(async () => (found = await report()));
    assert.deepEqual(found!.damaged, []);
    assert.equal(found!.certificates[0]!.checkpoints, 1);
    assert.equal(found!.findings.filter(({ kind }) => kind === 'evidence-too-long').length, 1);
    assert.ok(Math.max(writing, reading) < 200e6, `${writing} and ${reading} bytes`);
  });

  it('has limited room for each gateway a day, and counts what did not fit', async () => {
    const stream = new SealedStream(acme).appendMany(3);
    for (let n = 0; n < 2000; n++) await take('event', Buffer.alloc(16_000, 'x'));
    for (const seq of [1, 2, 3]) await take('checkpoint', await checkpoint(signers.acme, stream, seq));
    assert.ok(statSync(file(acme)).size < 8e6, String(statSync(file(acme)).size));
    clock.setWall(clock.wallMs() + 86_400_000);
    await take('checkpoint', await signers.acme.sign(stream.claims(3, { at: clock.wallMs() })));
    const { certificates, findings, damaged } = await report();
    assert.equal(certificates[0]!.checkpoints, 4, 'what is signed has its own room');
    assert.deepEqual(damaged, []);
    const limit = findings.find(({ kind }) => kind === 'evidence-limit');
    assert.equal(limit!['class'], 'refused');
    const withheld = findings.find(({ kind }) => kind === 'evidence-withheld');
    const refused = findings.filter(({ kind }) => kind === 'event-refused').length;
    assert.equal(refused, 2000, 'each is a finding');
    const { refused: counted } = withheld!['counts'] as { refused: number };
    assert.ok(counted > 1500 && counted < 2000, String(counted));
  });

  it('of a gateway whose clock was wrong is kept with both times, and told apart from what is forged', async () => {
    const stream = new SealedStream(acme).appendMany(9);
    const longAgo = Date.parse('2020-01-01T00:00:00Z');
    await takeBatches(stream, 1, 2, 3);
    await take('checkpoint', await signers.acme.sign(stream.claims(3, { at: longAgo })));
    const lost = { ...stream.lost('dropped', 4, 5), at: longAgo };
    await take('event', { ...lost, proof: await signers.acme.sign({ ...lost, signedAt: longAgo }) });
    // A key whose certificate has ended says a time at which none was valid: nobody vouches for that.
    const ended = Date.now() - 600_000;
    const expired = await issueSigner(authority, acme, { notBefore: ended - 3_600_000, notAfter: ended });
    await take('checkpoint', await expired.sign(stream.claims(9, { at: longAgo })));
    await take('checkpoint', await expired.sign(stream.claims(8, { at: Date.now() })));
    const { certificates, epochs, findings, damaged } = await report();
    assert.deepEqual(damaged, []);
    assert.deepEqual(
      findings.map(({ severity, kind, saidAt }) => [severity, kind, saidAt]),
      [
        ['warning', 'clock-wrong', longAgo],
        ['warning', 'clock-wrong', longAgo],
        ['security', 'checkpoint-refused', undefined],
        ['security', 'checkpoint-refused', undefined],
      ],
    );
    const [{ checkpoints, events, signedFrom }] = certificates as [Report['certificates'][number]];
    assert.deepEqual([checkpoints, events], [1, 1]);
    assert.ok(Math.abs(signedFrom - clock.wallMs()) < 60_000, 'the time of arrival counts');
    assert.deepEqual(epochs[0]!.signed[0]!.to, 3);
    assert.deepEqual(epochs[0]!.lost[0]!.signed, true);
  });
});
