import {
  blankDevice,
  type BusStatus,
  type DeviceStatus,
  type GatewayStatus,
  type SiloStatus,
} from '../../src/status/status.ts';

const dayMs = 86_400_000;

export function deviceStatus(name: string, more: Partial<DeviceStatus> = {}): DeviceStatus {
  return {
    ...blankDevice(name, 'north', 1000),
    state: 'good',
    samples: 12_345,
    requests: 24_690,
    lastSampleAt: Date.now() - 400,
    silentMs: 400,
    points: { total: 2, valued: 2, good: 2, byQuality: {}, failing: [] },
    answerMs: 18.4,
    latenessMs: 3,
    busShare: 0.12,
    ...more,
  };
}

export function busStatus(name: string, more: Partial<BusStatus> = {}): BusStatus {
  return {
    name,
    kind: 'modbus-rtu',
    state: 'open',
    reason: null,
    forMs: 7_000_000,
    load: 0.34,
    devices: [],
    silos: [],
    ...more,
  };
}

export function siloStatus(name: string, more: Partial<SiloStatus> = {}): SiloStatus {
  const now = Date.now();
  return {
    name,
    state: 'running',
    reason: null,
    forMs: 7_000_000,
    tenant: 'acme',
    gateway: 'acme_gw-0001',
    identity: {
      fingerprintSha256: 'ab'.repeat(32),
      notBefore: now - dayMs,
      notAfter: now + 364.5 * dayMs,
      endsBy: null,
      warnings: [],
    },
    uplink: {
      state: 'online',
      reason: null,
      broker: 'mqtts://broker.example.com:8883',
      protocol: '5',
      since: now - 3_600_000,
      forMs: 3_600_000,
      offlineMs: null,
      lastAnswer: 'accepted',
      connects: 2,
      batches: { published: 1010, accepted: 1000, refused: 0, noSubscribers: 0 },
      inflight: 2,
      roundTripMs: 34.2,
      packetBytesMax: null,
      oversizeBatches: 0,
      retainAvailable: true,
      bytesSent: 5_000_000,
    },
    spool: {
      epoch: '01JD3W5V2K0000000000000000',
      seq: 1003,
      batches: 3,
      samples: 1500,
      bytes: 1_200_000,
      bytesInUse: 1_100_000,
      bytesMax: 512_000_000,
      oldestAgeMs: 2100,
      quarantined: 0,
      rejected: 0,
      dropped: 0,
      events: 0,
      bytesWritten: 9_000_000,
      disk: { state: 'good', reason: null, sinceMs: null },
    },
    batches: { lingerMs: 1000, unacceptedMs: 20 },
    clock: 'good',
    samples: { received: 50_000, stored: 49_900, published: 48_000, dropped: {} },
    dropping: [],
    restarts: 0,
    isolation: 'thread',
    usage: { cpuShare: 0.02, memoryBytes: 24_000_000, memoryBytesMax: 96_000_000 },
    quotas: [
      { quota: 'samples-per-second', limit: 2000, used: 14, state: 'clear' },
      { quota: 'uplink-bytes-per-day', limit: 200_000_000, used: 5_000_000, state: 'clear' },
      { quota: 'spool-bytes', limit: 512_000_000, used: 1_200_000, state: 'clear' },
      { quota: 'bus-share', limit: 0.5, used: 0.12, state: 'clear' },
      { quota: 'cpu-share', limit: 0.25, used: 0.02, state: 'clear' },
    ],
    ...more,
  };
}

export function gatewayStatus(more: Partial<GatewayStatus> = {}): GatewayStatus {
  return {
    version: '9.9.9',
    startedAt: Date.now() - 7_000_000,
    at: Date.now(),
    uptimeMs: 7_000_000,
    configFile: '/etc/merestone/merestone.yaml',
    silos: [siloStatus('north')],
    buses: [busStatus('rs485', { devices: [deviceStatus('main-meter')] })],
    ...more,
  };
}

/** A building with many faults: everything that a status must be able to show. */
export function troubledStatus(): GatewayStatus {
  const north = siloStatus('north');
  const south = siloStatus('south', {
    state: 'refused',
    reason: '/etc/merestone/south.crt: the certificate ended on 2026-11-01; renew it (E303)',
    tenant: null,
    gateway: null,
    identity: null,
    uplink: null,
    spool: null,
    samples: { received: 0, stored: 0, published: 0, dropped: { 'no-identity': 1234 } },
  });
  return gatewayStatus({
    silos: [
      {
        ...north,
        clock: 'unknown',
        restarts: 2,
        identity: {
          ...north.identity!,
          notBefore: Date.now() - 352.5 * dayMs,
          notAfter: Date.now() + 12.5 * dayMs,
          warnings: ['the CN lacks the prefix acme_'],
        },
        uplink: {
          ...north.uplink!,
          state: 'waiting',
          reason: 'connect ECONNREFUSED 192.0.2.1:8883; trying again in 12 s',
          forMs: 9000,
          offlineMs: 97_000_000,
          lastAnswer: 'refused',
          roundTripMs: null,
          packetBytesMax: null,
          oversizeBatches: 0,
          retainAvailable: true,
          batches: { published: 9, accepted: 5, refused: 3, noSubscribers: 1 },
        },
        spool: {
          ...north.spool!,
          bytes: 500_000_000,
          bytesInUse: 480_000_000,
          batches: 91_234,
          samples: 45_617_000,
          oldestAgeMs: 97_000_000,
          quarantined: 2,
          rejected: 2,
        },
        batches: { lingerMs: 1000, unacceptedMs: 97_000_000 },
        samples: { ...north.samples, dropped: { overrun: 77 } },
      },
      south,
    ],
    buses: [
      busStatus('rs485', {
        devices: [
          deviceStatus('main-meter'),
          deviceStatus('boiler', {
            state: 'failing',
            reason: 'no answer within 1 s; <img src=x onerror=alert(1)>',
            failures: { timeout: 12, crc: 1 },
            lastSampleAt: Date.now() - 190_000,
            silentMs: 190_000,
            points: {
              total: 2,
              valued: 0,
              good: 0,
              byQuality: { timeout: 2 },
              failing: [
                { name: 'flow', quality: 'timeout' },
                { name: 'energy', quality: 'timeout' },
              ],
            },
            latenessMs: 4200,
          }),
          deviceStatus('solar', {
            state: 'partial',
            reason: 'illegal data address at 72',
            silo: 'south',
            points: {
              total: 2,
              valued: 1,
              good: 1,
              byQuality: { 'exception:2': 1 },
              failing: [{ name: 'power', quality: 'exception:2' }],
            },
          }),
        ],
      }),
      busStatus('wind', {
        kind: 'serial',
        state: 'lost',
        reason: '/dev/ttyUSB1 is not there: plugged out?',
        load: 0,
        devices: [
          deviceStatus('mast', {
            state: 'offline',
            lastSampleAt: null,
            silentMs: 7_000_000,
            answerMs: null,
            samples: 0,
          }),
        ],
      }),
    ],
  });
}
