import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ChainWalk, type ChainFinding } from '../../src/backend/chain-walk.ts';
import { SeqSet } from '../../src/backend/seq-set.ts';
import { SealedStream } from '../support/sealed-stream.ts';

const origin = { tenant: 'acme', gateway: 'acme_gw-0001' };

function batchDigest(payload: Uint8Array): string {
  return createHash('sha256').update(payload).digest('hex');
}

function stream(batches: number): SealedStream {
  return new SealedStream(origin).appendMany(batches);
}

function take(walk: ChainWalk, source: SealedStream, ...seqs: number[]): ChainFinding[] {
  return seqs.flatMap((seq) => walk.takeBatch(seq, batchDigest(source.payload(seq))));
}

describe('ChainWalk', () => {
  it('proves batches that came in order, checkpoint by checkpoint', () => {
    const source = stream(20);
    const walk = new ChainWalk();
    take(walk, source, 1, 2, 3, 4, 5);
    assert.deepEqual(walk.takeSigned(source.place(5)), [{ kind: 'verified', from: 1, to: 5 }]);
    take(walk, source, 6, 7, 8, 9);
    assert.deepEqual(walk.takeSigned(source.place(8)), [{ kind: 'verified', from: 6, to: 8 }]);
    assert.deepEqual(walk.takeSigned(source.place(8)), [], 'the same checkpoint again is nothing new');
  });

  it('waits for batches that a checkpoint overtook', () => {
    const source = stream(10);
    const walk = new ChainWalk();
    take(walk, source, 1, 2);
    assert.deepEqual(walk.takeSigned(source.place(4)), []);
    assert.deepEqual(take(walk, source, 3), []);
    assert.deepEqual(take(walk, source, 4), [{ kind: 'verified', from: 1, to: 4 }]);
  });

  it('walks the backlog and the live batches as two stretches that meet', () => {
    const source = stream(100);
    const walk = new ChainWalk();
    take(walk, source, 1, 2, 3);
    walk.takeSigned(source.place(60));
    take(walk, source, 61, 62, 63);
    assert.deepEqual(walk.takeSigned(source.place(62)), [{ kind: 'verified', from: 61, to: 62 }]);
    const backlog = Array.from({ length: 57 }, (_, index) => index + 4);
    assert.deepEqual(take(walk, source, ...backlog), [{ kind: 'verified', from: 1, to: 60 }]);
    take(walk, source, 64);
    assert.deepEqual(walk.takeSigned(source.place(64)), [{ kind: 'verified', from: 63, to: 64 }]);
    assert.equal(walk.state.stretches.length, 1);
  });

  it('goes on after a run of lost batches whose two edges are signed', () => {
    const source = stream(20);
    for (const early of [true, false]) {
      const walk = new ChainWalk();
      const findings: ChainFinding[] = [];
      const edges = (): void => {
        for (const seq of [4, 9]) findings.push(...walk.takeSigned(source.place(seq)));
      };
      if (early) edges();
      findings.push(...take(walk, source, 1, 2, 3, 4, 6, 10, 11));
      if (!early) edges();
      findings.push(...walk.takeSigned(source.place(11)));
      assert.deepEqual(findings, [
        { kind: 'verified', from: 1, to: 4 },
        { kind: 'verified', from: 10, to: 11 },
      ]);
    }
  });

  const tampered: [string, (source: SealedStream, walk: ChainWalk) => void][] = [
    [
      'a changed byte',
      (source, walk) => {
        const payload = Buffer.from(source.payload(3));
        payload[payload.length - 5]! ^= 1;
        take(walk, source, 1, 2);
        walk.takeBatch(3, batchDigest(payload));
        take(walk, source, 4, 5);
      },
    ],
    [
      'two batches exchanged',
      (source, walk) => {
        take(walk, source, 1);
        walk.takeBatch(2, batchDigest(source.payload(3)));
        walk.takeBatch(3, batchDigest(source.payload(2)));
        take(walk, source, 4, 5);
      },
    ],
    [
      'a batch put in and the rest moved on',
      (source, walk) => {
        take(walk, source, 1, 2);
        walk.takeBatch(3, batchDigest(Buffer.from('added')));
        walk.takeBatch(4, batchDigest(source.payload(3)));
        walk.takeBatch(5, batchDigest(source.payload(4)));
      },
    ],
    [
      'a batch left out and the rest moved up',
      (source, walk) => {
        take(walk, source, 1, 2);
        for (const seq of [3, 4, 5]) walk.takeBatch(seq, batchDigest(source.payload(seq + 1)));
      },
    ],
    [
      'another stream’s batch',
      (source, walk) => {
        const other = new SealedStream({ tenant: 'beta', gateway: 'beta_gw-0001' }).appendMany(5);
        take(walk, source, 1, 2);
        take(walk, other, 3);
        take(walk, source, 4, 5);
      },
    ],
  ];
  for (const [what, deliver] of tampered) {
    it(`finds ${what}, and goes on after the checkpoint that shows it`, () => {
      for (const signedFirst of [true, false]) {
        const source = stream(12);
        const walk = new ChainWalk();
        const findings = signedFirst ? walk.takeSigned(source.place(5)) : [];
        deliver(source, walk);
        findings.push(...walk.takeSigned(source.place(5)));
        take(walk, source, 6, 7);
        findings.push(...walk.takeSigned(source.place(7)));
        const kinds = findings.map(({ kind }) => kind);
        // Where the signature came first, the batches that complete the stretch bring the verdict at once.
        if (!signedFirst) assert.deepEqual(findings[0], { kind: 'broken', from: 1, to: 5 });
        assert.deepEqual(kinds.at(-1), 'verified');
      }
    });
  }

  it('reports a broken stretch at once where the checkpoint was there first', () => {
    const source = stream(6);
    const walk = new ChainWalk();
    walk.takeSigned(source.place(3));
    take(walk, source, 1);
    walk.takeBatch(2, batchDigest(Buffer.from('other')));
    assert.deepEqual(take(walk, source, 3), [{ kind: 'broken', from: 1, to: 3 }]);
  });

  it('finds a left-out batch as a stretch that cannot be walked, and proves what follows', () => {
    const source = stream(12);
    const walk = new ChainWalk();
    take(walk, source, 1, 2, 4, 5);
    assert.deepEqual(walk.takeSigned(source.place(5)), []);
    take(walk, source, 6, 7);
    assert.deepEqual(walk.takeSigned(source.place(7)), [{ kind: 'verified', from: 6, to: 7 }]);
    assert.deepEqual(take(walk, source, 3), [{ kind: 'verified', from: 1, to: 5 }], 'it came late');
  });

  it('finds two signatures for one place', () => {
    const source = stream(3);
    const walk = new ChainWalk();
    take(walk, source, 1, 2, 3);
    walk.takeSigned(source.place(3));
    assert.deepEqual(walk.takeSigned({ seq: 3, chain: 'f'.repeat(64) }), [{ kind: 'forked', seq: 3 }]);
    assert.deepEqual(walk.takeSigned({ seq: 0, chain: source.place(0).chain }), []);
  });

  it('starts in the middle with the first checkpoint', () => {
    const source = stream(30);
    const walk = new ChainWalk();
    take(walk, source, 21, 22);
    walk.takeSigned(source.place(20));
    take(walk, source, 23);
    assert.deepEqual(walk.takeSigned(source.place(23)), [{ kind: 'verified', from: 21, to: 23 }]);
  });

  it('holds a bounded number of digests and stretches, and still proves what it can', () => {
    const source = stream(9000);
    const walk = new ChainWalk();
    for (let seq = 1; seq <= 6000; seq++) take(walk, source, seq);
    assert.deepEqual(walk.takeSigned(source.place(5990)), [{ kind: 'verified', from: 1, to: 5990 }]);
    const findings: ChainFinding[] = [];
    // Every tenth batch never comes, with a checkpoint after each: 17 stretches are one too many.
    for (let seq = 6001; seq <= 6200; seq++) {
      if (seq % 10 !== 5) take(walk, source, seq);
      if (seq % 10 === 0) findings.push(...walk.takeSigned(source.place(seq)));
    }
    assert.ok(walk.state.stretches.length <= 16);
    assert.deepEqual(findings[0], { kind: 'unverifiable', from: 5991, to: 6010, missing: 6005 });
    for (let seq = 6210; seq <= 9000; seq++) take(walk, source, seq);
    assert.ok(JSON.stringify(walk.state).length < 20_000);
  });

  it('forgets nothing that matters when it is put away and taken up again', () => {
    const source = stream(40);
    let walk = new ChainWalk();
    const digests = new Map<number, string>();
    const findings: ChainFinding[] = [];
    for (let seq = 1; seq <= 40; seq++) {
      if (seq !== 10) findings.push(...take(walk, source, seq));
      if (seq === 15)
        findings.push(...walk.takeSigned(source.place(9)), ...walk.takeSigned(source.place(10)));
      if (seq % 7 === 0) findings.push(...walk.takeSigned(source.place(seq)));
      const { added, released } = walk.drainChanges();
      for (const [from, to] of released)
        for (const each of digests.keys()) if (each >= from && each <= to) digests.delete(each);
      for (const [each, digest] of added) digests.set(each, digest);
      walk = new ChainWalk(JSON.parse(JSON.stringify(walk.state)), digests);
    }
    const verified = new SeqSet();
    for (const finding of findings) if (finding.kind === 'verified') verified.add(finding.from, finding.to);
    assert.deepEqual(verified.runs, [
      [1, 9],
      [11, 35],
    ]);
    assert.equal(digests.size, 5);
  });

  it('proves all that came of a stream with signed holes, in any order of arrival', () => {
    const source = stream(40);
    type Step = { kind: 'batch' | 'signed'; seq: number };
    const order = fc
      .tuple(
        fc.uniqueArray(fc.integer({ min: 1, max: 38 }), { maxLength: 4 }),
        fc.uniqueArray(fc.integer({ min: 1, max: 39 }), { maxLength: 4 }),
      )
      .chain(([lost, checkpoints]) => {
        const steps: Step[] = [
          ...Array.from({ length: 40 }, (_, index) => index + 1)
            .filter((seq) => !lost.includes(seq))
            .map((seq): Step => ({ kind: 'batch', seq })),
          ...lost.flatMap((seq): Step[] => [
            { kind: 'signed', seq: seq - 1 },
            { kind: 'signed', seq },
          ]),
          ...checkpoints.map((seq): Step => ({ kind: 'signed', seq })),
        ];
        return fc.shuffledSubarray(steps, { minLength: steps.length, maxLength: steps.length });
      });
    fc.assert(
      fc.property(order, (steps) => {
        const came = new SeqSet();
        const walk = new ChainWalk();
        const verified = new SeqSet();
        const note = (findings: ChainFinding[]): void => {
          for (const finding of findings) {
            assert.equal(finding.kind, 'verified', JSON.stringify(finding));
            if (finding.kind === 'verified') verified.add(finding.from, finding.to);
          }
        };
        for (const step of steps) {
          if (step.kind === 'batch') {
            note(take(walk, source, step.seq));
            came.add(step.seq);
          }
          if (step.kind === 'signed') note(walk.takeSigned(source.place(step.seq)));
        }
        note(walk.takeSigned(source.place(40)));
        assert.deepEqual(verified.runs, came.runs);
      }),
      { numRuns: 1000 },
    );
  });
});
