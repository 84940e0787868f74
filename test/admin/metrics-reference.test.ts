import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { lossReasons } from '../../src/reading/loss.ts';
import { promtool, rulesFile } from '../support/alert-rehearsal.ts';
import type { Family } from '../support/exposition.ts';
import { everyMetric } from '../support/given-metrics.ts';
import { queriesOf, readDashboard } from '../support/grafana.ts';

interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  labels?: { severity: string };
}

const page = readFileSync(join(import.meta.dirname, '../../docs/metrics.md'), 'utf8');
const rules = (parse(readFileSync(rulesFile, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
/** Labels that Prometheus gives to what it scrapes. */
const scraped = ['job', 'instance'];

/** Rows of the page's tables whose first cell is a name of this kind, with their cells. */
function rowsOf(name: RegExp): string[][] {
  return page
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((cells) => name.test(cells[1] ?? ''))
    .map((cells) => cells.slice(1, -1));
}

function namesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
}

describe('metrics reference', () => {
  let metrics: Map<string, Family>;
  before(async () => {
    metrics = new Map((await everyMetric()).map((family) => [family.name, family]));
  });

  const labelsOf = (family: Family): string[] => [
    ...new Set(family.series.flatMap(({ labels }) => Object.keys(labels))),
  ];

  it('lists every metric, and no other, in docs/metrics.md', () => {
    const told = rowsOf(/^`(merestone|process|nodejs)_/).map(([name]) => namesIn(name!)[0]!);
    assert.ok(told.length > 60);
    assert.deepEqual([...told].sort(), [...metrics.keys()].sort());
  });

  it('gives labels, unit and meaning of each metric in docs/metrics.md', () => {
    for (const [name, labels, unit, what] of rowsOf(/^`merestone_/)) {
      const family = metrics.get(namesIn(name!)[0]!)!;
      assert.deepEqual(namesIn(labels!).sort(), labelsOf(family).sort(), name);
      assert.ok(unit!.length > 2 && what!.length > 10, name);
      assert.equal(name!.endsWith('_total`'), family.type === 'counter', `${name} is a ${family.type}`);
    }
  });

  it('lists every loss reason in docs/metrics.md', () => {
    const told = rowsOf(/^`(?!reason`)[a-z-]+`$/).map(([reason]) => namesIn(reason!)[0]!);
    assert.deepEqual(told, [...lossReasons]);
  });

  it('lists each alert with its severities in docs/metrics.md', () => {
    const severities = new Map<string, string[]>();
    for (const { alert, labels } of rules) {
      if (alert !== undefined) severities.set(alert, [...(severities.get(alert) ?? []), labels!.severity]);
    }
    const told = rowsOf(/^`Merestone/).map(([name, severity]) => [namesIn(name!)[0]!, severity!.split(', ')]);
    assert.deepEqual(Object.fromEntries(told), Object.fromEntries(severities));
  });

  it('has Prometheus configurations in docs/metrics.md that Prometheus accepts', async () => {
    const blocks = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => text!);
    const configs = blocks.filter((text) => text.includes('scrape_configs:'));
    assert.equal(configs.length, 2);
    const folder = mkdtempSync(join(tmpdir(), 'merestone-docs-'));
    try {
      for (const text of configs) {
        const file = join(folder, 'prometheus.yml');
        writeFileSync(file, text);
        const mode = text.includes('--agent') ? ['--agent'] : [];
        const { exitCode, output } = await promtool('check', 'config', '--syntax-only', ...mode, file);
        assert.equal(exitCode, 0, output);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  const recorded = new Set(rules.flatMap(({ record }) => (record === undefined ? [] : [record])));
  const uses = [
    ...rules.map(({ alert, record, expr }) => ({ place: alert ?? record!, expr })),
    ...queriesOf(readDashboard()),
  ];

  it('has every metric that rules and dashboard use', () => {
    const named = uses.flatMap(({ place, expr }) =>
      [...expr.matchAll(/\b(?:merestone|process|nodejs)[_:][\w:]*/g)].map(([name]) => ({ place, name })),
    );
    assert.ok(named.length > 100);
    const unknown = named.filter(({ name }) => !metrics.has(name) && !recorded.has(name));
    assert.deepEqual(unknown, []);
  });

  it('has every label that rules and dashboard select or group by', () => {
    const every = new Set([...scraped, ...[...metrics.values()].flatMap(labelsOf)]);
    for (const { place, expr } of uses) {
      for (const [, name, matchers] of expr.matchAll(/\b((?:merestone|process)_\w+)\{([^}]*)\}/g)) {
        const known = new Set([...labelsOf(metrics.get(name!)!), ...scraped]);
        for (const [, label] of matchers!.matchAll(/(\w+)\s*(?:=~|!~|!=|=)"/g))
          assert.ok(known.has(label!), `${place}: ${name} has no ${label}`);
      }
      for (const [, list] of expr.matchAll(/\b(?:by|without|on) \(([^)]*)\)/g)) {
        for (const label of list!.split(/,\s*/)) assert.ok(every.has(label), `${place}: ${label}`);
      }
    }
  });

  it('narrows every panel query by each variable whose label its series have', () => {
    const panels = readDashboard().panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr, refId }) => ({ place: `${title} ${refId}`, expr })),
    );
    const narrowed = new Map<string, number>();
    for (const { place, expr } of panels) {
      for (const [, name, , matchers = ''] of expr.matchAll(/\b((?:merestone|process)_\w+)(\{([^}]*)\})?/g)) {
        const labels = new Set([...labelsOf(metrics.get(name!)!), 'instance']);
        for (const label of ['tenant', 'instance', 'silo', 'bus']) {
          if (!labels.has(label)) continue;
          assert.ok(matchers.includes(`${label}=~"$${label}"`), `${place}: ${name} of every ${label}`);
          narrowed.set(label, (narrowed.get(label) ?? 0) + 1);
        }
      }
    }
    assert.deepEqual([...narrowed.keys()].sort(), ['bus', 'instance', 'silo', 'tenant']);
  });

  it('finds the same certificate limits in rules and dashboard', () => {
    const limits = (queries: typeof uses): string[] => [
      ...new Set(
        queries
          .filter(({ expr }) => expr.includes('certificate_not_after'))
          .flatMap(({ expr }) => expr.match(/\d+,\s*\d+(?=\))/g) ?? []),
      ),
    ];
    assert.deepEqual(limits(rules.map(({ expr }) => ({ place: '', expr }))).sort(), [
      '10, 604800',
      '4, 2592000',
    ]);
    assert.deepEqual(limits(queriesOf(readDashboard())).sort(), ['10, 604800', '4, 2592000']);
  });

  it('finds every metric of the gateway itself on the dashboard', () => {
    const shown = uses.map(({ expr }) => expr).join('\n');
    const own = [...metrics.keys()].filter((name) => name.startsWith('merestone_'));
    // The days are shown by the clock of Prometheus, from the certificate's end.
    const hidden = own.filter((name) => !new RegExp(`\\b${name}\\b`).test(shown));
    assert.deepEqual(hidden, ['merestone_certificate_days_left']);
  });
});
