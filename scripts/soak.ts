/**
 * What the spool must survive, in full numbers: kill -9 under load, power cuts on ext4 and xfs, flipped bits, a disk
 * that fills up and turns read-only while the clock jumps and the silo is restarted; and a broker whose limits of size
 * change under load. After each, everything stored must be there, acknowledged or reported.
 *
 *   scripts/soak [--kills 200] [--power-cuts 30] [--flips 10000] [--disk-steps 20000]
 *     [--broker-steps 4000] [--seed N]
 *
 * Power cuts need root and loop devices; if they are missing, it reports that. Exit 1 where anything was lost.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { soakBroker } from '../test/support/broker-soak.ts';
import { type FileSystem, makeDisk, whyNoDisk } from '../test/support/mount.ts';
import { wholeFrom } from '../test/support/random.ts';
import { assertAllAccountedFor, Chronicle, writeUntil } from '../test/support/spool-crash.ts';
import { assertNothingLostUnreported, flip, makeImage, survive } from '../test/support/spool-damage.ts';
import { soakStorage } from '../test/support/storage-soak.ts';

const { values: settings } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    'power-cuts': { type: 'string', default: '30' },
    flips: { type: 'string', default: '10000' },
    'disk-steps': { type: 'string', default: '20000' },
    'broker-steps': { type: 'string', default: '4000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const pick = wholeFrom(Number(settings.seed));
const say = (line: string): boolean => process.stdout.write(`${line}\n`);

/** Replaces a test's context: runs its `after` callbacks when the soak is over. */
const cleanUps: (() => void)[] = [];
const context = { after: (done: () => void): number => cleanUps.push(done) };

async function soakKills(count: number): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), 'merestone-soak-'));
  cleanUps.push(() => rmSync(parent, { recursive: true, force: true }));
  const chronicle = new Chronicle();
  const directory = join(parent, 'spool');
  for (let round = 1; round <= count; round += 1) {
    await writeUntil(chronicle, directory, pick(400), (kill) => kill());
    if (round % 5 === 0) await assertAllAccountedFor(chronicle, directory);
  }
  await assertAllAccountedFor(chronicle, directory);
  say(`${count} kills: ${describe(chronicle)}`);
}

async function soakPowerCuts(kind: FileSystem, count: number): Promise<void> {
  const obstacle = whyNoDisk(kind);
  if (obstacle !== undefined) return void say(`no power cuts on ${kind}: ${obstacle}`);
  const disk = makeDisk(context, kind);
  const chronicle = new Chronicle();
  const directory = join(disk.path, 'spool');
  for (let round = 1; round <= count; round += 1) {
    await writeUntil(chronicle, directory, pick(800), (kill) => {
      disk.cutPower();
      kill();
    });
    disk.remount();
    await assertAllAccountedFor(chronicle, directory);
  }
  say(`${count} power cuts on ${kind}: ${describe(chronicle)}`);
}

function describe({ stored, epochs }: Chronicle): string {
  return `${stored.size} batches stored, all accounted for; ${epochs.size} epochs`;
}

async function soakFlips(count: number): Promise<void> {
  for (const [name, bytesMax] of [
    ['spool.sqlite', 1_000_000],
    ['spool.sqlite-wal', 4_000_000],
  ] as const) {
    const image = await makeImage(context, 24, bytesMax);
    const bits = readFileSync(join(image.directory, name)).findLastIndex((byte) => byte !== 0) * 8;
    for (let round = 0; round < count / 2; round += 1) {
      const bit = pick(bits);
      try {
        assertNothingLostUnreported(
          image,
          await survive(image, `${image.directory}-flipped`, name, flip(bit)),
        );
      } catch (cause) {
        throw new Error(`bit ${bit} of ${name}`, { cause });
      }
    }
    say(`${count / 2} flipped bits in ${name}: nothing lost unreported`);
  }
}

async function soakDiskFaults(count: number): Promise<void> {
  const obstacle = whyNoDisk('ext4');
  if (obstacle !== undefined) return void say(`no disk faults: ${obstacle}`);
  const lives = Math.ceil(count / 1000);
  const sum = { samples: 0, lost: 0, epochs: 0, batches: 0 };
  for (let life = 0; life < lives; life += 1) {
    const cleanUpsOfLife: (() => void)[] = [];
    const disk = makeDisk({ after: (done) => cleanUpsOfLife.push(done) }, 'ext4');
    try {
      const found = await soakStorage(disk, Math.min(1000, count), pick);
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += found[name];
    } finally {
      for (const cleanUp of cleanUpsOfLife) cleanUp();
    }
  }
  const { samples, lost, epochs, batches } = sum;
  say(
    `${lives} disks that fail: ${samples} samples in ${batches} batches of ${epochs} epochs, ${lost} given up and told`,
  );
}

async function soakBrokerLimits(count: number): Promise<void> {
  for (const protocol of ['5', '3.1.1'] as const) {
    const sum = { samples: 0, batches: 0, repeats: 0, limitChanges: 0, quarantined: 0 };
    for (let left = Math.ceil(count / 2); left > 0; left -= 500) {
      const found = await soakBroker(protocol, Math.min(500, left), pick);
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += found[name];
    }
    const { samples, batches, repeats, limitChanges, quarantined } = sum;
    say(
      `${limitChanges} changes of a broker's limits on MQTT ${protocol}: ${samples} samples in ${batches} batches, ` +
        `all arrived; ${repeats} repeated under their number, ${quarantined} quarantines told and lifted`,
    );
  }
}

say(`seed ${settings.seed}`);
try {
  await soakKills(Number(settings.kills));
  for (const kind of ['ext4', 'xfs'] as const)
    await soakPowerCuts(kind, Math.ceil(Number(settings['power-cuts']) / 2));
  await soakFlips(Number(settings.flips));
  await soakDiskFaults(Number(settings['disk-steps']));
  await soakBrokerLimits(Number(settings['broker-steps']));
} finally {
  for (const cleanUp of cleanUps) cleanUp();
}
