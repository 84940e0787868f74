import type {
  BusStatus,
  DeviceStatus,
  GatewayStatus,
  SiloStatus,
  SpoolStatus,
  UplinkStatus,
} from './status.ts';

export const goodDisk: SpoolStatus['disk'] = { state: 'good', reason: null, sinceMs: null };

const unknownSpool = { disk: goodDisk, rejected: 0 };
const unknownUplink = {
  forMs: 0,
  offlineMs: null,
  lastAnswer: null,
  packetBytesMax: null,
  oversizeBatches: 0,
  retainAvailable: null,
};

/** A device of which nothing is known yet. */
export function blankDevice(name: string, silo: string, everyMs: number): DeviceStatus {
  return {
    name,
    silo,
    state: 'starting',
    reason: null,
    everyMs,
    samples: 0,
    requests: 0,
    failures: {},
    lastSampleAt: null,
    silentMs: 0,
    points: { total: 0, valued: 0, good: 0, byQuality: {}, failing: [] },
    identity: { state: 'unchecked', reason: null },
    answerMs: null,
    latenessMs: 0,
    usualLatenessMs: 0,
    busShare: 0,
  };
}

/** A silo that has said nothing yet. */
export function blankSilo(name: string, isolation: SiloStatus['isolation']): SiloStatus {
  return {
    name,
    state: 'starting',
    reason: null,
    forMs: 0,
    tenant: null,
    gateway: null,
    identity: null,
    uplink: null,
    spool: null,
    batches: { lingerMs: 0, unacceptedMs: null },
    clock: 'unknown',
    samples: { received: 0, stored: 0, published: 0, dropped: {} },
    dropping: [],
    restarts: 0,
    isolation,
    usage: null,
    quotas: [],
  };
}

/** What a daemon of another version does not say is taken as nothing said against it. */
export function withDefaults(told: GatewayStatus): GatewayStatus {
  return {
    ...told,
    at: told.at ?? told.startedAt + told.uptimeMs,
    buses: told.buses.map(completedBus),
    silos: told.silos.map(completedSilo),
  };
}

function completedBus(told: BusStatus): BusStatus {
  const devices = told.devices.map((each) => ({ ...blankDevice(each.name, each.silo, 0), ...each }));
  return { ...told, forMs: told.forMs ?? 0, devices };
}

function completedSilo(told: SiloStatus): SiloStatus {
  const uplink: UplinkStatus | null = told.uplink && { ...unknownUplink, ...told.uplink };
  const spool: SpoolStatus | null = told.spool && { ...unknownSpool, ...told.spool };
  const identity = told.identity && { ...told.identity, endsBy: told.identity.endsBy ?? null };
  return { ...blankSilo(told.name, told.isolation), ...told, identity: identity ?? null, uplink, spool };
}
