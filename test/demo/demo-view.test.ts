import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Row } from '../../src/backend/row.ts';
import { tenants } from '../../src/demo/tenants.ts';
import { ansi, paint, span, spread, widthOf } from '../../src/demo/ansi.ts';
import { ratePerSecond, DemoModel } from '../../src/demo/model.ts';
import { summarize } from '../../src/demo/demo-summary.ts';
import { view } from '../../src/demo/view.ts';

const [acme, borealis] = tenants;

function row(of: { tenant: string; gateway: string }, device: string, point: string): Row {
  const { tenant, gateway } = of;
  const time = '2026-11-22T12:00:00.000Z';
  const at = { time, ts: Date.parse(time), epoch: '01JD3W5V2K0000000000000000', seq: 1 };
  return { tenant, gateway, device, point, value: 21.5, unit: 'Cel', quality: 'good', ...at };
}

/** Every device of both tenants seen for half a minute. */
function busyModel(): DemoModel {
  const model = new DemoModel(tenants);
  for (let second = 0; second <= 30; second += 1) {
    model.tick(second * 1000);
    for (const tenant of tenants) {
      for (const { name: device, points } of tenant.devices) {
        const values = Object.fromEntries(points.map(({ name }) => [name, 21.5]));
        model.takeSample(tenant.silo, { device, wallMs: 0, monotonicMs: 0, values });
        for (const { name } of points) model.takeRow(row(tenant, device, name));
      }
    }
    model.showNextRow();
  }
  return model;
}

const textOf = (lines: ReturnType<typeof view>): string =>
  lines.map((line) => line.map(({ text }) => text).join('')).join('\n');

describe('the view of the demo', () => {
  for (const [columns, rows] of [
    [80, 24],
    [81, 25],
    [104, 34],
    [250, 80],
    [79, 24],
    [80, 10],
    [1, 1],
  ] as const) {
    for (const [what, model] of [
      ['before anything is known', new DemoModel(tenants)],
      ['in full swing', busyModel()],
    ] as const) {
      it(`fills ${columns} × ${rows} exactly, ${what}`, () => {
        const lines = view(model, { columns, rows }, 30_000, 7);
        assert.equal(lines.length, rows);
        for (const line of lines) assert.equal(widthOf(line), columns);
      });
    }
  }

  it('shows every tenant and device at the smallest size', () => {
    const model = busyModel();
    model.refused = 1;
    const text = textOf(view(model, { columns: 80, rows: 24 }, 30_000, 0));
    for (const { tenant, gateway, devices } of tenants) {
      assert.match(text, new RegExp(`${tenant} ─+ ${gateway}`));
      for (const { name } of devices) assert.match(text, new RegExp(`│ ${name} +`));
    }
    assert.match(text, /isolation holds: 1 refused/);
    assert.match(text, /broker ▸ backend/);
    assert.match(text, /attack/);
    assert.match(text, /12:00:00\.000 {2}▌acme/);
  });

  it('asks for a larger window if the terminal is too small', () => {
    assert.match(textOf(view(busyModel(), { columns: 79, rows: 24 }, 0, 0)), /80 × 24/);
  });

  it('paints what it measures', () => {
    const line = spread([span('left', ansi.good)], [span('right')], 20);
    const words = paint(line).split('\u001b[');
    assert.equal(words.map((word) => word.replace(/^[\d;]+m/, '')).join(''), 'left           right');
  });
});

describe('model and summary of the demo', () => {
  it('averages its rates over full seconds', () => {
    const model = busyModel();
    assert.equal(ratePerSecond(model.tenants[0]!.samplesBySecond), acme.devices.length);
    assert.equal(ratePerSecond([9]), 0);
  });

  it('passes if every device of both tenants was seen and every attack was refused', () => {
    const { ok, reasons, tenants } = summarize(busyModel(), ['refused'], 30_000, undefined);
    assert.deepEqual(reasons, []);
    assert.equal(ok, true);
    assert.deepEqual(tenants[1]!.devices, borealis.devices.map(({ name }) => name).sort());
  });

  for (const [what, reason, spoil] of [
    [
      'a device is missing',
      /nothing of borealis's mast/,
      (model: DemoModel) => model.tenants[1]!.devicesSeen.delete('mast'),
    ],
    ['a batch is missing', /misses 2 batches/, (model: DemoModel) => (model.tenants[1]!.gaps = 2)],
    [
      'a row bears a forged name',
      /1 rows bear/,
      (model: DemoModel) => model.takeRow(row(borealis, 'forged', 'x')),
    ],
    [
      'one tenant’s device turns up under the other',
      /1 rows bear/,
      (model: DemoModel) => model.takeRow(row(borealis, 'boiler', 'flow_temp')),
    ],
    [
      'a gateway goes by another tenant',
      /1 rows bear/,
      (model: DemoModel) => model.takeRow(row({ ...acme, tenant: 'borealis' }, 'boiler', 'flow_temp')),
    ],
    ['the backend raised an alarm', /signature/, (model: DemoModel) => model.alarms.push('signature wrong')],
  ] as const) {
    it(`fails if ${what}`, () => {
      const model = busyModel();
      spoil(model);
      const { ok, reasons } = summarize(model, ['refused'], 30_000, undefined);
      assert.equal(ok, false);
      assert.match(reasons.join('\n'), reason);
    });
  }

  it('fails if no attack was made, or one got through', () => {
    assert.match(summarize(busyModel(), [], 1, undefined).reasons.join(), /not seen to refuse/);
    assert.match(
      summarize(busyModel(), ['refused', 'accepted'], 1, undefined).reasons.join(),
      /the broker took/,
    );
  });
});
