import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { reportStatus } from '../src/cli/status-report.ts';
import { formatFault } from '../src/config/fault-line.ts';
import type { SerialProtocol } from '../src/fieldbus/options.ts';
import { protocolSchema } from '../src/config/profile/protocol-schema.ts';
import { Unread } from '../src/fieldbus/serial/unread-frames.ts';
import type { BusStatus, DeviceStatus, GatewayStatus, SiloStatus } from '../src/status/status.ts';
import { busStatus, deviceStatus, gatewayStatus, siloStatus } from './support/status.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const asyncapi = readFileSync(new URL('../config/asyncapi.yaml', import.meta.url), 'utf8');

/** First cells of the table "Something is wrong". */
function symptoms(): string[] {
  const [, chapter] = /^## Something is wrong$(.*?)^## /ms.exec(readme)!;
  const rows = chapter!.split('\n').filter((line) => line.startsWith('| '));
  return rows.slice(1).map((row) => row.split(' | ')[0]!.slice(2));
}

const north = siloStatus('north');
const uplinkStates = ['connecting', 'proving', 'online', 'waiting', 'held', 'closed'] as const;
const siloStates: SiloStatus['state'][] = [
  'starting',
  'running',
  'refused',
  'restarting',
  'quarantined',
  'stopped',
];
const deviceStates: DeviceStatus['state'][] = ['starting', 'good', 'partial', 'failing', 'offline'];
const busStates: BusStatus['state'][] = ['opening', 'open', 'lost', 'closed'];

/** A gateway in which everything is as it can be. */
function everyState(): GatewayStatus {
  const uplinks = uplinkStates.map((state) => ({
    ...north.uplink!,
    state,
    reason: 'nobody subscribes to t/acme/acme_gw-0001/telemetry, so it is kept here',
    batches: { published: 9, accepted: 5, refused: 3, noSubscribers: 1 },
  }));
  const disk = { state: 'failing' as const, reason: 'EROFS', sinceMs: 5 };
  const failing = ['exception:2', 'exception:10', 'exception:11', 'implausible'].map((quality, index) => ({
    name: `p${index}`,
    quality,
  }));
  const points = { total: 3, valued: 2, good: 1, byQuality: { 'exception:2': 1, implausible: 1 }, failing };
  return gatewayStatus({
    silos: [
      ...siloStates.map((state) => siloStatus(state, { state, tenant: null })),
      siloStatus('short', { spool: { ...north.spool!, disk: { ...disk, isShort: true } } }),
      ...uplinks.map((uplink, index) =>
        siloStatus(`u${index}`, {
          uplink,
          clock: 'unknown',
          spool: { ...north.spool!, disk },
          quotas: north.quotas.map((quota) => ({ ...quota, state: 'reached' })),
        }),
      ),
    ],
    buses: [
      ...busStates.map((state, index) =>
        busStatus(`b${index}`, {
          state,
          load: 1 + index,
          devices: deviceStates.map((each) =>
            deviceStatus(each, { state: each, points, failures: { timeout: 1, crc: 2, exception: 3 } }),
          ),
        }),
      ),
      busStatus('serial', {
        devices: [[], undefined].map((request, index) =>
          deviceStatus(`scale${index}`, { state: 'failing', reason: quotation(request) }),
        ),
      }),
    ],
  });
}

/** What is said of a serial sensor that speaks otherwise than its profile, asked or by itself. */
function quotation(request: SerialProtocol['request']): string {
  const protocol = { ...protocolSchema.parse({ messages: [{ fields: [] }] }), ...(request && { request }) };
  const shared = { name: 's', silo: 'north', bus: 'b', everyMs: 1000, responseTimeoutMs: 1000 };
  const device = { ...shared, kind: 'serial' as const, profile: 'mt-sics', protocol };
  const unread = new Unread(device, () => true);
  unread.take('unknown', Buffer.from('S S 12.345 lb'));
  return unread.describe()!;
}

describe('README, "Something is wrong"', () => {
  const shown = reportStatus(everyState(), Date.now(), (_style, text) => text);

  it('has a row for each verdict, and more', () => {
    assert.ok(symptoms().length > 10);
    for (const verdict of ['good', 'degraded', 'failing'])
      assert.ok(readme.includes(`\`${verdict}\``), verdict);
  });

  it('names no word that status, check or the data does not have', () => {
    for (const symptom of symptoms()) {
      for (const [, word] of symptom.matchAll(/`([^`]+)`/g)) {
        if (word!.startsWith('FILE:')) {
          const fault = { file: 'FILE', line: 1, column: 2, message: 'wrong', hint: 'mend it' };
          assert.match(formatFault(fault), /^FILE:1:2: wrong; mend it/);
        } else if (word === '"clock":"estimated"') assert.match(asyncapi, /clock:.*?estimated/s);
        else if (!['check', 'status', 'tail'].includes(word!)) {
          const pattern = new RegExp(`(?<![\\w:])${word!.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?!\\w)`);
          assert.match(shown, pattern, `${symptom}: ${word}`);
        }
      }
    }
  });
});
