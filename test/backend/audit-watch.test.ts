import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { auditHeadPath } from '../../src/audit/audit-head.ts';
import { auditDirectory, readLines } from '../../src/audit/audit-segment.ts';
import { Consumer } from '../../src/backend/consumer.ts';
import { EvidenceLog } from '../../src/backend/evidence.ts';
import type { Notice } from '../../src/backend/notice.ts';
import { reportOn } from '../../src/backend/report.ts';
import type { VouchFor } from '../../src/backend/signature.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { loadGatewayTrust } from '../../src/cli/gateway-trust.ts';
import type { EventBody, StreamEvent } from '../../src/messages/event.ts';
import { topicOf } from '../../src/messages/topic.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { Journal } from '../../src/silo/tenant/journal.ts';
import { asideLimits } from '../support/parked-limits.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { issueSigner, prove, SealedStream } from '../support/sealed-stream.ts';
import { owned } from '../support/owned-origin.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const acme = owned({ tenant: 'acme', gateway: 'acme_gw-0001' });
const folder = temporaryDirectory({ after });

let signer: Awaited<ReturnType<typeof issueSigner>>;
let vouchFor: VouchFor;
before(async () => {
  const authority = await createAuthority('Test CA');
  signer = await issueSigner(authority, acme);
  writeFileSync(join(folder, 'ca.crt'), authority.certificatePem);
  vouchFor = loadGatewayTrust([join(folder, 'ca.crt')]);
});

/** A box with its audit log, and a backend that is told of it. */
class Rig {
  readonly owner = mkdtempSync(join(folder, 'box-'));
  readonly directory = auditDirectory(this.owner);
  readonly evidence = mkdtempSync(join(folder, 'evidence-'));
  readonly stream = new SealedStream(acme);
  readonly clock = new FakeClock(Date.now());
  readonly notices: Notice[] = [];
  readonly #file = join(this.evidence, 'state.sqlite');
  #store = new StateStore(this.#file, asideLimits);
  consumer = this.#begin(true);

  /** Its entries that go off the box, in one life of the silo. */
  live(quotas = 4): StreamEvent[] {
    const events: StreamEvent[] = [];
    const note = (body: EventBody): void => void events.push(this.stream.event(body));
    this.clock.advance(1000);
    const journal = Journal.open(this.owner, { origin: acme, clock: this.clock, logger: silentLogger, note });
    journal.record('start', { version: '1', configSha256: 'ab', fingerprintSha256: 'cd' });
    for (let limit = 0; limit < quotas; limit++) {
      this.clock.advance(10);
      journal.record('quota', { quota: 'samples-per-second', limit, state: 'reached' });
    }
    journal.close();
    return events;
  }

  async take(events: readonly StreamEvent[], signed = true): Promise<void> {
    for (const event of events) {
      const document = signed ? await prove(signer, event) : event;
      const payload = Buffer.from(JSON.stringify(document));
      await this.consumer.take({ topic: topicOf(acme, 'event'), payload, properties: {}, again: false });
    }
  }

  restart(verify = true): void {
    this.#store.close();
    this.#store = new StateStore(this.#file, asideLimits);
    this.consumer = this.#begin(verify);
  }

  found(): string[] {
    const found = this.notices.filter(({ kind }) => kind.startsWith('audit-')).map(({ kind }) => kind);
    this.notices.length = 0;
    return found;
  }

  end(): void {
    this.#store.close();
  }

  #begin(verify: boolean): Consumer {
    return new Consumer({
      clock: this.clock,
      store: this.#store,
      sink: { write: async () => {}, mark: () => undefined, close: async () => {} },
      vouchFor: verify ? vouchFor : undefined,
      evidence: new EvidenceLog(join(this.evidence, 'kept'), this.clock),
      keepRefused: false,
      gapGraceMs: 0,
      notify: (notice) => this.notices.push(notice),
    });
  }
}

describe('the backend, which saw a gateway’s audit log', () => {
  let rig: Rig;
  beforeEach((test) => {
    rig = new Rig();
    (test as { after?: (end: () => void) => void }).after?.(() => rig.end());
  });

  const removeAll = (): void => {
    rmSync(rig.directory, { recursive: true });
    rmSync(auditHeadPath(rig.directory));
  };

  it('finds one that was removed as a whole, and says so in the report too', async () => {
    await rig.take(rig.live());
    removeAll();
    await rig.take(rig.live());
    assert.deepEqual(rig.found(), ['audit-restarted']);
    const until = rig.clock.wallMs() + 1;
    const options = { tenant: 'acme', certificate: undefined, from: 0, to: until, vouchFor };
    const { findings } = await reportOn(join(rig.evidence, 'kept'), options);
    assert.deepEqual(
      findings.map(({ kind, severity }) => [kind, severity]),
      [['audit-restarted', 'security']],
    );
    assert.match(String(findings[0]!['message']), /began anew: entry 2 of .* after entry 6 of .* removed/);
    // The new one is followed from there.
    await rig.take(rig.live());
    assert.deepEqual(rig.found(), []);
  });

  it('finds one that was removed while it was away itself, and without signatures', async () => {
    rig.restart(false);
    await rig.take(rig.live(), false);
    removeAll();
    rig.restart(false);
    await rig.take(rig.live(), false);
    assert.deepEqual(rig.found(), ['audit-restarted']);
  });

  it('finds one whose tail was cut, whose head beside it was removed', async () => {
    await rig.take(rig.live());
    const path = join(rig.directory, 'audit-000001.ndjson');
    const kept = readLines(path).lines.slice(0, 4);
    truncateSync(
      path,
      kept.reduce((bytes, line) => bytes + line.length + 1, 0),
    );
    rmSync(auditHeadPath(rig.directory));
    await rig.take(rig.live());
    assert.deepEqual(rig.found(), ['audit-set-back']);
    await rig.take(rig.live());
    assert.deepEqual(rig.found(), []);
  });

  it('is told by the gateway, where that found it itself', async () => {
    await rig.take(rig.live());
    rmSync(rig.directory, { recursive: true });
    await rig.take(rig.live());
    assert.deepEqual(rig.found(), ['audit-missing']);
    await rig.take(rig.live());
    assert.deepEqual(rig.found(), []);
  });

  it('finds nothing in a log that goes on, over restarts of both, repeated and late', async () => {
    const first = rig.live();
    const second = rig.live();
    await rig.take(first);
    rig.restart();
    await rig.take([second[0]!, second[2]!, second[1]!, ...first, second[4]!, second[3]!]);
    assert.deepEqual(rig.found(), []);
  });

  it('ignores an unsigned entry', async () => {
    await rig.take(rig.live());
    removeAll();
    await rig.take(rig.live(), false);
    assert.deepEqual(rig.found(), []);
  });

  it('survives malformed entries', async () => {
    await rig.take(rig.live());
    const entries = [
      {},
      { seq: -1 },
      { seq: 1.5, chain: 'a'.repeat(64), at: 1 },
      { seq: 2, chain: 7, at: 1 },
    ];
    await rig.take(entries.map((entry) => rig.stream.event({ kind: 'audit', entry })));
    const extreme = { seq: 1, chain: 'a'.repeat(64), at: 1e300 };
    await rig.take([rig.stream.event({ kind: 'audit', entry: extreme })]);
    assert.deepEqual(rig.found(), ['audit-restarted']);
  });

  it('never blames a log whose events come in any order', async () => {
    const events = [...rig.live(8), ...rig.live(8)];
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(events), async (some) => {
        const other = new Rig();
        other.restart(false);
        await other.take(some, false);
        taken += other.notices.filter(({ kind }) => kind === 'audit').length;
        assert.deepEqual(other.found(), []);
        other.end();
      }),
      { numRuns: 30 },
    );
    assert.ok(taken > 30, `only ${taken} were taken`);
  });

  it('remembers a thousand entries, and takes an older one for the beginning of another log', async () => {
    rig.restart(false);
    const chain = (seq: number): string => String(seq).padStart(64, '0');
    const entry = (seq: number, at = seq): StreamEvent =>
      rig.stream.event({ kind: 'audit', entry: { seq, at, kind: 'quota', chain: chain(seq) } });
    await rig.take(
      Array.from({ length: 1100 }, (_, index) => entry(index + 2)),
      false,
    );
    await rig.take([entry(1000), entry(500)], false);
    assert.deepEqual(rig.found(), []);
    rig.clock.advance(3_600_000); // what is said of one gateway has a rate
    await rig.take([entry(50)], false);
    assert.deepEqual(rig.found(), ['audit-restarted']);
  });
});
