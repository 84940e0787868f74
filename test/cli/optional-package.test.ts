import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createAuthority } from '../support/pki.ts';
import { Site } from '../support/site.ts';

const program = join(import.meta.dirname, '../../src/cli/merestone.js');

/** As if `name` had not been installed. */
function without(name: string, ...command: string[]) {
  const hook = `import { registerHooks } from 'node:module';
registerHooks({ resolve(specifier, context, next) {
  if (specifier !== '${name}') return next(specifier, context);
  const error = new Error("Cannot find package '${name}' imported from " + context.parentURL);
  throw Object.assign(error, { code: 'ERR_MODULE_NOT_FOUND' });
} });`;
  const options = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`];
  const { status, stderr } = spawnSync(process.execPath, [...options, program, ...command], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stderr };
}

describe('an optional package', () => {
  it('is required by the demo, which names the command that installs it', () => {
    const { status, stderr } = without('aedes', 'demo', '--seconds', '1');
    assert.match(stderr, /the demo needs the npm package 'aedes', which is not installed/);
    assert.match(stderr, /npm install --omit=dev --no-save aedes/);
    assert.equal(status, 69);
  });

  it('is required by consume --postgres', async () => {
    await using site = await Site.create(await createAuthority('ca'));
    const { certificatePem, privateKeyPem } = await site.authority.issue({ commonName: 'backend' });
    writeFileSync(site.path('backend.crt'), certificatePem);
    writeFileSync(site.path('backend.key'), privateKeyPem);
    const broker = ['--url', 'mqtts://127.0.0.1:1', '--ca', site.path('ca.crt')];
    const own = ['--certificate', site.path('backend.crt'), '--private-key', site.path('backend.key')];
    const { status, stderr } = without(
      'pg',
      'consume',
      ...broker,
      ...own,
      '--postgres',
      'postgres://127.0.0.1:1/a',
    );
    assert.match(stderr, /consume --postgres needs the npm package 'pg', which is not installed/);
    assert.equal(status, 69);
  });

  it('is not loaded by a command of the gateway', () => {
    for (const name of ['aedes', 'pg']) {
      assert.equal(without(name, 'check', '--config', '/none.yaml').status, 66);
    }
  });
});
