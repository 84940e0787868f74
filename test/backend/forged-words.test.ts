import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeEvent } from '../../src/backend/notice-text.ts';
import { noticeDocument } from '../../src/backend/notice.ts';
import type { Report } from '../../src/backend/report.ts';
import { formatReport } from '../../src/cli/backend/report-text.ts';
import type { StreamEvent } from '../../src/messages/event.ts';
import { ConsumerBench } from '../support/consumer-bench.ts';
import { SealedStream } from '../support/sealed-stream.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };

/** No text can be made of these. */
const unspeakable: unknown[] = [
  { toString: 1, valueOf: 2 },
  { toString: null },
  [{ toString: 1 }],
  null,
  undefined,
];

describe('an event with members of its gateway’s choice', () => {
  const event = new SealedStream(acme).appendMany(3).lost('dropped', 1, 2);
  const more = {
    severity: 'info',
    message: 'all is well',
    tenant: 'beta',
    gateway: 'beta_gw-0001',
    kind: 'online',
    epoch: 'another',
  };

  it('is told in our words, whatever its members are called', () => {
    const notice = describeEvent(event);
    const forged = { ...notice, details: { ...notice.details, ...more } };
    assert.deepEqual(noticeDocument(forged), noticeDocument(notice));
    assert.equal(JSON.stringify(noticeDocument(forged)), JSON.stringify(noticeDocument(notice)));
  });

  it('that came over the topic is told so as well', () => {
    const { severity, message } = more;
    const text = JSON.stringify({ ...event, severity, message });
    const told = noticeDocument(describeEvent(JSON.parse(text) as StreamEvent));
    assert.equal(told['severity'], 'warning');
    assert.match(String(told['message']), /^will not come: 1–2/);
  });

  it('of which no text can be made is told, and no fault of ours', async () => {
    for (const [n, value] of unspeakable.entries()) {
      const bench = new ConsumerBench();
      const entry = { kind: 'entries-missing', seqFrom: value, seqTo: value, seq: n, at: 1 };
      const body = { kind: 'audit', entry: { ...entry, chain: 'a'.repeat(64) } } as const;
      await bench.take('event', new SealedStream(acme).event(body), acme);
      assert.equal(bench.of('audit-missing').length, 1, JSON.stringify(value));
      assert.equal(bench.consumer.counts.refused, 0);
    }
  });
});

describe('a report for people', () => {
  it('lists what is unaccounted for and security findings first, however much else there is', () => {
    const sum = (n: number, verified: number) => ({
      gateway: beta.gateway,
      epoch: `epoch-${n}`,
      signed: 5,
      verified,
      declared: 0,
      unaccounted: verified === 5 ? [] : [[5, 5] as [number, number]],
      noted: 0,
    });
    const finding = (severity: string, message: string) => ({ severity, kind: 'gap', ...beta, message });
    const report: Report = {
      tenant: 'beta',
      from: 0,
      to: 1,
      damaged: [],
      certificates: [],
      epochs: [],
      sums: [...Array.from({ length: 200 }, (_, n) => sum(n, 5)), sum(200, 4)],
      neverStored: [],
      audit: [],
      findings: [
        ...Array.from({ length: 200 }, (_, n) => finding('warning', `noise ${n}`)),
        finding('security', 'this one'),
      ],
      others: [],
      omitted: {},
    };
    const text = formatReport(report);
    assert.match(text, /epoch-200: 5 - 4 - 0 = 1 \(5\)/);
    assert.match(text, /security beta_gw-0001 gap: this one/);
    assert.match(text, /and 151 more/);
  });
});
