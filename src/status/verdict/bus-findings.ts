import { formatDuration } from '../../base/quantity.ts';
import type { BusStatus } from '../status.ts';
import { deviceRemarks, isMute, isTcp } from './device-remarks.ts';
import { because, type Finding, graceMs, inParts, type Remark, someOf, unknownState } from './finding.ts';
import { percent } from './quota-words.ts';

/** Its share of the first seconds says little. */
const loadKnownAfterMs = 10_000;
/** A line this busy delays the next request. */
const loadMax = 0.9;
/** More silent devices of a bus than this become one finding: a list of fifty is not read. */
const silentListedMax = 4;

/** What is wrong with a bus and the devices on it. */
export function busFindings(bus: BusStatus): Finding[] {
  const remarks = [...lineRemarks(bus), ...loadRemarks(bus)];
  const own = remarks.map((remark): Finding => ({ ...remark, who: `bus ${bus.name}`, silos: silosOn(bus) }));
  // While the line is lost, nothing is known of its devices.
  return bus.state === 'open' ? [...own, ...deviceFindings(bus)] : own;
}

function silosOn({ devices }: BusStatus): string[] {
  return [...new Set(devices.map(({ silo }) => silo))];
}

function lineRemarks(bus: BusStatus): Remark[] {
  const { state, reason, forMs } = bus;
  switch (state) {
    case 'open':
      return [];
    case 'lost':
      return [
        {
          verdict: 'failing',
          kind: 'bus-lost',
          what: because('is lost', inParts(reason).why) + offlineWith(bus),
          remedy: backRemedy(bus),
        },
      ];
    case 'closed':
      return [
        {
          verdict: 'failing',
          kind: 'bus-lost',
          what: because('is closed', reason),
          remedy: "start the daemon again: 'systemctl restart merestone'",
        },
      ];
    case 'opening':
      return [
        {
          verdict: forMs > graceMs ? 'failing' : 'degraded',
          kind: 'bus-opening',
          what: because(`has been opening for ${formatDuration(forMs)}`, inParts(reason).why),
          remedy: forMs > graceMs ? backRemedy(bus) : 'wait a moment',
        },
      ];
    default:
      return [unknownState(state)];
  }
}

/** `; device mast is offline`: the devices that it takes offline. */
function offlineWith({ devices }: BusStatus): string {
  const names = someOf(devices.map(({ name }) => name));
  if (devices.length === 0) return '';
  return devices.length === 1 ? `; device ${names} is offline` : `; devices ${names} are offline`;
}

function backRemedy({ kind, reason }: BusStatus): string {
  const { remedy } = inParts(reason);
  if (remedy !== null) return remedy;
  return isTcp(kind)
    ? 'see that the endpoint is on, and reached at the host and port that the bus names; polling goes on by itself'
    : 'plug the adapter in, end what else uses it, and name it by its /dev/serial/by-id/ path; polling goes on by itself';
}

function loadRemarks({ load, devices, kind, state, forMs }: BusStatus): Remark[] {
  if (load <= loadMax || (state === 'open' && forMs < loadKnownAfterMs)) return [];
  const [first, ...others] = devices;
  const busiest = others.reduce((a, b) => ((b?.busShare ?? 0) > (a?.busShare ?? 0) ? b : a), first);
  const slower = busiest === undefined ? 'read its devices less often' : `read '${busiest.name}' less often`;
  const faster = kind === 'modbus-tcp' ? "raise 'pipeline'" : 'raise the baud rate';
  const what =
    load > 1
      ? `is overloaded: ${percent(load)} of what it can carry is asked of it`
      : `is busy ${percent(load)} of the time`;
  const remedy = `${slower} ('every'), ${faster}, or move devices to another bus`;
  return [{ verdict: 'degraded', kind: 'bus-load', what, remedy }];
}

function deviceFindings(bus: BusStatus): Finding[] {
  const told = bus.devices.map((device) => ({ device, remarks: deviceRemarks(device, bus.kind) }));
  const silent = told.filter(({ remarks }) => remarks.some(({ kind }) => kind === 'device-silent'));
  // A device that answers, even with an exception, proves that the line works.
  const isWhole =
    silent.length > 1 && silent.length === told.length && silent.every(({ device }) => isMute(device));
  const isGrouped = isWhole || silent.length > silentListedMax;
  const single = isGrouped ? told.filter((each) => !silent.includes(each)) : told;
  const findings = single.flatMap(({ device, remarks }) =>
    remarks.map((remark): Finding => ({ ...remark, who: `device ${device.name}`, silos: [device.silo] })),
  );
  return isGrouped ? [silentTogether(bus, silent, isWhole), ...findings] : findings;
}

function silentTogether(
  { name, kind }: BusStatus,
  silent: readonly { device: BusStatus['devices'][number]; remarks: Remark[] }[],
  isWhole: boolean,
): Finding {
  const names = someOf(silent.map(({ device }) => device.name));
  const [{ device, remarks }] = silent as [(typeof silent)[number]];
  const counted = isWhole
    ? `has ${silent.length} devices, and none of them gives`
    : `has ${silent.length} devices that give no`;
  const line = isTcp(kind)
    ? 'all at once means the way to them: the endpoint at this host and port, its own settings, and the line behind it'
    : 'all at once means the line: its wiring (A and B), its baud rate and parity, the power of the devices';
  return {
    verdict: 'failing',
    kind: 'device-silent',
    who: `bus ${name}`,
    what: because(
      isWhole ? `${counted} a value: ${names}` : `${counted} value: ${names}`,
      inParts(device.reason).why,
    ),
    remedy: isWhole ? line : remarks[0]!.remedy,
    silos: [...new Set(silent.map((each) => each.device.silo))],
  };
}
