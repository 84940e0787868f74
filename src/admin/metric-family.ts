import { Counter, Gauge, type Registry } from 'prom-client';

/** Kinds and reasons come from our own code and are few; more than this would be text from outside. */
export const kindsMax = 32;

export type Labels = Record<string, string>;
/** Sets one series; an unknown value (null) sets no series. */
type Put = (labels: Labels, value: number | null) => void;
/** Defines a metric; it is exported once it has a series. */
export type Define = (name: string, help: string) => Put;

export function gaugesOf(registry: Registry): Define {
  return (name, help) => {
    let metric: Gauge | undefined;
    return (labels, value) => {
      if (value === null) return;
      metric ??= new Gauge({
        name: `merestone_${name}`,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
      });
      metric.set(labels, value);
    };
  };
}

export function countersOf(registry: Registry): Define {
  return (name, help) => {
    let metric: Counter | undefined;
    return (labels, value) => {
      if (value === null) return;
      metric ??= new Counter({
        name: `merestone_${name}_total`,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
      });
      metric.inc(labels, value);
    };
  };
}

export function inSeconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000;
}

/** The first `kindsMax` entries. */
export function few(counts: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counts).slice(0, kindsMax);
}
