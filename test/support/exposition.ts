/** One line of Prometheus text: https://prometheus.io/docs/instrumenting/exposition_formats/ */
export interface Series {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** A metric with its series. */
export interface Family {
  name: string;
  type: string;
  series: Series[];
}

/** Throws on an invalid line; a family without series, or without type, counts too. */
export function parseExposition(text: string): Family[] {
  const families = new Map<string, Family>();
  const family = (name: string): Family => {
    const found = families.get(name) ?? { name, type: 'untyped', series: [] };
    families.set(name, found);
    return found;
  };
  for (const line of text.split('\n')) {
    const [, typed, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (typed !== undefined) family(typed).type = type!;
    if (line === '' || line.startsWith('#')) continue;
    const series = parseSeries(line);
    const histogram = series.name.replace(/_(bucket|sum|count)$/, '');
    family(families.has(histogram) ? histogram : series.name).series.push(series);
  }
  return [...families.values()];
}

/** `name{a="b"} 1`; the value may be left out, as in a selector. */
export function parseSeries(line: string): Series {
  const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?(?: (\S+))?$/.exec(line);
  if (match === null) throw new Error(`no Prometheus text: ${line}`);
  const [, name, labels = '', value = '0'] = match;
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key!, text!]);
  return { name: name!, labels: Object.fromEntries(pairs), value: Number(value) };
}

/** The same as text; labels that are empty are no labels. */
export function formatSeries({ name, labels }: Pick<Series, 'name' | 'labels'>): string {
  const pairs = Object.entries(labels).filter(([, value]) => value !== '');
  return `${name}{${pairs.map(([key, value]) => `${key}="${value}"`).join(',')}}`;
}
