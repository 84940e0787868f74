import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLogger, formatText } from '../../../src/base/logger.ts';
import { metricsOf } from '../../../src/admin/metrics.ts';
import { reportStatus } from '../../../src/cli/status-report.ts';
import type { SiloStatus } from '../../../src/status/status.ts';
import { admit } from '../../../src/silo/host/message-admission.ts';
import { admitFromProcess } from '../../../src/silo/host/process-message.ts';
import { gatewayStatus, siloStatus } from '../../support/status.ts';

/** Every kind of number that a silo could say and no silo counts. */
const noCounts = [-1, -3.5, NaN, Infinity, -Infinity, 1e300, 2 ** 53, '7', null, {}, [3], true];
const controls = [
  '\n',
  '\r',
  '\t',
  '\u001b[2J',
  '\u007f',
  '\u009b',
  '\u0085',
  '\u2028',
  '\u2029',
  '\u202e',
  '\u2066',
  '\ud800',
];
const written = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202e\u2066]/u;

function admitStatus(more: object): SiloStatus {
  const admitted = admit({ type: 'status', status: { ...siloStatus('liar'), ...more } });
  assert.ok(typeof admitted !== 'string' && admitted.type === 'status', JSON.stringify(admitted));
  return admitted.status;
}

/** The same value in the place of every number. */
function withNumbers(value: unknown, number: unknown): unknown {
  if (typeof value === 'number') return number;
  if (Array.isArray(value)) return value.map((each) => withNumbers(each, number));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withNumbers(each, number)]));
}

function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

describe('message admission', () => {
  it('admits no invalid number, which would break the metrics of all', async () => {
    const honest = siloStatus('liar', {
      samples: { received: 1, stored: 1, published: 1, dropped: { quota: 2 } },
    });
    for (const number of noCounts) {
      const status = admitStatus(withNumbers(honest, number) as object);
      assert.deepEqual([...new Set(numbersIn(status))], [0], JSON.stringify(number));
      const page = await metricsOf(gatewayStatus({ silos: [status, siloStatus('south')] }), Date.now());
      assert.match(page, /silo="south"/);
    }
  });

  it('keeps the numbers of a healthy silo', () => {
    // What the gateway gives or measures itself is not the silo's to say.
    const own = { restarts: 0, isolation: 'thread', usage: null } as const;
    const honest = siloStatus('north', own);
    const shown = admitStatus({ ...honest, restarts: 9, isolation: 'process', usage: { cpuShare: 1 } });
    assert.deepEqual(shown, honest);
  });

  it('removes control characters from log lines and status', () => {
    for (const control of controls) {
      const hostile = `x${control}22:15:03 error spool lost  silo="south"`;
      const said = admit({
        type: 'log',
        level: 'info',
        event: hostile,
        fields: { reason: hostile, [`a${control}b`]: 1, 'a b': 1, 'a=b': 1 },
      });
      assert.ok(typeof said !== 'string' && said.type === 'log');
      assert.deepEqual(Object.keys(said.fields), ['reason']);
      const lines: string[] = [];
      const logger = createLogger((record) => lines.push(formatText(record, 0)), 'debug');
      logger.info(said.event, said.fields);
      assert.doesNotMatch(lines.join('').slice(0, -1), written, JSON.stringify(control));

      const { uplink, identity } = siloStatus('liar');
      const status = admitStatus({
        reason: hostile,
        uplink: { ...uplink, broker: hostile, reason: hostile },
        identity: { ...identity, warnings: [hostile] },
        samples: { dropped: { [hostile]: 1, 'no-identity': 2 } },
      });
      assert.deepEqual(status.samples.dropped, { 'no-identity': 2 });
      const report = reportStatus(gatewayStatus({ silos: [status] }), Date.now(), (_style, text) => text);
      assert.doesNotMatch(report.replaceAll('\n', ''), written, JSON.stringify(control));
      assert.ok(!report.includes(`${control}22:15`));
    }
  });

  it('admits no time outside of the calendar', () => {
    const { identity, uplink } = siloStatus('liar');
    const status = admitStatus({
      identity: { ...identity, notBefore: 8.64e15, notAfter: 8.65e15 },
      uplink: { ...uplink, since: Number.MAX_SAFE_INTEGER },
    });
    const { notBefore, notAfter } = status.identity!;
    assert.deepEqual([notBefore, notAfter, status.uplink!.since], [8.64e15, 0, 0]);
  });

  it('refuses an impossible tenant or gateway', () => {
    for (const id of ['', 'a b', 'a/b', '+', 'é', 'x'.repeat(65), 7, {}, 'acme\n']) {
      for (const name of ['tenant', 'gateway']) {
        const admitted = admit({ type: 'status', status: { ...siloStatus('liar'), [name]: id } });
        assert.equal(admitted, 'it named an impossible tenant or gateway');
      }
    }
    assert.equal(admitStatus({ tenant: null, gateway: null }).tenant, null);
  });

  it('rebuilds the messages of a silo’s process', () => {
    assert.deepEqual(
      admitFromProcess({
        type: 'usage',
        usage: { cpuShare: -1, memoryBytes: 'x', memoryBytesMax: Infinity },
        more: 1,
      }),
      {
        type: 'usage',
        usage: { cpuShare: 0, memoryBytes: 0, memoryBytesMax: 0 },
      },
    );
    for (const type of ['fault', 'away'] as const) {
      assert.deepEqual(admitFromProcess({ type, reason: `a\u001b[2Jb${'x'.repeat(1000)}` }), {
        type,
        reason: `a\ufffd[2Jb${'x'.repeat(494)}…`,
      });
      assert.deepEqual(admitFromProcess({ type, reason: { toString: 1 } }), {
        type,
        reason: 'it did not say why',
      });
    }
  });
});
