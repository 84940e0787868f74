import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, it } from 'node:test';
import { runCommand } from '../support/daemon.ts';

const commands = ['run', 'check', 'status', 'tail', 'reload', 'identity', 'audit', 'consume', 'demo'];

describe('merestone', () => {
  it('shows every command on standard output', async () => {
    const { exitCode, stdout, stderr } = await runCommand(['--help']);
    assert.deepEqual([exitCode, stderr], [0, '']);
    for (const command of commands)
      assert.match(stdout, new RegExp(`^  merestone ${command} `, 'm'), command);
  });

  it('shows its version', async () => {
    const { exitCode, stdout } = await runCommand(['--version']);
    assert.equal(exitCode, 0);
    assert.match(stdout, /^merestone \d+\.\d+\.\d+\n$/);
  });

  const refusals: [string[], RegExp][] = [
    [[], /no command given/],
    [['chekc'], /unknown command 'chekc'; did you mean 'check'\?/],
    [['frobnicate'], /unknown command 'frobnicate'; 'merestone --help' shows what there is/],
    [['check', '--confg', 'x'], /unknown option '--confg'; did you mean '--config'\?/],
    [['check', 'more'], /'more' is one word too many/],
    [['check', '--config'], /not enough arguments following: config/],
    [['tail', '--seconds', '-1'], /--seconds wants a number above 0/],
  ];
  for (const [words, reason] of refusals) {
    it(`refuses '${words.join(' ')}' with 64 and one line`, async () => {
      const { exitCode, stdout, stderr } = await runCommand(words);
      assert.deepEqual([exitCode, stdout], [64, '']);
      const [line] = stderr.trimEnd().split('\n').slice(-1);
      assert.match(line!, reason);
      assert.match(line!, /^merestone: .*\(E101\)$/);
    });
  }

  it('names a missing configuration, with 66', async () => {
    const { exitCode, stdout, stderr } = await runCommand(['status', '--config', '/nowhere/merestone.yaml']);
    assert.deepEqual([exitCode, stdout], [66, '']);
    assert.equal(
      stderr,
      'merestone: /nowhere/merestone.yaml: there is no such file; name the configuration with --config FILE (E103)\n',
    );
  });

  it('ends quietly when its reader has gone', async () => {
    const program = path.join(import.meta.dirname, '../../src/cli/merestone.js');
    const child = spawn(process.execPath, [program, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [exitCode] = (await once(child, 'close')) as [number | null];
    assert.deepEqual([exitCode, stderr], [0, '']);
  });
});
