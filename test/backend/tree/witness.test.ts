import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readHeads } from '../../../src/backend/tree/head-file.ts';
import { cosignatureType, isCosignedBy, parsePublicKey } from '../../../src/backend/tree/signed-note.ts';
import { loadGatewayTrust } from '../../../src/cli/gateway-trust.ts';
import { createAuthority } from '../../../src/simulator/certificate-authority.ts';
import { runCommand } from '../../support/daemon.ts';
import { gateways, KeptEvidence } from '../../support/kept-evidence.ts';
import { TestWitness } from '../../support/test-witness.ts';

const { one, other } = gateways;

describe('a witness of the evidence', () => {
  let root: string;
  let kept: KeptEvidence;
  let highWaterMark: TestWitness;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'witness-'));
    writeFileSync(join(root, 'ca.crt'), (await createAuthority('Test CA')).certificatePem);
    kept = new KeptEvidence(root, loadGatewayTrust([join(root, 'ca.crt')]));
    highWaterMark = await TestWitness.start(createPublicKey(kept.key));
    await grow(5);
  });
  after(async () => {
    await highWaterMark[Symbol.asyncDispose]();
    rmSync(root, { recursive: true });
  });

  async function grow(lines: number): Promise<void> {
    for (let line = 0; line < lines; line++)
      await kept.take(one, 'event', `line ${kept.clock.wallMs()} ${line}`);
    kept.end();
  }

  const ask = (folder = kept.folder, key = highWaterMark.key) =>
    runCommand(['backend', 'witness', '--evidence', folder, '--url', highWaterMark.url, '--key', key]);

  const cosigned = (): number[] => {
    const { name, publicKey } = parsePublicKey(highWaterMark.key, cosignatureType)!;
    const path = join(kept.folder, one.tenant, one.gateway, 'heads');
    return [...readHeads(path)].flatMap((record) =>
      record.kind === 'head' && isCosignedBy(record.note, name, publicKey) ? [record.head.size] : [],
    );
  };

  it('cosigns a head, and then what goes on from it; the cosignatures are kept with the heads', async () => {
    const first = await ask();
    assert.equal(first.exitCode, 0, first.stdout + first.stderr);
    assert.match(first.stdout, /^acme\/acme_gw-0001: \d+ lines are cosigned$/m);
    await grow(6);
    assert.equal((await ask()).exitCode, 0);
    assert.deepEqual(highWaterMark.statuses, [200, 200]);
    const [before, now] = cosigned();
    assert.ok(before! > 0 && now! >= before! + 6, `${before} ${now}`);
    // Nothing new: it is not asked.
    assert.equal((await ask()).exitCode, 0);
    assert.equal(highWaterMark.statuses.length, 2);
  });

  it('is asked from where it says that it is', async () => {
    const copy = join(root, 'forked', 'evidence');
    cpSync(kept.folder, copy, { recursive: true });
    await grow(3);
    assert.equal((await ask()).exitCode, 0);
    // Its cosignatures were lost.
    const path = join(kept.folder, one.tenant, one.gateway, 'heads');
    const heads = readFileSync(path, 'utf8');
    writeFileSync(path, heads.replaceAll(/^— witness.*\n/gm, ''));
    await grow(2);
    assert.equal((await ask()).exitCode, 0);
    assert.deepEqual(highWaterMark.statuses.slice(-2), [409, 200]);
    // An older copy that went another way is refused.
    const forked = new KeptEvidence(join(root, 'forked'), kept.vouchFor, { key: kept.key });
    for (let line = 0; line < 30; line++) await forked.take(one, 'event', `another ${line}`);
    forked.end();
    const refused = await ask(forked.folder);
    assert.equal(refused.exitCode, 74);
    assert.match(refused.stdout, /acme_gw-0001: .*: the witness did not cosign: 422/);
  });

  it('that is another one, away or asked about another backend does not pass', async () => {
    await kept.take(other, 'event', 'something');
    await grow(1);
    const otherUser = await TestWitness.start(createPublicKey(kept.key));
    const wrongKey = await ask(kept.folder, otherUser.key);
    await otherUser[Symbol.asyncDispose]();
    assert.equal(wrongKey.exitCode, 74);
    assert.match(wrongKey.stdout, /its answer is no cosignature by its key/);
    const words = ['backend', 'witness', '--evidence', kept.folder, '--key', highWaterMark.key];
    const [away, noKey, noAddress] = await Promise.all([
      runCommand([...words, '--url', 'http://127.0.0.1:1']),
      runCommand([...words.slice(0, -1), 'nonsense', '--url', highWaterMark.url]),
      runCommand([...words, '--url', 'nowhere']),
    ]);
    assert.deepEqual([away.exitCode, noKey.exitCode, noAddress.exitCode], [74, 64, 64]);
  });
});
