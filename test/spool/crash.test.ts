import { join } from 'node:path';
import { describe, it } from 'node:test';
import { makeDisk, whyNoDisk } from '../support/mount.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { assertAllAccountedFor, Chronicle, writeUntil } from '../support/spool-crash.ts';

// In part; scripts/soak has the full counts.
const kills = 8;
const powerCuts = 2;

describe('a spool whose process is killed', () => {
  it(`has all that was stored, ${kills} times in a row`, async (t) => {
    const directory = join(temporaryDirectory(t), 'spool');
    const chronicle = new Chronicle();
    for (let round = 0; round < kills; round += 1) {
      await writeUntil(chronicle, directory, 40 + round * 35, (kill) => kill());
      // Every other time the next writer finds the files as the kill left them.
      if (round % 2 > 0) await assertAllAccountedFor(chronicle, directory);
    }
  });
});

describe('a spool whose power is cut', () => {
  for (const kind of ['ext4', 'xfs'] as const) {
    it(`has all that was stored, on ${kind}`, { skip: whyNoDisk(kind) }, async (t) => {
      const disk = makeDisk(t, kind);
      const directory = join(disk.path, 'spool');
      const chronicle = new Chronicle();
      for (let round = 0; round < powerCuts; round += 1) {
        await writeUntil(chronicle, directory, 150 + round * 100, (kill) => {
          disk.cutPower();
          kill();
        });
        disk.remount();
        await assertAllAccountedFor(chronicle, directory);
      }
    });
  }
});
