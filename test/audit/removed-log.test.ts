import assert from 'node:assert/strict';
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { auditHeadPath } from '../../src/audit/audit-head.ts';
import { auditDirectory, listSegments, readLines } from '../../src/audit/audit-segment.ts';
import { verifyAudit } from '../../src/audit/audit-verification.ts';
import { createLogger, type LogRecord } from '../../src/base/logger.ts';
import type { EventBody } from '../../src/messages/event.ts';
import { Journal } from '../../src/silo/tenant/journal.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { owned } from '../support/owned-origin.ts';

const origin = owned({ tenant: 'acme', gateway: 'acme_gw-0001' });
let owner: string;
let directory: string;
let log: LogRecord[];
let sent: Record<string, unknown>[];

beforeEach(() => {
  owner = mkdtempSync(join(tmpdir(), 'merestone-removed-'));
  directory = auditDirectory(owner);
  log = [];
  sent = [];
});
afterEach(() => rmSync(owner, { recursive: true, force: true }));

/** One life of a silo: it opens its journal, notes its start and some quotas, and ends. */
function live(quotas = 5, of = origin, version = '1'): void {
  const note = (event: EventBody): void => void (event.kind === 'audit' && sent.push(event.entry));
  const logger = createLogger((record) => log.push(record), 'debug');
  const journal = Journal.open(owner, { origin: of, clock: new FakeClock(), logger, note });
  journal.record('start', { version, configSha256: 'ab', fingerprintSha256: 'cd' });
  for (let limit = 0; limit < quotas; limit++) {
    journal.record('quota', { quota: 'samples-per-second', limit, state: 'reached' });
  }
  journal.close();
}

const faults = async (): Promise<string[]> =>
  (await verifyAudit(directory)).findings
    .filter(({ severity }) => severity === 'fault')
    .map((each) => each.message);
const segment = (): string => join(directory, 'audit-000001.ndjson');

/** Entries that stay when the log is cut at its end. */
function cutTo(entries: number): void {
  const kept = readLines(segment()).lines.slice(0, entries);
  truncateSync(
    segment(),
    kept.reduce((bytes, line) => bytes + line.length + 1, 0),
  );
}

describe('a valid audit log', () => {
  it('has no missing entries after restarts, a power cut, or with a head that is behind', async () => {
    live();
    const behind = readFileSync(auditHeadPath(directory));
    live();
    writeFileSync(segment(), '{"at":17', { flag: 'a' });
    live();
    writeFileSync(auditHeadPath(directory), behind);
    assert.deepEqual(await faults(), []);
    live();
    assert.deepEqual(await faults(), []);
    assert.equal(sent.filter(({ kind }) => kind === 'entries-missing').length, 0);
    assert.equal(statSync(auditHeadPath(directory)).mode & 0o777, 0o600);
  });

  it('is unaffected by a missing head, as of an older version, or a damaged head', async () => {
    live();
    for (const damage of ['', 'x', readFileSync(auditHeadPath(directory), 'utf8').replace('0', '9')]) {
      writeFileSync(auditHeadPath(directory), damage);
      assert.deepEqual(await faults(), []);
    }
    rmSync(auditHeadPath(directory));
    assert.deepEqual(await faults(), []);
    live();
    assert.deepEqual(await faults(), []);
  });
});

describe('verification on the box detects that an audit log was', () => {
  const attacks: Record<string, { attack: () => void; verified: RegExp; missing: [number, number] }> = {
    'removed as a whole': {
      attack: () => rmSync(directory, { recursive: true }),
      verified: /the log was removed or cut: entry 7 was written, and no entry is here/,
      missing: [1, 7],
    },
    'cut at its end': {
      attack: () => cutTo(3),
      verified: /the log was removed or cut: entry 7 was written, and the last one here is 3/,
      missing: [4, 7],
    },
    'cut within its last line': {
      attack: () => truncateSync(segment(), statSync(segment()).size - 5),
      verified: /entry 7 was written, and the last one here is 6/,
      missing: [7, 7],
    },
    'cut to no byte': {
      attack: () => truncateSync(segment(), 0),
      verified: /entry 7 was written, and no entry is here/,
      missing: [1, 7],
    },
  };
  for (const [title, { attack, verified, missing }] of Object.entries(attacks)) {
    it(title, async () => {
      live();
      const before = sent.at(-1)!;
      attack();
      assert.match((await faults()).join('\n'), verified);
      sent = [];
      live();
      const [first, second] = sent;
      assert.deepEqual(
        [first?.['kind'], first?.['seqFrom'], first?.['seqTo']],
        ['entries-missing', ...missing],
      );
      assert.ok(Number(first!['seq']) > Number(before['seq']), 'no number is given twice');
      assert.equal(second?.['kind'], 'start');
      assert.ok(log.some(({ level, event }) => level === 'error' && event === 'audit entries are missing'));
      // It stays to be seen, however much is written after it.
      live();
      assert.match((await faults()).join('\n'), /are missing|is missing/);
      assert.equal(sent.filter(({ kind }) => kind === 'entries-missing').length, 1);
    });
  }

  it('replaced by the log of another gateway', async () => {
    live();
    const own = readFileSync(auditHeadPath(directory));
    rmSync(directory, { recursive: true });
    rmSync(auditHeadPath(directory));
    live(20, owned({ tenant: 'globex', gateway: 'globex_gw-0001' }));
    writeFileSync(auditHeadPath(directory), own);
    assert.match((await faults()).join('\n'), /entry 7 is not the one that was written/);
    sent = [];
    live();
    assert.deepEqual([sent[0]?.['kind'], sent[0]?.['seq']], ['entries-missing', 9]);
    assert.ok(log.some(({ event }) => event === 'the audit log is damaged and set aside'));
  });

  it('replaced by an older copy of itself', async () => {
    live();
    const copy = `${owner}/copy`;
    cpSync(directory, copy, { recursive: true });
    live();
    rmSync(directory, { recursive: true });
    cpSync(copy, directory, { recursive: true });
    assert.match((await faults()).join('\n'), /entry 13 was written, and the last one here is 7/);
    live();
    assert.match((await faults()).join('\n'), /entries 8 to 13 are missing before this one/);
  });

  it('replaced by another log of its own tenant and gateway', async () => {
    live(6);
    const other = mkdtempSync(join(tmpdir(), 'merestone-removed-other-'));
    const [keptOwner, keptDirectory] = [owner, directory];
    [owner, directory] = [other, auditDirectory(other)];
    live(9, origin, '2');
    const foreign = segment();
    [owner, directory] = [keptOwner, keptDirectory];
    copyFileSync(foreign, segment());
    rmSync(other, { recursive: true });
    assert.match(
      (await faults()).join('\n'),
      /entry 8 is not the one that was written: the log was replaced/,
    );
    sent = [];
    live();
    assert.equal(sent[0]?.['kind'], 'entries-missing');
  });

  it('removed together with its head, if a log is known to have existed', async () => {
    live();
    rmSync(directory, { recursive: true });
    rmSync(auditHeadPath(directory));
    const { findings } = await verifyAudit(directory, undefined, { mustBe: true });
    assert.match(findings[0]!.message, /there is no log, and one belongs here: it was removed/);
    assert.equal(dirname(auditHeadPath(directory)), owner);
    assert.deepEqual(listSegments(directory), []);
  });
});
