import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GatewayStatus, SiloStatus } from '../../src/status/status.ts';
import {
  isolateFaults,
  Neighbourhood,
  noisyLine,
  noisySilo,
  type Fault,
  quietSilo,
  siteFaults,
} from '../support/neighbours.ts';
import { whyNoFaultyDisk } from '../support/neighbour-faults.ts';
import { isolations } from '../support/site.ts';
import { until } from '../support/until.ts';

/** 20 samples of each of the quiet tenant’s eight devices, which are read every 100 ms. */
const samplesDuring = 160;

/** Proves that the fault has an effect: a test without one would show nothing. */
const symptom: Record<Fault, (status: GatewayStatus) => boolean> = {
  flood: (status) => siloOf(status, noisySilo).samples.received > 2000,
  'blocked broker': (status) => siloOf(status, noisySilo).spool!.batches > 20,
  'full spool': (status) => siloOf(status, noisySilo).spool!.dropped > 0,
  'hostile devices': ({ buses }) => {
    const { devices } = buses.find(({ name }) => name === 'hostile')!;
    return devices.reduce((sum, { requests }) => sum + requests, 0) > 60;
  },
  'large packets': (status) => {
    const { state, connects } = siloOf(status, noisySilo).uplink!;
    return state !== 'online' || connects > 1;
  },
  'full disk': hasNoDisk,
  'failing disk': hasNoDisk,
  'endless measurement': ({ buses }) => {
    const { devices } = buses.find(({ name }) => name === 'line')!;
    const noisy = devices.find(({ name }) => name === noisyLine)!;
    return noisy.state === 'failing' && noisy.reason!.includes('announces a measurement of 999 s');
  },
  crash: hasCrashed,
  'heap leak': hasCrashed,
  'buffer leak': hasCrashed,
  'endless loop': hasCrashed,
};

function hasCrashed(status: GatewayStatus): boolean {
  return siloOf(status, noisySilo).restarts > 0;
}

function hasNoDisk(status: GatewayStatus): boolean {
  return siloOf(status, noisySilo).spool?.disk.state === 'failing';
}

function siloOf({ silos }: GatewayStatus, name: string): SiloStatus {
  return silos.find((silo) => silo.name === name)!;
}

const cases = isolations.flatMap((isolation) =>
  [...siteFaults, ...isolateFaults].map((fault) => ({ isolation, fault })),
);

describe('quiet tenant beside a faulty one', () => {
  for (const { isolation, fault } of cases) {
    const skip = fault.endsWith('disk') && whyNoFaultyDisk;
    it(`loses no sample and keeps its session (${isolation}, ${fault})`, { skip }, async () => {
      await using neighbourhood = await Neighbourhood.create(isolation);
      let samples = 0;
      let lineSamples = 0;
      let lost = 0;
      const arrived = (): number => {
        const arrivals = neighbourhood.take();
        lost += arrivals.lost;
        lineSamples += arrivals.lineSamples;
        return (samples += arrivals.samples);
      };
      await until(() => arrived() > 80, 'the quiet tenant’s samples');
      await neighbourhood.inject(fault);
      samples = 0;
      lineSamples = 0;
      await until(() => arrived() > samplesDuring, 'the quiet tenant’s samples meanwhile', 60_000);
      await until(async () => symptom[fault](await neighbourhood.status()), 'an effect of the fault', 60_000);
      await until(() => arrived() > 0 && lineSamples > 2, 'the quiet tenant’s samples of the shared line');
      const quiet = siloOf(await neighbourhood.status(), quietSilo);
      arrived();
      assert.deepEqual({ lost, connects: quiet.uplink!.connects }, { lost: 0, connects: 1 });
      const { name, state, restarts } = quiet;
      assert.deepEqual({ name, state, restarts }, { name: quietSilo, state: 'running', restarts: 0 });
      assert.equal(quiet.isolation, isolation);
      assert.equal(quiet.uplink!.connects, 1);
      assert.deepEqual(quiet.samples.dropped, {});
    });
  }
});
