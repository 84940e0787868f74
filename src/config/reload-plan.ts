import { isDeepStrictEqual } from 'node:util';
import type { GatewayOptions } from './options.ts';
import { withoutPlaces } from '../fieldbus/drivers.ts';
import { changedKeys, ownPart } from './silo-diff.ts';

/** What a reload does to a silo, and which keys of its own part it is for. */
export interface SiloOutcome {
  name: string;
  /** `changed`: only its devices changed, which it is told while it runs. */
  outcome: 'started' | 'changed' | 'restarted' | 'stopped' | 'untouched';
  changes: string[];
}

export interface BusOutcome {
  name: string;
  /** `changed`: other options, or other devices on it. */
  outcome: 'started' | 'changed' | 'stopped' | 'untouched';
}

/** In the order of the new configuration, then what is gone. */
export interface ReloadResult {
  silos: SiloOutcome[];
  buses: BusOutcome[];
}

/** What the `reload` command reports. */
export interface ReloadReport extends ReloadResult {
  /** Settings of the new configuration that may be unintended; absent if there are none. */
  warnings?: string[];
}

/** What has to be touched to go from one configuration to another, and nothing else. */
export function planReload(before: GatewayOptions, after: GatewayOptions): ReloadResult {
  return {
    silos: outcomesOf(before.silos, after.silos, (name): SiloOutcome => {
      const [was, is] = [ownPart(name, before), ownPart(name, after)];
      const changes = changedKeys(was, is);
      if (changes.length === 0) return { name, outcome: 'untouched', changes };
      const outcome = isDeepStrictEqual(was.silo, is.silo) ? 'changed' : 'restarted';
      return { name, outcome, changes };
    }).map((each) => ({ changes: [], ...each })),
    buses: outcomesOf(before.buses, after.buses, (name): BusOutcome => {
      const same = isDeepStrictEqual(busPart(name, before), busPart(name, after));
      return { name, outcome: same ? 'untouched' : 'changed' };
    }),
  };
}

function outcomesOf<Outcome extends { name: string }>(
  before: readonly { name: string }[],
  after: readonly { name: string }[],
  compare: (name: string) => Outcome,
): (Outcome | { name: string; outcome: 'started' | 'stopped' })[] {
  const was = new Set(before.map(({ name }) => name));
  const is = new Set(after.map(({ name }) => name));
  return [
    ...after.map(({ name }) => (was.has(name) ? compare(name) : { name, outcome: 'started' as const })),
    ...[...was].filter((name) => !is.has(name)).map((name) => ({ name, outcome: 'stopped' as const })),
  ];
}

function busPart(name: string, { buses, devices }: GatewayOptions): unknown {
  const own = devices.filter((device) => device.bus === name).map(withoutPlaces);
  return [buses.find((bus) => bus.name === name), own];
}
