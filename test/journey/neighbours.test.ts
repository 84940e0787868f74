import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SiloStatus } from '../../src/reading/status.ts';
import {
  isolatePlagues,
  Neighbourhood,
  type Plague,
  quietSilo,
  sitePlagues,
} from '../support/neighbourhood.ts';
import { until } from '../support/until.ts';

/** 40 samples of each of the quiet tenant’s eight devices, which are read every 100 ms. */
const samplesDuring = 320;

/** What shows that the plague has broken out: a silo that is not touched by it proves nothing. */
const symptom: Record<Plague, (noisy: SiloStatus) => boolean> = {
  flood: ({ samples }) => samples.received > 2000,
  'blocked broker': ({ spool }) => spool!.batches > 20,
  'full spool': ({ spool }) => spool!.dropped > 0,
  'hostile devices': () => true,
  crash: ({ restarts }) => restarts > 0,
  'heap leak': ({ restarts }) => restarts > 0,
  'buffer leak': ({ restarts }) => restarts > 0,
  'endless loop': ({ restarts }) => restarts > 0,
};

describe('a tenant whose neighbour', () => {
  for (const plague of [...sitePlagues, ...isolatePlagues]) {
    it(`has the plague loses nothing and is not disturbed (${plague})`, async () => {
      await using neighbourhood = await Neighbourhood.create();
      let samples = 0;
      let lost = 0;
      const arrived = (): number => {
        const arrivals = neighbourhood.take();
        lost += arrivals.lost;
        return (samples += arrivals.samples);
      };
      await until(() => arrived() > 80, 'the quiet tenant’s samples');
      const statusOf = async (): Promise<{ quiet: SiloStatus; noisy: SiloStatus; hostile: number }> => {
        const { silos, buses } = await neighbourhood.status();
        const [noisy, quiet] = silos as [SiloStatus, SiloStatus];
        const hostile = buses.find(({ name }) => name === 'hostile')!.devices;
        return { quiet, noisy, hostile: hostile.reduce((sum, { requests }) => sum + requests, 0) };
      };
      await neighbourhood.breakOut(plague);
      samples = 0;
      await until(() => arrived() > samplesDuring, 'the quiet tenant’s samples meanwhile', 60_000);
      await until(async () => symptom[plague]((await statusOf()).noisy), 'the plague', 60_000);
      const { quiet, hostile } = await statusOf();
      if (plague === 'hostile devices') assert.ok(hostile > 100, `${hostile} requests to hostile devices`);
      arrived();
      assert.equal(lost, 0);
      const { name, state, restarts } = quiet;
      assert.deepEqual({ name, state, restarts }, { name: quietSilo, state: 'running', restarts: 0 });
      assert.equal(quiet.uplink!.connects, 1);
      assert.deepEqual(quiet.samples.dropped, {});
    });
  }
});
