import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '../..');
const analyze = (...words: string[]) => spawnSync('systemd-analyze', words, { encoding: 'utf8' });
const skip = analyze('--version').error === undefined ? false : 'systemd-analyze is not on this machine';
/** What `systemd-analyze security` may find; 10 is no sandbox at all. */
const exposureMax = 2;

describe('the weights of CPU and disk', () => {
  it('favour the gateway, which keeps the bus timing, over the silos', () => {
    const weightOf = (name: string, key: string): number =>
      Number(
        new RegExp(`^${key}=(\\d+)$`, 'm').exec(readFileSync(path.join(root, 'systemd', name), 'utf8'))?.[1],
      );
    for (const key of ['CPUWeight', 'IOWeight']) {
      const [gateway, silo] = ['merestone.service', 'merestone-silo@.service'].map((name) =>
        weightOf(name, key),
      ) as [number, number];
      assert.ok(gateway > silo, `${key}: ${gateway} and ${silo}`);
    }
  });
});

for (const name of ['merestone.service', 'merestone-silo@.service']) {
  describe(`systemd/${name}`, { skip }, () => {
    let folder: string;
    let unit: string;
    before(() => {
      folder = mkdtempSync(path.join(tmpdir(), 'merestone-unit-'));
      // A template is looked at as one of its instances.
      unit = path.join(folder, name.replace('@', '@north'));
      const text = readFileSync(path.join(root, 'systemd', name), 'utf8');
      writeFileSync(unit, text.replaceAll('/opt/merestone', root));
    });
    after(() => rmSync(folder, { recursive: true }));

    it('is what systemd understands, and names files that are there', () => {
      const { status, stderr } = analyze('verify', '--man=no', unit);
      assert.equal(status, 0, stderr);
      assert.doesNotMatch(stderr, /merestone/);
    });

    it(`is exposed by ${exposureMax} at most`, () => {
      const { stdout } = analyze('security', '--offline=true', '--no-pager', unit);
      const exposure = Number(/exposure level for merestone.*\.service: ([\d.]+)/.exec(stdout)?.[1]);
      assert.ok(exposure <= exposureMax, stdout.split('\n').at(-2));
    });

    it('lets its process see the user at the other end of a socket', () => {
      const text = readFileSync(unit, 'utf8');
      assert.doesNotMatch(text, /^(PrivateUsers|DynamicUser=no)/m);
    });
  });
}
