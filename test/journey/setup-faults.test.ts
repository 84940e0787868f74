import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import type { CommandResult } from '../support/daemon.ts';
import { StockSystem, systemNode, whyNoNpm } from '../support/stock-system.ts';

const isRoot = process.getuid?.() === 0;
const needsRoot = isRoot ? false : 'needs root';
const asNobody = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
/** A Node of the system that is too old. */
const oldNode = '#!/bin/sh\necho Node 24 or newer is needed, this is 18.19.0; exit 69\n';
const demo = ['./scripts/demo', '--seconds', '1'];

/** Each message names what is wrong and ends with what to do; npm's own output stays in a log. */
describe('fault messages of an installation', () => {
  let system: StockSystem;
  before(() => {
    system = new StockSystem();
  });
  after(() => system[Symbol.dispose]());

  async function assertSays(result: CommandResult, exitCode: number, ...patterns: RegExp[]): Promise<void> {
    assert.equal(result.exitCode, exitCode, result.stderr + result.stdout);
    for (const pattern of patterns) assert.match(result.stderr, pattern);
    assert.equal(result.stdout, '');
    assert.doesNotMatch(result.stderr, /npm (ERR!|error)|: line \d+:/);
    assert.ok(result.stderr.trimEnd().split('\n').length <= 4, result.stderr);
  }

  describe('about this machine', () => {
    it('has no npm', async () => {
      system.remove('npm');
      await assertSays(await system.run(demo), 69, /^npm is missing\. .* apt-get install npm/);
    });

    it('has an npm that does not start', async () => {
      system.program('npm', '#!/no/such/node\n');
      await assertSays(await system.run(demo), 69, /npm is there .* does not start: .* apt-get install/);
    });

    it('has an npm that is too old', async () => {
      system.program('npm', '#!/bin/sh\necho 6.14.4\n');
      await assertSays(
        await system.run(demo),
        69,
        /npm 6\.14\.4 is too old: 7 or newer .* npm install -g npm/,
      );
    });

    for (const [what, env, advice] of [
      [
        'a 32-bit ARM',
        { HOSTTYPE: 'arm', OSTYPE: 'linux-gnueabihf' },
        /64-bit Linux .* arm.* install the 64-bit/,
      ],
      ['a RISC-V', { HOSTTYPE: 'riscv64', OSTYPE: 'linux-gnu' }, /x86_64 or arm64; .* riscv64/],
      ['musl', { HOSTTYPE: 'x86_64', OSTYPE: 'linux-musl' }, /musl\. Install Node 24 .* Found: .* is needed/],
    ] as const) {
      it(`is ${what}`, async () => {
        system.program('node', oldNode);
        await assertSays(await system.run(demo, { env }), 69, advice);
      });
    }

    it('gives another user’s checkout', { skip: needsRoot }, async () => {
      system.program('npm', '#!/bin/sh\necho 9.2.0\n');
      await assertSays(
        await system.run(demo, { prefix: asNobody, env: { HOME: system.path('home') } }),
        77,
        /^nobody may not write .*\/merestone, which belongs to root\. Run this as that user, or clone/,
      );
    });

    it('has the checkout on a disk that is read-only', { skip: needsRoot }, async () => {
      system.program('npm', '#!/bin/sh\necho 9.2.0\n');
      const mount = `mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"`;
      const prefix = ['unshare', '--mount', 'sh', '-c', mount, system.checkout];
      await assertSays(
        await system.run(demo, { prefix }),
        77,
        /can't be written: .* read-only\. .* git clone/,
      );
    });

    it('has no space left', { skip: needsRoot }, async () => {
      system.program('npm', '#!/bin/sh\necho 9.2.0\n');
      const mount = `mount -t tmpfs -o size=40m none "$1" && cp -a "$0/." "$1" && cd "$1" && shift && exec "$@"`;
      mkdirSync(system.path('small'), { recursive: true });
      const prefix = ['unshare', '--mount', 'sh', '-c', mount, system.checkout, system.path('small')];
      await assertSays(
        await system.run(demo, { prefix }),
        74,
        /has \d+ MB of free space, .* need 260\. Make room/,
      );
    });
  });

  describe('about its runtime', () => {
    const find = [
      'bash',
      '-c',
      'root=$PWD; . scripts/runtime; find_runtime && echo "$node" || echo "$runtime_fault"',
    ];
    let packaged: string;
    beforeEach(() => {
      system.newCheckout();
      packaged = join(system.checkout, `node_modules/node-linux-${process.arch}/bin/node`);
      mkdirSync(join(packaged, '..'), { recursive: true });
      writeFileSync(join(system.checkout, 'node_modules/.package-lock.json'), '{}');
      system.program('node', oldNode);
    });

    it('takes the one that came with the packages before the system’s', async () => {
      symlinkSync(process.execPath, packaged);
      system.useNode(process.execPath);
      assert.equal((await system.run(find)).stdout.trim(), packaged);
    });

    it('takes a Node 24 of the system where the other is missing', async () => {
      system.useNode(process.execPath);
      assert.match((await system.run(find)).stdout, /\/bin\/node\n$/);
    });

    for (const [what, text] of [
      ['of another C library', '#!/no/such/loader\n'],
      ['half a file', '\x7fELF\x02\x01\x01'],
      ['that ends at once', '#!/bin/sh\necho "node: GLIBC_2.28 not found" >&2; exit 1\n'],
    ]) {
      it(`notices one ${what}, takes the system’s, and says what is wrong where that is too old`, async () => {
        writeFileSync(packaged, text!, { mode: 0o755 });
        const { exitCode, stderr } = await system.run(['./scripts/merestone', '--version']);
        assert.equal(exitCode, 69, stderr);
        assert.match(
          stderr,
          /^merestone: no Node here runs Merestone: .* does not start \(.+\); .* is needed.* run/,
        );
        system.useNode(process.execPath);
        assert.doesNotMatch((await system.run(find)).stdout, /node_modules/);
      });
    }

    it('refuses a Node that was started without what is needed', async () => {
      system.useNode(process.execPath);
      const { stdout } = await system.run(find, { env: { NODE_OPTIONS: '--no-experimental-strip-types' } });
      assert.match(stdout, /without TypeScript/);
    });
  });

  describe('about the registry', { skip: whyNoNpm() }, () => {
    const servers: Server[] = [];
    before(() => {
      system.newCheckout();
      system.useNode(systemNode());
      system.installNpm('9.2.0');
    });
    after(() => servers.forEach((server) => server.close()));

    async function listen(server: Server, scheme = 'http'): Promise<NodeJS.ProcessEnv> {
      servers.push(server);
      server.unref();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      return {
        npm_config_registry: `${scheme}://127.0.0.1:${port}/`,
        npm_config_cache: system.path('cache'),
      };
    }
    const answering =
      (code: number): RequestListener =>
      (_request, response) =>
        response.writeHead(code).end();

    it('sees a proxy that opens TLS, asks it once, and works once npm trusts it', async () => {
      const authority = await createAuthority('Proxy CA');
      const server = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
      const { certificatePem, privateKeyPem } = await authority.issue({ commonName: 'proxy', server });
      const cert = certificatePem + authority.certificatePem;
      const proxy = createHttpsServer({ cert, key: privateKeyPem }, answering(404));
      let refused = 0;
      proxy.on('tlsClientError', () => refused++);
      const env = await listen(proxy, 'https');
      const result = await system.run(demo, { env });
      await assertSays(
        result,
        69,
        /does not trust \(SELF_SIGNED_CERT_IN_CHAIN\): .* proxy .* npm config set cafile/,
      );
      assert.match(result.stderr, /npm's own words: .*\/node_modules\/\.set-up\.log\n$/);
      assert.equal(refused, 1);
      writeFileSync(system.path('ca.pem'), authority.certificatePem);
      const trusting = await system.run(demo, { env: { ...env, npm_config_cafile: system.path('ca.pem') } });
      await assertSays(trusting, 69, /does not hold a package .* \(E404\)\. .*npm config set registry/);
    });

    it('sees a certificate that is not valid at this time', async () => {
      const authority = await createAuthority('Registry CA');
      const server = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
      const [notBefore, notAfter] = [new Date('2020-01-01'), new Date('2020-02-01')];
      const own = await authority.issue({ commonName: 'registry', server, notBefore, notAfter });
      const tls = { cert: own.certificatePem, key: own.privateKeyPem };
      const env = await listen(createHttpsServer(tls, answering(404)), 'https');
      writeFileSync(system.path('ca.pem'), authority.certificatePem);
      await assertSays(
        await system.run(demo, { env: { ...env, npm_config_cafile: system.path('ca.pem') } }),
        69,
        /not valid at this machine's time, .* timedatectl set-ntp/,
      );
    });

    for (const [code, advice] of [
      [401, /refuses this machine \(E401\)\. Log in/],
      [403, /refuses this machine \(E403\)\. Log in/],
      [500, /is in trouble \(E500\)\. Run this again later/],
      [503, /is in trouble \(E503\)\. Run this again later/],
    ] as const) {
      it(`is answered ${code}`, async () => {
        const env = await listen(createHttpServer(answering(code)));
        await assertSays(await system.run(demo, { env }), 69, advice);
      });
    }

    it('is answered by a portal of the network', async () => {
      const page: RequestListener = (_request, response) => void response.end('<html>Please log in</html>');
      const env = await listen(createHttpServer(page));
      await assertSays(
        await system.run(demo, { env }),
        69,
        /can't be reached .* Check this machine's network/,
      );
    });

    it('finds its port closed', async () => {
      const server = createTcpServer();
      const env = await listen(server);
      await new Promise((resolve) => server.close(resolve));
      await assertSays(await system.run(demo, { env }), 69, /can't be reached \(ECONNREFUSED\)/);
    });

    it('is cut off', async () => {
      const env = await listen(createTcpServer((socket) => socket.destroy()));
      await assertSays(await system.run(demo, { env }), 69, /can't be reached \(\w+\)/);
    });

    it('waits 20 s for one that is silent, and no longer', async () => {
      const env = await listen(createTcpServer());
      await assertSays(await system.run(demo, { env, timeoutMs: 60_000 }), 69, /can't be reached \(\w+\)/);
    });

    it('has no network', { skip: needsRoot }, async () => {
      const env = { npm_config_cache: system.path('cache') };
      const result = await system.run(demo, { env, prefix: ['unshare', '--net'] });
      await assertSays(result, 69, /name .* can't be resolved .* no network or no DNS\. Connect it/);
    });
  });

  describe('about Debian packages', () => {
    const install = [
      'bash',
      '-c',
      'set -eu; . scripts/set-up; . scripts/set-up-apt; set_up_apt socat mbpoll',
    ];
    const apt = (...lines: string[]): void => {
      system.program('dpkg-query', '#!/bin/sh\nexit 1\n');
      // Nothing of this machine is changed: these lines replace sudo.
      system.program('sudo', '#!/bin/sh\n[ "$1" = env ] || exit 0\nshift 2; exec "$@"\n');
      system.program(
        'apt-get',
        `#!/bin/sh\nprintf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} >&2\nexit 100\n`,
      );
    };
    const run = (): Promise<CommandResult> =>
      system.run(install, { prefix: asNobody, env: { TMPDIR: system.path('home') } });

    it('there is no apt-get', async () => {
      system.program('dpkg-query', '#!/bin/sh\nexit 1\n');
      system.remove('apt-get');
      await assertSays(await run(), 69, /no apt-get: socat mbpoll\. Run the tests on Debian 12/);
    });

    it('there is no sudo', async () => {
      apt();
      system.remove('sudo');
      await assertSays(
        await run(),
        77,
        /only root may install, and there is no sudo\. As root: apt-get install .* socat mbpoll/,
      );
    });

    it('sudo wants a password', async () => {
      apt();
      system.program('sudo', '#!/bin/sh\nexit 1\n');
      await assertSays(await run(), 77, /sudo refuses nobody or wants a password\. As root: apt-get install/);
    });

    for (const [what, line, advice] of [
      [
        'another program installs',
        'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (apt-get)',
        /held by process 812 \(apt-get\)\. Run this again when/,
      ],
      [
        'there is no network',
        'E: Failed to fetch http://deb.debian.org/x.deb  Temporary failure resolving deb.debian.org',
        /mirror can't be reached: E: Failed .* Check this machine's network/,
      ],
      [
        'the disk is full',
        'E: You don’t have enough free space in /var/cache/apt/archives/.',
        /no space left .* apt-get clean/,
      ],
      [
        'the system is too old',
        'E: Unable to locate package mbpoll',
        /does not know a package .*: mbpoll\. Debian 12/,
      ],
      [
        'dpkg was interrupted',
        'E: dpkg was interrupted, you must manually run dpkg',
        /sudo dpkg --configure -a/,
      ],
      [
        'something else is wrong',
        'E: Unmet dependencies',
        /Could not install socat mbpoll: E: Unmet dependencies\. Install them by hand/,
      ],
    ] as const) {
      it(what, async () => {
        apt(line);
        await assertSays(await run(), 69, advice, /apt's own words: \S+\n$/);
      });
    }

    it('and says nothing where all is there', async () => {
      system.program('dpkg-query', '#!/bin/sh\necho install ok installed\n');
      assert.deepEqual(await run(), { exitCode: 0, stdout: '', stderr: '' });
    });
  });
});
