import type { ConsumerCounts } from '../../backend/consumer.ts';
import type { Notice } from '../../backend/notice.ts';
import { formatRanges } from '../../backend/seq-set.ts';
import type { StateStore } from '../../backend/state-store.ts';

/** Gateways with gaps that a line for people still names. */
const namedMax = 10;

export function summaryOf(counts: ConsumerCounts, store: StateStore): Notice {
  const streams = [...store.allStreams()].map(([key, ledger]) => ({
    ...key,
    received: ledger.received.size,
    verified: ledger.verified.runs,
    missing: ledger.gaps(),
  }));
  const gaps = streams
    .filter(({ missing }) => missing.length > 0)
    .map(({ tenant, gateway, missing }) => `${tenant}/${gateway} ${formatRanges(missing)}`);
  const message =
    `${counts.rows} rows of ${counts.batches} batches, ${counts.duplicates} duplicates dropped, ` +
    `${counts.refused} messages refused, ${counts.security} security findings; ` +
    (gaps.length === 0 ? 'nothing is missing' : `missing: ${gaps.slice(0, namedMax).join('; ')}`) +
    // Some brokers grant a subscription and then deliver nothing for it.
    (counts.messages === 0
      ? '; nothing came at all: no gateway is online, or the broker keeps it from us'
      : '');
  return { severity: 'info', kind: 'summary', message, details: { ...counts, streams } };
}
