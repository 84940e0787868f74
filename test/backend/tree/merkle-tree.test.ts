import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  consistencySpans,
  inclusionSpans,
  isConsistent,
  isEdge,
  isIncluded,
  leafHash,
  proofOf,
  RightEdge,
} from '../../../src/backend/tree/merkle-tree.ts';

/** MTH(D[n]) word for word from RFC 9162 §2.1.1. */
function model(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return createHash('sha256').digest();
  if (leaves.length === 1) return leaves[0]!;
  const split = 2 ** Math.floor(Math.log2(leaves.length - 1));
  const [left, right] = [model(leaves.slice(0, split)), model(leaves.slice(split))];
  return createHash('sha256')
    .update(Buffer.concat([Buffer.of(1), left, right]))
    .digest();
}

const leavesOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, at) => leafHash(`line ${at}`));

function rootOf(leaves: readonly Buffer[]): Buffer {
  const edge = new RightEdge();
  for (const leaf of leaves) edge.append(leaf);
  return edge.root();
}

describe('Merkle tree', () => {
  it('has the roots of Certificate Transparency’s published test data', () => {
    // The inputs of the reference implementation's tests, RFC 6962's tree.
    const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657'];
    const inputLast = '606162636465666768696a6b6c6d6e6f';
    const leaves = [...inputs, inputLast].map((hex) => leafHash(Buffer.from(hex, 'hex')));
    assert.equal(
      rootOf([]).toString('hex'),
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    );
    assert.equal(
      rootOf(leaves.slice(0, 1)).toString('hex'),
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    );
    assert.equal(
      rootOf(leaves).toString('hex'),
      '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
    );
  });

  it('has the root of the model at each size, also when taken up from its edge', () => {
    const edge = new RightEdge();
    const leaves = leavesOf(70);
    for (let size = 0; size <= leaves.length; size++) {
      assert.deepEqual(edge.root(), model(leaves.slice(0, size)), String(size));
      assert.ok(isEdge(size, edge.roots));
      const taken = new RightEdge(edge.size, edge.roots);
      const next = leaves[size];
      if (next === undefined) break;
      edge.append(next);
      taken.append(next);
      assert.deepEqual(taken.root(), edge.root());
    }
  });

  it('proves each leaf, and no other one', () => {
    const sizes = fc
      .integer({ min: 1, max: 40 })
      .chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)));
    fc.assert(
      fc.property(sizes, fc.nat(39), ([size, index], wrong) => {
        const leaves = leavesOf(size);
        const root = model(leaves);
        const proof = proofOf(leaves, inclusionSpans(index, size))!;
        assert.ok(isIncluded(index, size, leaves[index]!, proof, root));
        assert.ok(!isIncluded(index, size, leafHash('another'), proof, root));
        assert.ok(!isIncluded(size, size, leaves[index]!, proof, root));
        assert.ok(!isIncluded(index, size, leaves[index]!, [...proof, root], root));
        if (wrong < size && wrong !== index) assert.ok(!isIncluded(wrong, size, leaves[index]!, proof, root));
      }),
      { numRuns: 200 },
    );
  });

  it('proves that a tree goes on from a smaller one, and from no other', () => {
    for (let size = 1; size <= 20; size++) {
      const leaves = leavesOf(size);
      const second = { size, root: model(leaves) };
      for (let first = 0; first <= size; first++) {
        const older = { size: first, root: model(leaves.slice(0, first)) };
        const proof = proofOf(leaves, consistencySpans(first, size))!;
        assert.ok(isConsistent(older, second, proof), `${first} ${size}`);
        if (first === 0) continue;
        const forged = { size: first, root: leafHash('another') };
        assert.ok(!isConsistent(forged, second, proof), `${first} ${size}`);
        assert.ok(!isConsistent(older, { size, root: leafHash('another') }, proof));
        assert.ok(!isConsistent(older, second, [...proof, second.root]));
      }
    }
    assert.equal(proofOf(leavesOf(3), consistencySpans(2, 5)), undefined);
  });
});
