import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readLines } from '../../../src/backend/evidence-reader.ts';
import { reportOn, type Report } from '../../../src/backend/report.ts';
import type { VouchFor } from '../../../src/backend/signature.ts';
import { HeadSigner } from '../../../src/backend/tree/head-signer.ts';
import { isConsistent, isIncluded, RightEdge } from '../../../src/backend/tree/merkle-tree.ts';
import { loadGatewayTrust } from '../../../src/cli/gateway-trust.ts';
import { createAuthority } from '../../../src/simulator/certificate-authority.ts';
import { runCommand } from '../../support/daemon.ts';
import { gateways, KeptEvidence, type Line, type TamperedEvidence } from '../../support/kept-evidence.ts';
import { issueSigner } from '../../support/sealed-stream.ts';

const { one, two } = gateways;

type Tamper = (evidence: TamperedEvidence, months: string[]) => void;

const isCheckpoint = ({ channel }: Line): boolean => channel === 'checkpoint';
const isDropped = ({ message }: Line): boolean => message?.includes('"dropped"') === true;

/** What an attacker does to the folder, and what the report then says; months are those of the first gateway. */
const tampers: Record<string, [Tamper, RegExp]> = {
  'the tail cut off': [
    (evidence, [, , last]) => evidence.rewrite(one, last!, (lines) => lines.slice(0, -3)),
    /acme_gw-0001: 3 of \d+ lines that were signed \(.*heads:\d+\) are gone; the last one is .*ndjson:\d+$/m,
  ],
  'the tail cut off with its heads and its mark': [
    (evidence, [, , last]) => {
      evidence.rewrite(one, last!, (lines) => lines.slice(0, -9));
      evidence.remove(one, 'heads');
      evidence.remove(one, 'tree.json');
    },
    /9 of \d+ lines that were signed/,
  ],
  'a gateway’s folder removed': [
    (evidence) => evidence.remove(two),
    /acme_gw-0002: 6 of 6 lines that were signed .* are gone; nothing of this gateway is there/,
  ],
  'the first month removed': [
    (evidence, [first]) => evidence.remove(one, first),
    /acme_gw-0001: lines 1 to \d+ \(.*\) are not those that were signed/,
  ],
  'a month in the middle removed': [
    (evidence, [, middle]) => evidence.remove(one, middle),
    /acme_gw-0001: lines \d+ to \d+ \(.*\) are not those that were signed/,
  ],
  'the last month removed': [
    (evidence, [, , last]) => evidence.remove(one, last),
    /acme_gw-0001: \d+ of \d+ lines that were signed .* are gone; the last one is .*ndjson/,
  ],
  'the last epoch removed': [
    (evidence, [, , last]) =>
      evidence.rewrite(one, last!, (lines) =>
        lines.slice(
          0,
          lines.findIndex((line) => JSON.stringify(line).includes('0000000001')),
        ),
      ),
    /acme_gw-0001: \d+ of \d+ lines that were signed .* are gone/,
  ],
  'a checkpoint left out, the hashes worked out anew': [
    (evidence, [first]) =>
      evidence.rewrite(one, first!, (lines) => lines.toSpliced(lines.findIndex(isCheckpoint), 1)),
    /acme_gw-0001: lines 1 to \d+ \(.*:1 to .*\) are not those that were signed/,
  ],
  'a dropped event left out, the hashes worked out anew': [
    (evidence, [, middle]) =>
      evidence.rewrite(one, middle!, (lines) => lines.toSpliced(lines.findIndex(isDropped), 1)),
    /acme_gw-0001: lines \d+ to \d+ \(.*\) are not those that were signed/,
  ],
  'verified forged to 5000': [
    (evidence, [first]) =>
      evidence.rewrite(one, first!, (lines) =>
        lines.map((line) =>
          line.finding?.['kind'] === 'verified' ? { ...line, finding: { ...line.finding, to: 5000 } } : line,
        ),
      ),
    /noted as verified to batch 5000, and nothing beyond batch 36 is signed/,
  ],
  'findings deleted': [
    (evidence, [, , last]) =>
      evidence.rewrite(one, last!, (lines) => lines.filter(({ finding }) => finding === undefined)),
    /acme_gw-0001: lines \d+ to \d+ .* are not those that were signed/,
  ],
  'times shifted': [
    (evidence, [, middle]) =>
      evidence.rewrite(one, middle!, (lines) => lines.map((line) => ({ ...line, at: line.at - 60_000 }))),
    /acme_gw-0001: lines \d+ to \d+ .* are not those that were signed/,
  ],
  'the files of two months exchanged': [
    (evidence, [first, middle]) => {
      const spare = evidence.path(one, 'spare');
      renameSync(evidence.path(one, first), spare);
      renameSync(evidence.path(one, middle), evidence.path(one, first));
      renameSync(spare, evidence.path(one, middle));
    },
    /acme_gw-0001: lines 1 to \d+ .* are not those that were signed/,
  ],
  'the folders of two gateways exchanged': [
    (evidence) => {
      const spare = join(evidence.folder, 'acme', 'spare');
      renameSync(evidence.path(one), spare);
      renameSync(evidence.path(two), evidence.path(one));
      renameSync(spare, evidence.path(two));
    },
    /acme_gw-0002: lines 1 to \d+ .* are not those that were signed/,
  ],
  'a line edited': [
    (evidence, [, middle]) =>
      evidence.rewrite(one, middle!, (lines) => lines.with(1, { ...lines[1]!, at: 5 }), false),
    /ndjson:3$/m,
  ],
  'a line put in twice': [
    (evidence, [first]) => evidence.rewrite(one, first!, (lines) => lines.toSpliced(2, 0, lines[1]!)),
    /acme_gw-0001: lines 1 to \d+ .* are not those that were signed/,
  ],
  'half a line at the end': [
    (evidence, [, , last]) => {
      const path = evidence.path(one, last);
      truncateSync(path, statSync(path).size - 40);
    },
    /ndjson:\d+$/m,
  ],
  'the digest of a batch replaced': [
    (evidence, [first]) =>
      evidence.rewrite(one, first!, (lines) =>
        lines.map((line) =>
          line.batch === undefined ? line : { ...line, batch: { ...line.batch, rows: 1 } },
        ),
      ),
    /acme_gw-0001: lines 1 to \d+ .* are not those that were signed/,
  ],
  'a line that is JSON and none of ours': [
    (evidence, [first]) => appendFileSync(evidence.path(two, first), '{"at":1,"batch":null}\n'),
    /acme_gw-0002.*ndjson:7$/m,
  ],
  'its own heads removed': [
    (evidence) => evidence.remove(one, 'heads'),
    /acme_gw-0001: its own heads are gone from the folder/,
  ],
};

describe('evidence that somebody tampers with', () => {
  let root: string;
  let vouchFor: VouchFor;
  let kept: KeptEvidence;
  let tampered: string;
  let old: string;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'tampered-evidence-'));
    tampered = join(root, 'tampered');
    old = join(root, 'old');
    const authority = await createAuthority('Test CA');
    writeFileSync(join(root, 'ca.crt'), authority.certificatePem);
    vouchFor = loadGatewayTrust([join(root, 'ca.crt')]);
    kept = new KeptEvidence(root, vouchFor);
    const year = { notAfter: Date.now() + 365 * 86_400_000 };
    const signers = {
      one: await issueSigner(authority, one, year),
      two: await issueSigner(authority, two, year),
      other: await issueSigner(authority, gateways.other, year),
    };
    await kept.live(signers);
    cpSync(kept.folder, old, { recursive: true });
    await kept.take(one, 'event', 'something that came later');
    kept.end();
  });
  after(() => rmSync(root, { recursive: true }));

  function report(folder: string, heads?: string): Promise<Report> {
    const times = { from: 0, to: kept.clock.wallMs() + 1 };
    return reportOn(folder, { tenant: 'acme', certificate: undefined, ...times, vouchFor, heads });
  }

  it('is whole where nobody did', async () => {
    for (const heads of [undefined, kept.heads]) {
      const { damaged, trees, cannotSee } = await report(kept.folder, heads);
      assert.deepEqual(damaged, []);
      assert.ok(
        trees!.every(({ lines, signed }) => lines === signed && lines > 5),
        JSON.stringify(trees),
      );
      assert.equal(trees!.length, 2, 'of its own tenant');
      assert.equal(cannotSee!.length, heads === undefined ? 2 : 0);
    }
  });

  it('sums up what was signed, verified and declared', async () => {
    const { sums } = await report(kept.folder, kept.heads);
    assert.deepEqual(
      sums!.map(({ gateway, signed, verified, declared, unaccounted, noted }) => [
        gateway,
        signed,
        verified,
        declared,
        unaccounted,
        noted,
      ]),
      [
        [one.gateway, 36, 30, 6, [], 0],
        [one.gateway, 4, 4, 0, [], 0],
        [two.gateway, 4, 4, 0, [], 0],
      ],
    );
  });

  for (const [what, [tamper, said]] of Object.entries(tampers)) {
    it(`is found: ${what}`, async () => {
      const evidence = kept.copyTo(tampered);
      tamper(evidence, evidence.months(one));
      const { damaged } = await report(tampered, kept.heads);
      assert.match(damaged.join('\n'), said);
    });
  }

  it('is found set back to an older copy, also when the log went on from there', async () => {
    const { damaged } = await report(old, kept.heads);
    assert.match(damaged.join('\n'), /acme_gw-0001: 2 of \d+ lines that were signed/);
    assert.equal(damaged.length, 1);
    cpSync(old, join(root, 'again', 'evidence'), { recursive: true });
    cpSync(kept.heads, join(root, 'again', 'heads'));
    const again = new KeptEvidence(join(root, 'again'), vouchFor, { key: kept.key });
    for (const text of ['other', 'things', 'were', 'told']) await again.take(one, 'event', text);
    again.end();
    const found = await report(again.folder, again.heads);
    assert.match(found.damaged.join('\n'), /lines \d+ to \d+ \(.*\) are not those that were signed/);
  });

  it('may have its first months removed by whoever says so, and no others', async () => {
    const report = (removedBefore: string | undefined): Promise<Report> =>
      reportOn(tampered, {
        tenant: 'acme',
        certificate: undefined,
        from: 0,
        to: kept.clock.wallMs() + 1,
        vouchFor,
        heads: kept.heads,
        removedBefore,
      });
    const evidence = kept.copyTo(tampered);
    const [first, middle, last] = evidence.months(one);
    evidence.remove(one, first);
    const whole = await report(middle!.slice(0, 7));
    assert.deepEqual(whole.damaged, []);
    const [tree] = whole.trees!;
    assert.ok(tree!.removed > 5 && tree!.signed === tree!.lines, JSON.stringify(tree));
    for (const removedBefore of [undefined, first!.slice(0, 7)]) {
      assert.match((await report(removedBefore)).damaged.join(), /lines 1 to \d+ .* are not those/);
    }
    evidence.remove(one, middle);
    assert.match((await report(middle!.slice(0, 7))).damaged.join(), /are not those|are gone/);
    assert.deepEqual((await report(last!.slice(0, 7))).damaged, []);
    // What is left is held against the heads as before.
    evidence.rewrite(one, last!, (lines) => lines.toSpliced(3, 1));
    assert.match((await report(last!.slice(0, 7))).damaged.join(), /are not those that were signed/);
  });

  it('proves a line, and that a head goes on from an older one', async () => {
    const words = [
      'backend',
      'prove',
      '--evidence',
      kept.folder,
      '--tenant',
      'acme',
      '--gateway',
      one.gateway,
    ];
    const lines = [...readLines(kept.folder, one)];
    const [line, since, neither, beyond] = await Promise.all([
      runCommand([...words, '--line', '7', '--json']),
      runCommand([...words, '--since', '12', '--json']),
      runCommand(words),
      runCommand([...words, '--line', '9999']),
    ]);
    const parse = ({ stdout }: { stdout: string }) => {
      const { size, root, proof } = JSON.parse(stdout) as { size: number; root: string; proof: string[] };
      const hash = (text: string): Buffer => Buffer.from(text, 'base64');
      return { size, root: hash(root), proof: proof.map(hash) };
    };
    const included = parse(line);
    assert.equal(included.size, lines.length);
    assert.ok(isIncluded(6, included.size, lines[6]!.leaf, included.proof, included.root));
    assert.ok(!isIncluded(6, included.size, lines[7]!.leaf, included.proof, included.root));
    const edge = new RightEdge();
    for (const { leaf } of lines.slice(0, 12)) edge.append(leaf);
    const { proof, ...newer } = parse(since);
    assert.ok(isConsistent({ size: 12, root: edge.root() }, newer, proof));
    assert.deepEqual([neither.exitCode, beyond.exitCode], [64, 64]);
  });

  it('is found signed anew with another key', async () => {
    const evidence = kept.copyTo(tampered);
    const { privateKey } = generateKeyPairSync('ed25519');
    const signer = new HeadSigner({ log: 'merestone', key: privateKey, file: undefined, everyMs: 1 });
    writeFileSync(join(tampered, 'log.pub'), `${signer.publicKey}\n\n`);
    for (const gateway of [one, two]) {
      evidence.rewrite(gateway, evidence.months(gateway)[0]!, (lines) => lines.slice(1));
      const edge = new RightEdge();
      for (const { leaf } of readLines(tampered, gateway)) edge.append(leaf);
      writeFileSync(evidence.path(gateway, 'heads'), `${signer.sign(gateway, edge)}\n`);
    }
    const { damaged } = await report(tampered, kept.heads);
    const said = damaged.join('\n');
    assert.match(said, /log\.pub names a key that is not the backend’s/);
    assert.match(said, /acme_gw-0001: a head is not signed by the backend’s key \(.*acme_gw-0001\/heads:1\)/);
    assert.match(said, /acme_gw-0001: lines 1 to \d+ .* are not those that were signed/);
    assert.match(said, /acme_gw-0002: 1 of 6 lines that were signed .* are gone/);
    const { damaged: unseen, cannotSee } = await report(tampered);
    assert.deepEqual(unseen, []);
    assert.match(cannotSee!.join('\n'), /whether the key that signed is the backend’s/);
  });

  it('shows without heads from elsewhere what its own heads tell', async () => {
    const evidence = kept.copyTo(tampered);
    evidence.rewrite(one, evidence.months(one)[0]!, (lines) => lines.toSpliced(1, 1));
    const { damaged } = await report(tampered);
    assert.match(damaged.join('\n'), /are not those that were signed \(.*acme_gw-0001\/heads:\d+\)/);
  });

  it('is told on the command line, with the exit code', async () => {
    const access = ['--trust', join(root, 'ca.crt'), '--to', '2100-01-01'];
    const words = (folder: string, ...more: string[]): string[] =>
      ['backend', 'report', '--tenant', 'acme', '--evidence', folder].concat(access, more);
    const evidence = kept.copyTo(tampered);
    evidence.remove(two);
    const key = readFileSync(kept.heads, 'utf8').split('\n')[0]!;
    const [whole, gone, alone, pinned, none] = await Promise.all([
      runCommand(words(kept.folder, '--heads', kept.heads)),
      runCommand(words(tampered, '--heads', kept.heads)),
      runCommand(words(tampered)),
      runCommand(words(kept.folder, '--key', key)),
      runCommand(words(kept.folder, '--heads', join(root, 'none'))),
    ]);
    assert.equal(whole.exitCode, 0, whole.stdout + whole.stderr);
    assert.match(whole.stdout, /Under signed heads:\n {2}acme_gw-0001: all \d+ lines/);
    assert.match(whole.stdout, /acme_gw-0001 01JD3W5V2K0000000000000000: 36 - 30 - 6 = 0$/m);
    assert.doesNotMatch(whole.stdout, /beta_gw/);
    assert.equal(gone.exitCode, 74);
    assert.match(gone.stdout, /damaged:\n {2}acme\/acme_gw-0002: 6 of 6 lines that were signed/);
    assert.equal(alone.exitCode, 0);
    assert.match(alone.stdout, /What this cannot show:\n {2}without --heads: lines that were cut off/);
    assert.equal(pinned.exitCode, 0, pinned.stdout);
    assert.equal(none.exitCode, 66);
  });
});
