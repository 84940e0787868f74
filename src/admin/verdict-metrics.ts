import type { Finding } from '../status/verdict/finding.ts';
import type { Judgement, Verdict } from '../status/verdict/verdict.ts';
import type { Define } from './metric-family.ts';

const numbers: Record<Verdict, number> = { good: 0, degraded: 1, failing: 2 };

/** The verdict of page and health for alert rules: of the whole gateway, and each silo's findings. */
export function putVerdict(
  { verdict, findings }: Judgement,
  tenantOf: ReadonlyMap<string, string>,
  gauge: Define,
): void {
  gauge('verdict', '0 good, 1 degraded, 2 failing, as /healthz has it')({}, numbers[verdict]);
  const count = gauge('findings', 'Things that are wrong, by what they are; no series where nothing is');
  for (const [silo, own] of bySilo(findings)) {
    const kinds = Map.groupBy(own, (finding) => `${finding.verdict} ${finding.kind}`);
    for (const [first, ...others] of kinds.values() as Iterable<[Finding, ...Finding[]]>) {
      const labels = { tenant: tenantOf.get(silo) ?? '', silo, verdict: first.verdict, kind: first.kind };
      count(labels, 1 + others.length);
    }
  }
}

/** A bus without devices concerns no silo and is left out. */
function bySilo(findings: readonly Finding[]): Map<string, Finding[]> {
  const all = new Map<string, Finding[]>();
  for (const finding of findings) {
    for (const silo of finding.silos.length > 0 ? finding.silos : ['']) {
      all.set(silo, [...(all.get(silo) ?? []), finding]);
    }
  }
  return all;
}
