import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nearestName } from '../../src/base/nearest-name.ts';

describe('the nearest name', () => {
  for (const [typed, names, nearest] of [
    ['baud_rate', ['baudRate', 'parity'], 'baudRate'],
    ['evn', ['none', 'even', 'odd'], 'even'],
    ['voltgae_l2', ['voltage_l1', 'voltage_l2', 'voltage_l3'], 'voltage_l2'],
    ['unit16', ['int16', 'uint16', 'int32', 'uint32'], 'uint16'],
  ] as const) {
    it(`to ${typed} is ${nearest}`, () => assert.equal(nearestName(typed, names), nearest));
  }

  for (const [why, typed, names] of [
    ['a phase that there is not', 'voltage_l4', ['voltage_l1', 'voltage_l2', 'voltage_l3']],
    ['another model', 'sdm72', ['sdm120', 'sdm230', 'sdm630']],
    ['another meter of the site', 'meter-12', ['meter-1', 'meter-2', 'meter-3']],
    ['another width', 'int61', ['int16', 'int32', 'int64']],
    ['the opposite', 'no', ['on', 'off']],
    ['another power of ten', 'V_sf', ['A_sf', 'W_sf']],
    ['one of two that are as near', 'bist', ['bit', 'bits']],
    ['one of two equally near names, in either order', 'mix', ['min', 'max']],
    ['what is far', 'temperature', ['pressure', 'humidity']],
    ['a text without end', 'x'.repeat(65), ['x'.repeat(64)]],
  ] as const) {
    it(`is undefined if it would be ${why}`, () => {
      assert.equal(nearestName(typed, names), undefined);
      assert.equal(nearestName(typed, names.toReversed()), undefined);
    });
  }
});
