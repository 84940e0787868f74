import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type {
  BusStatus,
  DeviceStatus,
  GatewayStatus,
  PointsStatus,
  QuotaName,
  SiloStatus,
  UplinkStatus,
} from '../../src/status/status.ts';
import { lossReasons } from '../../src/reading/loss.ts';
import { findingKinds } from '../../src/status/verdict/finding.ts';
import { judge, judged, type Verdict } from '../../src/status/verdict/verdict.ts';
import { busStatus, deviceStatus, gatewayStatus, siloStatus, troubledStatus } from '../support/status.ts';

const now = Date.UTC(2026, 10, 28);
const day = 86_400_000;

/** Every combination of one of each. */
function cross<Parts extends Record<string, readonly unknown[]>>(
  parts: Parts,
): { [Name in keyof Parts]: Parts[Name][number] }[] {
  let all: Record<string, unknown>[] = [{}];
  for (const [name, values] of Object.entries(parts)) {
    all = all.flatMap((each) => values.map((value) => ({ ...each, [name]: value })));
  }
  return all as { [Name in keyof Parts]: Parts[Name][number] }[];
}

const siloParts = {
  state: ['starting', 'running', 'refused', 'restarting', 'quarantined', 'stopped'],
  forMs: [30_000, 30_001],
  uplink: [null, 'connecting', 'proving', 'online', 'waiting', 'closed'],
  lastAnswer: [null, 'accepted', 'refused', 'no-subscribers'],
  offlineMs: [30_000, 30_001],
  unacceptedMs: [null, 30_000, 30_001],
  complaint: [null, 'the broker refuses t/acme/acme_gw-0001/event: not authorized (0x87)'],
  disk: ['good', 'failing'],
  lived: [null, 0.66, 0.67, 1],
  clock: ['good', 'unknown'],
  quota: [null, 'uplink-bytes-per-day', 'samples-per-second'],
  isLosing: [false, true],
} as const;

type SiloParts = ReturnType<typeof cross<typeof siloParts>>[number];

function siloOf(parts: SiloParts): SiloStatus {
  const blank = siloStatus('north');
  const uplink: UplinkStatus | null = parts.uplink && {
    ...blank.uplink!,
    state: parts.uplink,
    reason: parts.complaint,
    offlineMs: parts.uplink === 'online' ? null : parts.offlineMs,
    lastAnswer: parts.lastAnswer,
  };
  const disk = { state: parts.disk, reason: parts.disk === 'good' ? null : 'EIO', sinceMs: null };
  const notBefore = now - (parts.lived ?? 0) * 90 * day;
  return {
    ...blank,
    state: parts.state,
    forMs: parts.forMs,
    uplink,
    spool: { ...blank.spool!, disk, rejected: parts.isLosing ? 2 : 0 },
    dropping: parts.isLosing ? ['overrun'] : ['quota', 'restart'],
    batches: { lingerMs: 1000, unacceptedMs: parts.unacceptedMs },
    identity: parts.lived === null ? null : { ...blank.identity!, notBefore, notAfter: notBefore + 90 * day },
    clock: parts.clock,
    quotas: blank.quotas.map((each) => ({
      ...each,
      state: each.quota === parts.quota ? 'reached' : 'clear',
    })),
  };
}

/** The contract's sentence about silos, told once more. */
function siloVerdict(parts: SiloParts): Verdict {
  if (parts.state !== 'running') return 'failing';
  const hasSession = parts.uplink === 'online';
  const offlineMs = parts.uplink === null ? parts.forMs : parts.offlineMs;
  const isHeld = parts.quota === 'uplink-bytes-per-day';
  const failing =
    (!hasSession && offlineMs > 30_000) ||
    (parts.uplink !== null && (parts.unacceptedMs ?? 0) > 30_000 && !isHeld) ||
    parts.disk === 'failing' ||
    parts.lived === 1;
  if (failing) return 'failing';
  const isGood =
    hasSession &&
    parts.complaint === null &&
    parts.quota === null &&
    !parts.isLosing &&
    parts.clock === 'good' &&
    (parts.lived === null || parts.lived < 2 / 3);
  return isGood ? 'good' : 'degraded';
}

const points: Record<'all' | 'some' | 'none' | 'implausible' | 'unread', PointsStatus> = {
  all: { total: 2, valued: 2, good: 2, byQuality: {}, failing: [] },
  some: { total: 2, valued: 1, good: 1, byQuality: { crc: 1 }, failing: [{ name: 'flow', quality: 'crc' }] },
  none: {
    total: 2,
    valued: 0,
    good: 0,
    byQuality: { 'exception:2': 2 },
    failing: ['flow', 'energy'].map((name) => ({ name, quality: 'exception:2' })),
  },
  implausible: {
    total: 1,
    valued: 1,
    good: 0,
    byQuality: { implausible: 1 },
    failing: [{ name: 'voltage', quality: 'implausible' }],
  },
  unread: { total: 0, valued: 0, good: 0, byQuality: {}, failing: [] },
};

const busParts = {
  bus: ['opening', 'open', 'lost', 'closed'],
  forMs: [30_000, 30_001],
  load: [0.9, 0.91, 6.54],
  state: ['starting', 'good', 'partial', 'failing', 'offline'],
  everyMs: [1000, 60_000],
  silentMs: [400, 30_000, 30_001, 180_001],
  lastSampleAt: [null, now],
  points: ['all', 'some', 'none', 'implausible', 'unread'],
  usualLatenessMs: [1000, 1001],
  identity: ['unchecked', 'confirmed', 'contradicted', 'off'],
} as const;

type BusParts = ReturnType<typeof cross<typeof busParts>>[number];

function busOf(parts: BusParts): BusStatus {
  const device = deviceStatus('boiler', {
    state: parts.state,
    everyMs: parts.everyMs,
    silentMs: parts.silentMs,
    lastSampleAt: parts.lastSampleAt,
    points: points[parts.points],
    usualLatenessMs: parts.usualLatenessMs,
    identity: { state: parts.identity, reason: parts.identity === 'contradicted' ? 'it says SDM120' : null },
  });
  return busStatus('rs485', { state: parts.bus, forMs: parts.forMs, load: parts.load, devices: [device] });
}

/** The contract's sentences about buses and devices, told once more. */
function busVerdict(parts: BusParts): Verdict {
  if (parts.bus === 'lost' || parts.bus === 'closed') return 'failing';
  if (parts.bus === 'opening') return parts.forMs > 30_000 ? 'failing' : 'degraded';
  const answersWithSome = parts.state === 'partial' && ['all', 'some', 'implausible'].includes(parts.points);
  if (parts.silentMs > Math.max(30_000, 3 * parts.everyMs) && !answersWithSome) return 'failing';
  const isGood =
    parts.load <= 0.9 &&
    parts.lastSampleAt !== null &&
    (parts.state === 'good' || parts.state === 'partial' || parts.state === 'starting') &&
    (parts.points === 'all' || parts.points === 'unread') &&
    parts.usualLatenessMs <= parts.everyMs &&
    parts.identity !== 'contradicted';
  return isGood ? 'good' : 'degraded';
}

function statusOf(silos: SiloStatus[], buses: BusStatus[]): GatewayStatus {
  return gatewayStatus({ at: now, silos, buses });
}

const goodBus = busStatus('rs485', { devices: [deviceStatus('main-meter')] });
const goodSilo = siloOf({
  ...cross(siloParts)[0]!,
  state: 'running',
  uplink: 'online',
  lived: 0.66,
  clock: 'good',
});

/** Every reason says who, what and what to do, in words and nothing else. */
function assertSpoken(status: GatewayStatus): void {
  const { verdict, reasons, findings } = judge(status);
  assert.equal(reasons.length, findings.length);
  assert.equal(verdict === 'good', findings.length === 0);
  assert.equal(
    verdict === 'failing',
    findings.some((each) => each.verdict === 'failing'),
  );
  for (const [index, { who, what, remedy, kind, silos }] of findings.entries()) {
    const reason = reasons[index]!;
    assert.ok(
      reason.startsWith(`${who} `) && reason.includes(what) && reason.endsWith(`; ${remedy}`),
      reason,
    );
    assert.match(who, /^(silo north|silos north and south|bus rs485|device boiler|this gateway)$/);
    assert.ok(remedy.length > 10, reason);
    assert.ok(findingKinds.includes(kind));
    assert.ok(silos.length > 0, reason);
    assert.doesNotMatch(reason, /undefined|null|NaN|Infinity|\[object|; ;|: ;| {2}/, reason);
  }
}

describe('verdict', () => {
  it('follows the table for every state of a silo', () => {
    const all = cross(siloParts);
    const seen = new Set<string>();
    for (const parts of all) {
      const status = statusOf([siloOf(parts)], [goodBus]);
      const expected = siloVerdict(parts);
      if (judge(status).verdict !== expected)
        assert.fail(`${expected} ${JSON.stringify([parts, judge(status)])}`);
      seen.add(expected);
    }
    assert.deepEqual([...seen].sort(), ['degraded', 'failing', 'good']);
  });

  it('follows the table for every state of a bus and a device', () => {
    const seen = new Set<string>();
    for (const parts of cross(busParts)) {
      const status = statusOf([goodSilo], [busOf(parts)]);
      const expected = busVerdict(parts);
      if (judge(status).verdict !== expected)
        assert.fail(`${expected} ${JSON.stringify([parts, judge(status)])}`);
      seen.add(expected);
    }
    assert.deepEqual([...seen].sort(), ['degraded', 'failing', 'good']);
  });

  it('gives a reason with subject, fault and remedy in every state', () => {
    const arbitrary = (parts: Record<string, readonly unknown[]>) =>
      fc.record(
        Object.fromEntries(Object.entries(parts).map(([name, values]) => [name, fc.constantFrom(...values)])),
      );
    const silo = arbitrary(siloParts).map((parts) => siloOf(parts as SiloParts));
    const bus = arbitrary(busParts).map((parts) => busOf(parts as BusParts));
    fc.assert(
      fc.property(silo, fc.array(bus, { maxLength: 2 }), (one, buses) =>
        assertSpoken(statusOf([one], buses)),
      ),
      { numRuns: 3000 },
    );
  });

  it('is the worst of its parts in every combination', () => {
    const order: Verdict[] = ['good', 'degraded', 'failing'];
    const silos = fc.array(fc.constantFrom(...siloParts.state), { minLength: 1, maxLength: 4 });
    const states = fc.array(fc.constantFrom(...busParts.state), { minLength: 1, maxLength: 8 });
    const parts = fc.tuple(silos, states, fc.constantFrom(400, 40_000));
    fc.assert(
      fc.property(parts, ([siloStates, deviceStates, silentMs]) => {
        const given = siloStates.map((state, index) => ({
          ...goodSilo,
          state,
          name: `s${index}`,
          tenant: `t${index}`,
        }));
        const devices = deviceStates.map((state, index) => deviceStatus(`d${index}`, { state, silentMs }));
        const whole = judge(statusOf(given, [busStatus('rs485', { devices })])).verdict;
        const each = [
          ...given.map((one) => judge(statusOf([one], [goodBus])).verdict),
          ...devices.map(
            (one) => judge(statusOf([goodSilo], [busStatus('rs485', { devices: [one] })])).verdict,
          ),
        ];
        assert.equal(order.indexOf(whole), Math.max(...each.map((verdict) => order.indexOf(verdict))));
      }),
    );
  });

  it('waits three intervals of a slow device and three lingers of a slow batch', () => {
    const silent = (everyMs: number, silentMs: number): Verdict => {
      const device = deviceStatus('boiler', { state: 'offline', everyMs, silentMs, points: points.none });
      return judge(statusOf([goodSilo], [busStatus('rs485', { devices: [device] })])).verdict;
    };
    assert.deepEqual([silent(60_000, 180_000), silent(60_000, 180_001)], ['degraded', 'failing']);
    assert.deepEqual([silent(100, 30_000), silent(100, 30_001)], ['degraded', 'failing']);
    const kept = (lingerMs: number, unacceptedMs: number): Verdict =>
      judge(statusOf([{ ...goodSilo, batches: { lingerMs, unacceptedMs } }], [goodBus])).verdict;
    assert.deepEqual([kept(60_000, 180_000), kept(60_000, 180_001)], ['good', 'failing']);
    assert.deepEqual([kept(50, 30_000), kept(50, 30_001)], ['good', 'failing']);
  });

  it('gives each fault its own remedy', () => {
    const of = (silo: Partial<SiloStatus>, device: Partial<DeviceStatus> = {}): string =>
      judge(
        statusOf(
          [{ ...goodSilo, ...silo }],
          [busStatus('rs485', { devices: [deviceStatus('boiler', device)] })],
        ),
      ).reasons.join('\n');
    const uplink = {
      ...goodSilo.uplink!,
      reason: 'the broker refuses t/a/b/telemetry: not authorized (0x87)',
    };
    const batches = { lingerMs: 1000, unacceptedMs: 45_000 };
    assert.equal(
      of({ uplink: { ...uplink, lastAnswer: 'refused' }, batches }),
      "silo north has had no batch accepted for 45 s: the broker refuses t/a/b/telemetry: not authorized (0x87); data waits on the disk; have the broker let this gateway write its topics: 'merestone broker-policy' prints what it needs",
    );
    const unread = { ...uplink, reason: 'nobody subscribes to t/a/b/telemetry, so it is kept here' };
    assert.match(
      of({ uplink: { ...unread, lastAnswer: 'no-subscribers' }, batches }),
      /start the backend and see that it subscribes/,
    );
    const dead = { state: 'offline' as const, silentMs: 45_000, reason: 'no answer within 1 s' };
    assert.match(
      of({}, { ...dead, points: points.unread, failures: { timeout: 4 } }),
      /^device boiler has given no value for 45 s: no answer within 1 s; check its power, its wiring \(A and B swapped\)/,
    );
    assert.match(
      of({}, { ...dead, state: 'partial', points: points.none, reason: 'exception 2 for 1 of holding 9' }),
      /compare table and address/,
    );
    const garbled = { ...dead, points: points.unread };
    assert.match(
      of({}, { ...garbled, failures: { noise: 90, timeout: 4 } }),
      /bytes come that make no frame: check the line's baud rate/,
    );
    assert.match(of({}, { ...garbled, failures: { unknown: 9 } }), /name the profile that fits the device/);
    assert.match(of({}, { ...garbled, failures: { crc: 9, timeout: 4 } }), /parity and termination/);
    assert.match(
      of({}, { points: points.implausible }),
      /1 of 1 points .* voltage \(implausible\); wrong profile, wordOrder/,
    );
    const ended = (years: number): string => {
      const identity = { ...goodSilo.identity!, notAfter: Date.now() - years * 365.25 * 86_400_000 };
      return of({ identity });
    };
    assert.match(ended(0.5), /has a certificate that ended on .*; renew it/);
    assert.match(
      ended(9.1),
      /has a certificate that ended on .*; set the clock of this box, which is 9 years past that; if it is right, renew it/,
    );
    const authority = { ...goodSilo.identity!, endsBy: "'CN=Plant CA' (/etc/merestone/ca.crt)" };
    const whoseCa = String.raw`^silo \S+ has a certificate whose CA 'CN=Plant CA' \(/etc/merestone/ca.crt\)`;
    const renewCa = 'put the renewed certificate of that CA into that file$';
    assert.match(
      of({ identity: { ...authority, notAfter: now - 3_600_000 } }),
      new RegExp(`${whoseCa} ended on .*: samples are stored, and nothing is sent; ${renewCa}`),
    );
    assert.match(
      of({ identity: { ...authority, notAfter: now + 3_600_000 } }),
      new RegExp(`${whoseCa} ends on .*; ${renewCa}`),
    );
    // The silo's own judgement counts as well, and is told once.
    const held = { ...goodSilo.uplink!, state: 'held' as const, offlineMs: 90_000, reason: 'it has ended' };
    const heldSilo = statusOf([{ ...goodSilo, uplink: held }], [goodBus]);
    assert.deepEqual(
      judge(heldSilo).findings.map(({ kind, verdict }) => [kind, verdict]),
      [['certificate', 'failing']],
    );
    const overloaded = busStatus('rs485', {
      load: 6.54,
      devices: [deviceStatus('a'), deviceStatus('b', { busShare: 0.9 })],
    });
    assert.match(
      judge(statusOf([goodSilo], [overloaded])).reasons[0]!,
      /^bus rs485 is overloaded: 654 % of what it can carry is asked of it; read 'b' less often \('every'\), raise the baud rate/,
    );
    for (const reason of lossReasons.filter((each) => !/quota|restart/.test(each)))
      assert.match(
        of({ dropping: [reason] }),
        new RegExp(`^silo north is losing samples: .*\\(${reason}\\); `),
      );
    assert.equal(
      judge(statusOf([{ ...goodSilo, dropping: ['quota', 'cpu-quota', 'restart'] }], [goodBus])).verdict,
      'good',
    );
    const invented = ['toString', 'constructor', '__proto__', 'somewhere'];
    assert.deepEqual(judge(statusOf([{ ...goodSilo, dropping: invented }], [goodBus])).reasons, []);
    assert.match(
      of({ spool: { ...goodSilo.spool!, quarantined: 5, rejected: 3 } }),
      /^silo north keeps 3 batches that its broker has refused again and again; .*'merestone spool retry'/,
    );
    const quotas: QuotaName[] = [
      'samples-per-second',
      'uplink-bytes-per-day',
      'spool-bytes',
      'bus-share',
      'cpu-share',
    ];
    for (const quota of quotas) {
      const reached = { quota, limit: 1, used: 1, state: 'reached' as const };
      assert.match(of({ quotas: [reached] }), /^silo north has reached a quota, .*; .*raise (quota|spool)\./);
    }
  });

  it('reports a device of another model once, not each of its values', () => {
    const identity = { state: 'contradicted' as const, reason: 'it says SDM120' };
    const boiler = deviceStatus('boiler', { state: 'partial', points: points.implausible, identity });
    const { verdict, reasons } = judge(statusOf([goodSilo], [busStatus('rs485', { devices: [boiler] })]));
    assert.deepEqual([verdict, reasons.length], ['degraded', 1]);
    assert.match(
      reasons[0]!,
      /^device boiler says that it is not what its profile is for: it says SDM120; compare its unitId/,
    );
  });

  it('reports one cause once: a lost bus for its devices, a dead line for all devices on it', () => {
    const silent = { state: 'offline' as const, silentMs: 45_000, reason: 'no answer within 1 s' };
    const devices = Array.from({ length: 9 }, (_, index) => deviceStatus(`d${index}`, silent));
    const reasons = (more: Partial<BusStatus>): string[] =>
      judge(statusOf([goodSilo], [busStatus('rs485', { devices, ...more })])).reasons;
    const lost = reasons({ state: 'lost', reason: 'it is not there' });
    assert.equal(lost.length, 1);
    assert.match(
      lost[0]!,
      /^bus rs485 is lost: it is not there; devices d0, d1, d2 and 6 more are offline; plug/,
    );
    assert.equal(reasons({}).length, 1);
    assert.match(
      reasons({})[0]!,
      /^bus rs485 has 9 devices, and none of them gives a value: d0, d1, d2 and 6 more: no answer within 1 s; all at once means the line/,
    );
    const most = [...devices, deviceStatus('good')];
    assert.match(
      reasons({ devices: most }).join('\n'),
      /^bus rs485 has 9 devices that give no value: d0, d1, d2 and 6 more/,
    );
    assert.equal(reasons({ devices: [...devices.slice(0, 3), deviceStatus('good')] }).length, 3);
  });

  it('takes the remedy from the reason if it has one, and adds no general remedy', () => {
    const silent = { state: 'offline' as const, silentMs: 45_000, points: points.unread };
    const remedyOf = (reason: string, kind = 'modbus-rtu'): string[] => {
      const devices = [deviceStatus('boiler', { ...silent, reason })];
      const [finding] = judge(statusOf([goodSilo], [busStatus('rs485', { kind, devices })])).findings;
      return [finding!.what, finding!.remedy];
    };
    assert.deepEqual(remedyOf("unit 5 answers where 1 was asked; set 'unitId: 5'"), [
      'has given no value for 45 s: unit 5 answers where 1 was asked',
      "set 'unitId: 5'",
    ]);
    assert.deepEqual(remedyOf('it sends "a; b\\"; c", which is no frame of the profile; name another'), [
      'has given no value for 45 s: it sends "a; b\\"; c", which is no frame of the profile',
      'name another',
    ]);
    assert.match(remedyOf('it sends "a; b"')[1]!, /^check its power/);
    for (const kind of ['modbus-tcp', 'modbus-rtu-over-tcp'])
      assert.match(remedyOf('no answer within 1 s', kind)[1]!, /^check its power .*no other client holds/);
    const lost = busStatus('rs485', { state: 'lost', reason: 'permission denied; join the group' });
    assert.equal(
      judge(statusOf([goodSilo], [lost])).reasons[0],
      'bus rs485 is lost: permission denied; join the group',
    );
    const refused = { ...goodSilo, state: 'refused' as const, reason: 'n.crt: it is damaged; copy it again' };
    assert.match(
      judge(statusOf([refused], [goodBus])).reasons[0]!,
      /sends nothing: n\.crt: it is damaged; copy it again$/,
    );
  });

  it('does not say that data waits on a disk that takes nothing', () => {
    const disk = { state: 'failing' as const, reason: 'the disk is full; free space', sinceMs: 1000 };
    const uplink = {
      ...goodSilo.uplink!,
      state: 'waiting' as const,
      reason: 'x: closed; open it',
      offlineMs: 60_000,
    };
    const of = (more: object): string =>
      judge(statusOf([{ ...goodSilo, uplink, ...more }], [goodBus])).reasons.join('\n');
    assert.match(of({}), /closed; data waits on the disk; open it/);
    assert.match(of({ spool: { ...goodSilo.spool!, disk } }), /x: closed; open it/);
    const short = {
      ...disk,
      isShort: true as const,
      reason: 'other programs have filled its disk; free space',
    };
    const told = of({ spool: { ...goodSilo.spool!, disk: short } });
    assert.match(
      told,
      /has given up batches for want of room for 1 s: other programs have filled its disk; free/,
    );
    assert.match(told, /closed; data waits on the disk; open it/);
    assert.doesNotMatch(told, /takes nothing/);
    const batches = { lingerMs: 1000, unacceptedMs: 60_000 };
    for (const lastAnswer of ['refused', 'no-subscribers', 'too-large', 'accepted'] as const) {
      const taken = { ...goodSilo.uplink!, lastAnswer };
      assert.doesNotMatch(
        of({ spool: { ...goodSilo.spool!, disk }, uplink: taken, batches }),
        /waits on the disk/,
      );
    }
  });

  it('reports no dead line while a device answers, even with exceptions', () => {
    const refusing = {
      state: 'failing' as const,
      silentMs: 45_000,
      points: points.none,
      reason: 'exception 2',
    };
    const devices = ['a', 'b'].map((name) => deviceStatus(name, refusing));
    const { reasons } = judge(statusOf([goodSilo], [busStatus('rs485', { devices })]));
    assert.equal(reasons.length, 2);
    for (const reason of reasons) assert.match(reason, /^device [ab] .*; compare table and address/);
  });

  it('reports a gateway without devices, and two silos that claim one tenant', () => {
    assert.match(
      judge(statusOf([goodSilo], [])).reasons.join(),
      /^this gateway reads nothing: no device is configured/,
    );
    const twice = [goodSilo, { ...goodSilo, name: 'south' }];
    const { verdict, reasons } = judge(statusOf(twice, [goodBus]));
    assert.equal(verdict, 'failing');
    assert.match(reasons[0]!, /^silos north and south say that they are of one tenant, acme; /);
  });

  it('names every silo that a finding concerns', () => {
    const devices = [deviceStatus('a'), deviceStatus('b', { silo: 'south' })];
    const [lost] = judge(statusOf([goodSilo], [busStatus('rs485', { state: 'lost', devices })])).findings;
    assert.deepEqual(lost!.silos, ['north', 'south']);
  });

  it('takes a field that a daemon of another version lacks as no fault', () => {
    const { at: _at, ...old } = gatewayStatus();
    const bare = JSON.parse(
      JSON.stringify(old, (key, value) =>
        ['points', 'identity', 'silentMs', 'everyMs', 'forMs', 'disk', 'batches'].includes(key) &&
        !Array.isArray(value)
          ? undefined
          : (value as unknown),
      ),
    ) as GatewayStatus;
    for (const silo of bare.silos)
      silo.uplink!.batches = { published: 1, accepted: 1, refused: 0, noSubscribers: 0 };
    assert.equal(judge(bare).verdict, 'good');
  });

  it('has each kind of finding in docs/verdict.md, with its verdict', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/verdict.md'), 'utf8');
    const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (failing|degraded|failing, degraded) \| /gm)];
    assert.deepEqual(
      rows.map(([, kind]) => kind),
      [...findingKinds],
    );
    const told = new Map(rows.map(([, kind, weights]) => [kind, weights!.split(', ')]));
    const sites = [
      ...cross(siloParts).map((parts) => statusOf([siloOf(parts)], [])),
      ...cross(busParts).map((parts) => statusOf([], [busOf(parts)])),
      statusOf([goodSilo, { ...goodSilo, name: 'south' }], []),
      troubledStatus(),
    ];
    const seen = new Map<string, Set<string>>([['unknown-state', new Set(['failing'])]]);
    const renewal = { ...goodSilo, reason: 'south.crt: it is damaged; copy it again' };
    for (const { kind, verdict } of [...sites, statusOf([renewal], [])].flatMap(
      (site) => judge(site).findings,
    )) {
      seen.set(kind, (seen.get(kind) ?? new Set()).add(verdict));
    }
    for (const kind of findingKinds) {
      assert.deepEqual([...(seen.get(kind) ?? [])].sort(), told.get(kind)!.toSorted(), kind);
    }
  });

  it('is added to the status without a change of the rest', () => {
    const status = troubledStatus();
    const before = structuredClone(status);
    const { verdict, reasons, findings, ...rest } = judged(status);
    assert.deepEqual(rest, before);
    assert.deepEqual({ verdict, reasons, findings }, judge(before));
    assert.equal(verdict, 'failing');
  });
});
