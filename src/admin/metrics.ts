import { collectDefaultMetrics, Registry } from 'prom-client';
import type { GatewayStatus } from '../status/status.ts';
import { judge } from '../status/verdict/verdict.ts';
import { putBuses } from './bus-metrics.ts';
import { countersOf, gaugesOf } from './metric-family.ts';
import { putSilos } from './silo-metrics.ts';
import { putVerdict } from './verdict-metrics.ts';

/** https://prometheus.io/docs/instrumenting/exposition_formats/ */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

const processRegistry = new Registry();
collectDefaultMetrics({ register: processRegistry });

/**
 * Prometheus text. Each scrape builds a new registry from the status, so that a removed device or silo leaves no
 * series behind, and the configuration bounds the number of series.
 */
export async function metricsOf(status: GatewayStatus, nowMs: number): Promise<string> {
  const registry = new Registry();
  const gauge = gaugesOf(registry);
  const counter = countersOf(registry);
  gauge('build_info', 'Always 1; the label says which version runs')({ version: status.version }, 1);
  gauge('uptime_seconds', 'Since the daemon started')({}, status.uptimeMs / 1000);
  putSilos(status.silos, nowMs, gauge, counter);
  const tenantOf = new Map(status.silos.map(({ name, tenant }) => [name, tenant ?? '']));
  putVerdict(judge(status), tenantOf, gauge);
  putBuses(status.buses, tenantOf, gauge, counter);
  return (await registry.metrics()) + (await processRegistry.metrics());
}
