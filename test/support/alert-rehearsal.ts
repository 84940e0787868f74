import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { metricsOf } from '../../src/admin/metrics.ts';
import { formatSeries, parseExposition, parseSeries } from './exposition.ts';
import { buildingStatus } from './given-metrics.ts';

export const rulesFile: string = join(import.meta.dirname, '../../config/prometheus-alerts.yaml');

/** By series, its values from minute to minute as promtool writes them: `1x5 0x10`, `0+60x90`, `_x5`, `stale`. */
export type Course = Map<string, string>;

/** Series whose values differ from a good day's. Missing labels match any. */
export type Change = Record<string, string>;

const instance = 'gw-1';
const busyPerMinute = 60;
/** Counters that grow on a good day; the others are constant. */
const busy =
  /^merestone_(samples_(received|stored|published)|batches_(published|accepted)|uplink_bytes_sent|spool_bytes_written|device_(samples|requests))_total$/;
/** Promtool's time begins at 0. */
const certificateSeconds: Record<string, number> = {
  merestone_certificate_not_before_timestamp_seconds: 0,
  merestone_certificate_not_after_timestamp_seconds: 31_536_000,
};

/** A gateway of two tenants, acme (silo north) and globex (silo south), on one bus, as Prometheus sees it. */
export async function goodDay(minutes: number): Promise<Course> {
  const course: Course = new Map([
    [`up{job="merestone",instance="${instance}"}`, `1x${minutes}`],
    ['up{job="merestone",instance="gw-2"}', `1x${minutes}`],
  ]);
  for (const { series } of parseExposition(await metricsOf(buildingStatus(), Date.now()))) {
    for (const { name, labels, value } of series) {
      if (!name.startsWith('merestone_') && name !== 'process_start_time_seconds') continue;
      const grows = busy.test(name) ? busyPerMinute : name === 'merestone_uptime_seconds' ? 60 : 0;
      const start = certificateSeconds[name] ?? value;
      const key = formatSeries({ name, labels: { job: 'merestone', instance, ...labels } });
      course.set(key, `${start}+${grows}x${minutes}`);
    }
  }
  return course;
}

/** The values with these changes; a change that matches no series becomes a new series. */
export function changed(course: Course, change: Change): Course {
  const result = new Map(course);
  for (const [selector, values] of Object.entries(change)) {
    const { name, labels } = parseSeries(selector);
    const matching = [...result.keys()].filter((key) => {
      const series = parseSeries(key);
      return (
        series.name === name && Object.entries(labels).every(([label, text]) => series.labels[label] === text)
      );
    });
    if (matching.length === 0) {
      result.set(formatSeries({ name, labels: { job: 'merestone', instance, ...labels } }), values);
    }
    for (const key of matching) result.set(key, values);
  }
  return result;
}

/** The values in which series whose text holds `part` are absent from `minute` on; at 0 they never exist. */
export function ended(course: Course, part: string, minute: number): Course {
  const result = new Map(course);
  for (const [key, values] of course) {
    if (!key.includes(part)) continue;
    if (minute === 0) result.delete(key);
    else result.set(key, `${values.replace(/x\d+$/, `x${minute - 1}`)} stale`);
  }
  return result;
}

/** The alerts that must fire at a minute, as `Name{severity="…",tenant="…",…}`; no other may. */
export type Expectation = [minute: number, firing: string[]];

/**
 * Lets promtool evaluate these values and compare; resolves with its output if a result differs, '' if none does.
 * With `pending`, an alert that is about to fire counts, too.
 */
export async function rehearse(
  course: Course,
  expected: readonly Expectation[],
  { pending = false } = {},
): Promise<string> {
  const labels = 'alertname, severity, tenant, silo, bus, device, reason, quota, gateway';
  const alerts = pending ? 'ALERTS' : 'ALERTS{alertstate="firing"}';
  const file = {
    rule_files: [rulesFile],
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series: [...course].map(([series, values]) => ({ series, values })),
        promql_expr_test: expected.map(([minute, firing]) => ({
          expr: `count by (${labels}) (${alerts})`,
          eval_time: `${minute}m`,
          exp_samples: firing.map((each) => ({ labels: asLabels(each), value: 1 })),
        })),
      },
    ],
  };
  const folder = mkdtempSync(join(tmpdir(), 'merestone-alerts-'));
  try {
    const path = join(folder, 'test.yaml');
    writeFileSync(path, stringify(file));
    const { exitCode, output } = await promtool('test', 'rules', path);
    return exitCode === 0 ? '' : output;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function asLabels(alert: string): string {
  const { name, labels } = parseSeries(alert);
  return formatSeries({ name: '', labels: { alertname: name, ...labels } });
}

/** Runs promtool to its end. */
export function promtool(...words: string[]): Promise<{ exitCode: number; output: string }> {
  return new Promise((resolve) => {
    execFile('promtool', words, { timeout: 120_000 }, (error, stdout, stderr) => {
      resolve({ exitCode: error === null ? 0 : 1, output: `${stdout}${stderr}${error?.message ?? ''}` });
    });
  });
}
