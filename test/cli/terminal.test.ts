import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MerestoneError } from '../../src/base/error.ts';
import { formatJson, formatText, silentLogger } from '../../src/base/logger.ts';
import { plain, plainDocument, plainJson } from '../../src/base/plain-text.ts';
import { systemClock } from '../../src/base/clock.ts';
import { formatReport } from '../../src/cli/backend/report-text.ts';
import { reportStatus } from '../../src/cli/status-report.ts';
import { ConfigRefused } from '../../src/config/config-refused.ts';
import { type ControlServer, startControlServer } from '../../src/admin/control-server.ts';
import type { TailItem } from '../../src/admin/control-protocol.ts';
import type { GatewayStatus } from '../../src/status/status.ts';
import { AuditLog } from '../../src/audit/audit-log.ts';
import { runCommand } from '../support/daemon.ts';
import { troubledStatus } from '../support/status.ts';

/** Clears a screen in two ways, sets a title, forges a line, turns the direction of writing. */
const evil = '\u001b[2J\u009b2J\u001b]0;owned\u0007\nall is well\r\u2028\u202e\u0085\u007f';
const obeyed = /[\p{Cc}\p{Cf}\u2028\u2029]/u;

/** A status in which every text holds a terminal attack. */
function possess<T>(value: T): T {
  if (typeof value === 'string') return `${value}${evil}` as T;
  if (Array.isArray(value)) return value.map(possess) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, possess(inner)])) as T;
}

/** It has as many lines as without the attack, and no control character. */
function assertHarmless(text: string, linesMax: number): void {
  const told = text.replace(/\n$/, '').split('\n');
  for (const line of told) assert.doesNotMatch(line, obeyed);
  assert.ok(told.length <= linesMax, text);
}

const linesOf = (text: string): number => text.split('\n').length;
const bare = (_style: string, text: string): string => text;

describe('text from outside, at a terminal', () => {
  it('is plain in a document, keys and all, and its other values are as they were', () => {
    assert.equal(plain('ä – 30 °C'), 'ä – 30 °C');
    const document = { [`a${evil}`]: [1, true, null, { b: evil }], __proto__: null };
    const told = plainDocument(document);
    assert.doesNotMatch(Object.keys(told).join(), obeyed);
    assert.deepEqual(Object.values(told)[0], [1, true, null, { b: plain(evil) }]);
  });

  it('is the same document in JSON, spelt out', () => {
    const document = { text: `${evil}\u{e0041}`, number: 1 };
    assert.doesNotMatch(plainJson(document), obeyed);
    assert.deepEqual(JSON.parse(plainJson(document)), document);
  });

  it('makes one line of the log for any event, names and values', () => {
    const record = {
      level: 'info',
      event: `x${evil}`,
      fields: { [`a${evil}`]: evil, silo: 'north' },
    } as const;
    assertHarmless(formatText(record, 0), 1);
    assertHarmless(formatJson(record, 0), 1);
  });

  it('makes no line of its own in a status, at any place', () => {
    const status = troubledStatus();
    const text = reportStatus(possess(status), Date.now(), bare);
    assertHarmless(text, linesOf(reportStatus(status, Date.now(), bare)));
  });

  it('makes no line of its own in a report of evidence', () => {
    const report = {
      tenant: 'acme',
      from: 0,
      to: 1,
      damaged: ['a file'],
      certificates: [],
      epochs: [
        {
          gateway: 'acme_1',
          epoch: '01JD',
          signed: [],
          verified: [],
          lost: [{ kind: 'dropped', from: 1, to: 2, samples: 3, reason: 'spool full', signed: true }],
          missing: [],
        },
      ],
      neverStored: [{ gateway: 'acme_1', samples: 1, from: 0, to: 1, reason: 'quota' }],
      audit: [{ gateway: 'acme_1', at: 0, signed: true, entry: { kind: 'start' } }],
      findings: [{ severity: 'security', kind: 'k', gateway: 'acme_1', message: 'm' }],
      others: [{ tenant: 'globex', signatures: 0, named: [] }],
      omitted: { findings: 3 },
    };
    assertHarmless(formatReport(possess(report)).trimEnd(), linesOf(formatReport(report).trimEnd()));
  });
});

describe('commands that print text from outside', () => {
  let folder: string;
  let config: string;
  let server: ControlServer;
  let reloadFault: Error | undefined;
  const sample = { device: 'meter', wallMs: 0, monotonicMs: 0, values: { a: 'x' }, quality: { b: 'crc' } };
  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'merestone-terminal-'));
    config = path.join(folder, 'merestone.yaml');
    writeFileSync(config, 'control: { socket: ./control.sock }\n');
    const handlers = {
      status: (): GatewayStatus => possess(troubledStatus()),
      devices: () =>
        possess([
          {
            silo: 'north',
            devices: [{ name: 'meter', points: [{ name: 'a', type: 'string' as const, unit: 'W' }] }],
          },
        ]),
      subscribe: (listener: (item: TailItem) => void) => {
        const timer = setInterval(() => listener(possess({ silo: 'north', sample }) as TailItem), 5);
        return () => clearInterval(timer);
      },
      reload: async () => {
        if (reloadFault !== undefined) throw reloadFault;
        return possess({
          silos: [{ name: 'north', outcome: 'restarted', changes: ['quota'] }],
          buses: [{ name: 'wind', outcome: 'untouched' }],
        });
      },
      request: async () => null,
      refused: () => {},
    };
    server = await startControlServer(path.join(folder, 'control.sock'), handlers, { logger: silentLogger });
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  it('status', async () => {
    const { stdout } = await runCommand(['status', '--config', config]);
    assertHarmless(stdout, linesOf(reportStatus(troubledStatus(), Date.now(), bare)));
    const { stdout: json } = await runCommand(['status', '--json', '--config', config]);
    assertHarmless(json, 1);
    assert.ok((JSON.parse(json) as GatewayStatus).version.endsWith(evil));
  });

  it('tail', async () => {
    assertHarmless((await runCommand(['tail', '--count', '2', '--config', config])).stdout, 2);
  });

  it('reload', async () => {
    const reload = () => runCommand(['reload', '--config', config]);
    reloadFault = undefined;
    assertHarmless((await reload()).stdout, 2);
    const fault = possess({ file: '/x.yaml', line: 1, column: 2, message: 'bad', hint: 'mend it' });
    reloadFault = new ConfigRefused('/x.yaml', [fault]);
    assertHarmless((await reload()).stdout, 1);
    reloadFault = new MerestoneError('ConfigInvalid', evil, { subject: evil, hint: evil });
    const { stderr } = await reload();
    for (const line of stderr.trimEnd().split('\n').slice(1)) assert.match(line, /^ {2}/);
    assert.doesNotMatch(stderr.replaceAll('\n', ''), obeyed);
  });

  it('audit show', async () => {
    const directory = path.join(folder, 'audit');
    const log = AuditLog.open(directory, {
      origin: { tenant: 'acme', gateway: 'acme_1' },
      clock: systemClock,
    });
    log.append('start', { version: evil.replace('\u2028', ''), configSha256: 'ab', fingerprintSha256: 'cd' });
    log.close();
    const { stdout } = await runCommand(['audit', 'show', directory]);
    assertHarmless(stdout, 3);
  });
});
