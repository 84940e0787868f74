import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Summary } from '../../src/demo/demo-summary.ts';
import { StockSystem, whyNoNpm } from '../support/stock-system.ts';
import { until } from '../support/until.ts';

/** README's limit for a user's installation; the full one is 450. */
const runMegabytesMax = 300;
/** Three installations on two busy cores. */
const waitMsMax = 150_000;

describe('the first command in a fresh clone', { skip: whyNoNpm(), concurrency: 2 }, () => {
  const systems: StockSystem[] = [];
  after(() => systems.forEach((system) => system[Symbol.dispose]()));

  function systemWithNpm(version: string): StockSystem {
    const system = new StockSystem();
    systems.push(system);
    system.installNpm(version);
    return system;
  }

  for (const version of ['10.8.2', '10.9.3']) {
    it(`works with npm ${version}, and brings no linter and no compiler`, async () => {
      const system = systemWithNpm(version);
      await demoWorks(system);
      const modules = join(system.checkout, 'node_modules');
      for (const name of ['typescript', 'oxlint', '@biomejs/biome', 'knip']) {
        assert.ok(!existsSync(join(modules, name)), name);
      }
      const megabytes = megabytesOf(modules);
      assert.ok(megabytes < runMegabytesMax, `${megabytes} MB`);
    });
  }

  it('works with npm 9.2.0 after it was interrupted and killed; ./scripts/test adds the rest, and the demo keeps it', async () => {
    const system = systemWithNpm('9.2.0');
    const modules = join(system.checkout, 'node_modules');
    for (const [signal, exitCode] of [['SIGINT', 130] as const, ['SIGKILL', null] as const]) {
      const { kill, ended } = system.start(['./scripts/demo', '--seconds', '5']);
      await until(() => isUnpacking(modules), 'packages', waitMsMax);
      kill(signal);
      const result = await ended;
      assert.equal(result.exitCode, exitCode, result.stderr);
      if (signal === 'SIGINT') assert.match(result.stderr, /Interrupted\. Run it again/);
      const early = await system.run(['./scripts/merestone', '--version']);
      assert.equal(early.exitCode, 69);
      assert.match(early.stderr, /not set up yet; run .*\/scripts\/demo/);
    }
    await demoWorks(system);

    const check = await system.run(['bash', '-c', '. scripts/set-up; set_up_packages all']);
    assert.equal(check.exitCode, 0, check.stderr);
    assert.ok(existsSync(join(modules, 'typescript')));
    const again = await system.run(['bash', '-c', '. scripts/set-up; set_up_packages run']);
    assert.deepEqual([again.exitCode, again.stderr], [0, ''], 'nothing is left to do');
    assert.ok(existsSync(join(modules, 'typescript')), 'what is there is not taken away');
    if (process.getuid?.() !== 0) return;
    system.newCheckout();
    const offline = await system.run(['bash', '-c', '. scripts/set-up; set_up_packages run'], {
      prefix: ['unshare', '--net'],
    });
    assert.equal(offline.exitCode, 0, `a second checkout needs no network: ${offline.stderr}`);
  });

  async function demoWorks(system: StockSystem): Promise<void> {
    const options = { timeoutMs: waitMsMax };
    const demo = await system.run(['./scripts/demo', '--seconds', '5', '--json'], options);
    assert.equal(demo.exitCode, 0, demo.stderr);
    assert.equal((JSON.parse(demo.stdout) as Summary).ok, true);
    assert.match(demo.stderr, /^Setting up, once: npm packages, about 260 MB…\nSet up in \d+ s\.\n/);
    const version = await system.run(['./scripts/merestone', '--version']);
    assert.equal(version.exitCode, 0, version.stderr);
  }
});

function isUnpacking(modules: string): boolean {
  return existsSync(modules) && readdirSync(modules).some((name) => name.includes('better-sqlite3'));
}

function megabytesOf(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  }
  return bytes / 1_000_000;
}
