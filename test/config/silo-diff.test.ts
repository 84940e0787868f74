import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ModbusPointOptions } from '../../src/fieldbus/options.ts';
import { digestOf } from '../../src/config/silo-diff.ts';
import { modbusDevice, registerPoint } from '../support/modbus-options.ts';
import { siloStartMessage } from '../support/silo-options.ts';

it('the digest of a configuration tells integers beyond 2^53 apart', () => {
  const digest = (more: Partial<ModbusPointOptions>): string => {
    const point = registerPoint('p', { table: 'holding', address: 0, type: 'uint64', ...more });
    const device = modbusDevice('d', { bus: 'b', unitId: 1, points: [point] });
    return digestOf({ silo: siloStartMessage('/nowhere').options, devices: [device] });
  };
  const digests = [
    digest({ max: 2n ** 64n - 1n }),
    digest({ max: 2n ** 64n - 2n }),
    digest({ invalid: [2n ** 64n - 1n] }),
    digest({ invalid: [2n ** 64n - 2n] }),
  ];
  assert.equal(new Set(digests).size, 4);
});
