import assert from 'node:assert/strict';
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type AuditEntry, decodeEntry } from '../../src/audit/audit-entry.ts';
import {
  copyAuditKey,
  destroyAuditKey,
  openAuditSeal,
  readAuditSeal,
  rewrapAuditKey,
} from '../../src/audit/audit-key.ts';
import { AuditLog } from '../../src/audit/audit-log.ts';
import type { AuditSeal } from '../../src/audit/audit-seal.ts';
import { verifyAudit } from '../../src/audit/audit-verification.ts';
import { type KeyWrapper, loadKeyWrapper } from '../../src/identity/key-encryption-key.ts';
import { FakeClock } from '../support/fake-clock.ts';

const origin = { tenant: 'acme', gateway: 'acme_gw-0001' };
const configuration = {
  configSha256: 'ab',
  previousConfigSha256: null,
  changes: [
    'devices.boiler-room.points.flow_temperature',
    ...Array.from({ length: 60 }, (_, n) => `devices.pump-${n}`),
  ],
  by: 'alice',
};
const exchanged = {
  device: 'boiler-room',
  profile: 'eastron-sdm630',
  state: 'contradicted',
  says: 'model 0x0070',
} as const;
const secrets = /boiler-room|flow_temperature|pump-\d|eastron|0x0070/;

let folder: string;
let directory: string;
let keys: KeyWrapper;

function wrapper(name: string): Promise<KeyWrapper> {
  return loadKeyWrapper(join(folder, name), { credentialsDirectory: undefined });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'merestone-audit-seal-'));
  directory = join(folder, 'audit');
  keys = await wrapper('keys');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const linesOf = (): string[] =>
  readFileSync(join(directory, 'audit-000001.ndjson'), 'utf8').trimEnd().split('\n');
const entriesOf = (): AuditEntry[] => linesOf().map((line) => decodeEntry(Buffer.from(line))!.entry);
const everyByte = (): string =>
  readdirSync(directory)
    .map((name) => readFileSync(join(directory, name), 'latin1'))
    .join('\n');

/** A log of a header and two entries with names; what `append` gave of them. */
function writeNames(seal: AuditSeal | undefined): AuditEntry[] {
  const log = AuditLog.open(directory, { origin, clock: new FakeClock(), ...(seal && { seal }) });
  const told = [log.append('configuration', configuration), log.append('device-identity', exchanged)];
  log.close();
  return told;
}

describe('names in an audit log', () => {
  it('are sealed on the disk, in clear in events, and open with the key', async () => {
    const told = writeNames(await openAuditSeal(directory, keys, origin));
    assert.partialDeepStrictEqual(told, [configuration, exchanged]);
    assert.doesNotMatch(everyByte(), secrets);
    const [, changed, device] = entriesOf();
    assert.partialDeepStrictEqual(changed, { kind: 'configuration', configSha256: 'ab', by: 'alice' });
    assert.partialDeepStrictEqual(device, { kind: 'device-identity', state: 'contradicted' });
    const seal = await readAuditSeal(directory, keys, origin);
    assert.deepEqual(
      [changed!, device!].map((entry) => seal!.open(entry)),
      told,
    );
    assert.equal(statSync(join(directory, 'audit-key.json')).mode & 0o777, 0o600);
  });

  it('are verified without the key, which detects a changed bit', async () => {
    writeNames(await openAuditSeal(directory, keys, origin));
    rmSync(join(directory, 'audit-key.json'));
    assert.equal((await verifyAudit(directory)).good, true);
    const lines = linesOf();
    const damaged = lines[1]!.replace(/"sealed":"(.{40})(.)/, (_, start: string, one: string) => {
      return `"sealed":"${start}${one === 'A' ? 'B' : 'A'}`;
    });
    writeFileSync(join(directory, 'audit-000001.ndjson'), `${lines.with(1, damaged).join('\n')}\n`);
    assert.equal((await verifyAudit(directory)).good, false);
  });

  it('open only in their own entry and for their own tenant', async () => {
    const seal = await openAuditSeal(directory, keys, origin);
    writeNames(seal);
    const [, changed, device] = entriesOf();
    const moved = { ...changed!, sealed: device!['sealed'] };
    assert.deepEqual(seal.open(moved), moved);
    const later = { ...changed!, seq: 9 };
    assert.deepEqual(seal.open(later), later);
    const theirs = await readAuditSeal(directory, keys, { ...origin, tenant: 'globex' });
    assert.deepEqual(theirs!.open(changed!), changed);
    assert.equal(await readAuditSeal(directory, await wrapper('others'), origin), undefined);
  });

  it('are left out without a key to seal them', async () => {
    const told = writeNames(undefined);
    assert.doesNotMatch(everyByte() + JSON.stringify(told), secrets);
    assert.deepEqual(
      entriesOf().map(({ kind, sealed }) => [kind, sealed]),
      [
        ['segment', undefined],
        ['configuration', null],
        ['device-identity', null],
      ],
    );
    assert.equal((await verifyAudit(directory)).good, true);
  });

  it('are read in clear from a log of an older version', async () => {
    const seal = await openAuditSeal(directory, keys, origin);
    const entry = { at: 1, seq: 2, kind: 'device-identity', ...exchanged, chain: 'ab' } as const;
    assert.deepEqual(seal.open(entry), entry);
  });
});

describe("audit log's key", () => {
  const path = (): string => join(directory, 'audit-key.json');

  it('is rewrapped when the first key-encryption key changes, and the old wrapping is overwritten', async () => {
    const told = writeNames(await openAuditSeal(directory, keys, origin));
    linkSync(path(), join(folder, 'inode'));
    const next = await wrapper('next');
    const both = { ...next, unwrap: (jwe: string) => next.unwrap(jwe).catch(() => keys.unwrap(jwe)) };
    await rewrapAuditKey(directory, both);
    const seal = await readAuditSeal(directory, next, origin);
    assert.deepEqual(seal!.open(entriesOf()[1]!), told[0]);
    assert.equal(await readAuditSeal(directory, keys, origin), undefined);
    assert.match(readFileSync(join(folder, 'inode'), 'latin1'), /^\0+$/);
    assert.deepEqual(readdirSync(directory).sort(), ['audit-000001.ndjson', 'audit-key.json']);
  });

  for (const [when, leave] of Object.entries({
    'before the new wrapping has its name': () => linkSync(path(), `${path()}.former`),
    'before the former one is overwritten': () => copyFileSync(path(), `${path()}.former`),
    'while the new one is being written': () => writeFileSync(`${path()}.new`, '{"kek":'),
  })) {
    it(`survives a crash ${when}`, async () => {
      const told = writeNames(await openAuditSeal(directory, keys, origin));
      leave();
      const seal = await openAuditSeal(directory, keys, origin);
      assert.deepEqual(seal.open(entriesOf()[1]!), told[0]);
      await rewrapAuditKey(directory, keys);
      assert.equal(readdirSync(directory).includes('audit-key.json.former'), false);
    });
  }

  it('is kept under another name if it does not open, and the log goes on with a new one', async () => {
    const [changed] = writeNames(await openAuditSeal(directory, keys, origin));
    const seal = await openAuditSeal(directory, await wrapper('others'), origin);
    assert.equal(seal.open(entriesOf()[1]!)['changes'], undefined);
    const aside = readdirSync(directory).find((name) => name.startsWith('audit-key.json.lost-'))!;
    mkdirSync(join(folder, 'kept'));
    copyFileSync(join(directory, aside), join(folder, 'kept', 'audit-key.json'));
    const kept = await readAuditSeal(join(folder, 'kept'), keys, origin);
    assert.deepEqual(kept!.open(entriesOf()[1]!), changed);
  });

  it('is destroyed with its former wrapping, and the log stays valid', async () => {
    writeNames(await openAuditSeal(directory, keys, origin));
    await openAuditSeal(directory, await wrapper('others'), origin);
    const links = readdirSync(directory).filter((name) => name.startsWith('audit-key'));
    for (const name of links) linkSync(join(directory, name), join(folder, name));
    assert.equal(destroyAuditKey(directory).length, 2);
    assert.deepEqual(readdirSync(directory), ['audit-000001.ndjson']);
    for (const name of links) assert.match(readFileSync(join(folder, name), 'latin1'), /^\0+$/);
    assert.equal((await verifyAudit(directory)).good, true);
    assert.deepEqual(destroyAuditKey(directory), []);
  });

  it('is copied to a log that begins beside a damaged one', async () => {
    const seal = await openAuditSeal(directory, keys, origin);
    copyAuditKey(directory, join(folder, 'begun'));
    const again = await readAuditSeal(join(folder, 'begun'), keys, origin);
    const entry = { at: 1, seq: 5, kind: 'configuration', chain: '' } as const;
    const sealed = seal.seal(5, 'configuration', { changes: ['x'] });
    assert.deepEqual(again!.open({ ...entry, sealed })['changes'], ['x']);
  });
});
