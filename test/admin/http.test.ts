import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { type HttpServer, startHttpServer } from '../../src/admin/http-server.ts';
import { lossReasons } from '../../src/reading/loss.ts';
import type { GatewayStatus } from '../../src/status/status.ts';
import { judged } from '../../src/status/verdict/verdict.ts';
import { busStatus, deviceStatus, gatewayStatus, siloStatus, troubledStatus } from '../support/status.ts';

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

describe('HTTP', () => {
  let server: HttpServer;
  let status: GatewayStatus | Error = gatewayStatus();
  before(async () => {
    const read = (): GatewayStatus => {
      if (status instanceof Error) throw status;
      return judged(status);
    };
    server = await startHttpServer({ host: '127.0.0.1', port: 0 }, read, {
      clock: systemClock,
      logger: silentLogger,
    });
  });
  after(() => server.close());

  async function ask(
    path: string,
    { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const request = httpRequest({ host: '127.0.0.1', port: server.port, path, method, headers });
    request.end();
    const [response] = await once(request, 'response');
    let body = '';
    for await (const piece of response.setEncoding('utf8')) body += piece;
    return { status: response.statusCode, headers: response.headers, body };
  }

  /** Sends these bytes; what comes back until the server ends it. */
  async function raw(bytes: string): Promise<string> {
    const socket = connect(server.port!, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(bytes);
    let text = '';
    for await (const piece of socket.setEncoding('latin1')) text += piece;
    return text;
  }

  it('/api/status is the status', async () => {
    status = gatewayStatus();
    const { status: code, headers, body } = await ask('/api/status?x=1');
    assert.equal(code, 200);
    assert.match(headers['content-type']!, /^application\/json/);
    assert.deepEqual(JSON.parse(body), judged(status));
  });

  it('/healthz is 200 for a good verdict', async () => {
    status = gatewayStatus();
    const { status: code, body } = await ask('/healthz');
    assert.deepEqual([code, JSON.parse(body)], [200, { verdict: 'good', healthy: true, reasons: [] }]);
  });

  it('/healthz is 200 with a reason for a degraded verdict', async () => {
    status = gatewayStatus({
      buses: [busStatus('b', { devices: [deviceStatus('d'), deviceStatus('e', { state: 'offline' })] })],
    });
    const { status: code, body } = await ask('/healthz');
    const { verdict, healthy, reasons } = JSON.parse(body) as {
      verdict: string;
      healthy: boolean;
      reasons: string[];
    };
    assert.deepEqual([code, verdict, healthy, reasons.length], [200, 'degraded', true, 1]);
    assert.match(reasons[0]!, /^device e gives no value now, .*; check its power/);
  });

  it('/healthz is 503 with every reason for a failing verdict', async () => {
    status = troubledStatus();
    const { status: code, body } = await ask('/healthz');
    assert.equal(code, 503);
    const { verdict, healthy, reasons } = JSON.parse(body) as {
      verdict: string;
      healthy: boolean;
      reasons: string[];
    };
    assert.deepEqual([verdict, healthy], ['failing', false]);
    const expected = [
      'silo north has had no session with its broker for 26.9 h: its uplink is waiting: connect ECONNREFUSED 192.0.2.1:8883; data waits on the disk; trying again in 12 s',
      'silo south is refused, and stores and sends nothing: /etc/merestone/south.crt: the certificate ended on 2026-11-01; renew it (E303)',
      'device boiler has given no value for 3.2 min: no answer within 1 s; <img src=x onerror=alert(1)>',
      'bus wind is lost: /dev/ttyUSB1 is not there: plugged out?; device mast is offline; plug the adapter in',
      'silo north has filled 94 % of its spool; bring the uplink back',
      'silo north has a certificate in the last third of its life: it ends on ',
      'silo north does not know the time; give the box NTP',
      "silo north keeps 2 batches that its broker has refused again and again; have the broker take them (its log, its limits, its access list), then send them by 'merestone spool retry'",
      'device solar has 1 of 2 points that fail or are implausible: power (exception:2): illegal data address at 72; compare table and address',
    ];
    assert.equal(reasons.length, expected.length, body);
    for (const [index, words] of expected.entries())
      assert.ok(reasons[index]!.startsWith(words), reasons[index]);
  });

  it('/livez is 200 while the process answers, with any verdict', async () => {
    status = troubledStatus();
    const { status: code, body } = await ask('/livez');
    assert.deepEqual([code, JSON.parse(body)], [200, { alive: true }]);
    assert.equal((await ask('/healthz')).status, 503);
  });

  it('/healthz is 503 if two silos claim one tenant', async () => {
    status = gatewayStatus({ silos: [siloStatus('north'), siloStatus('south')] });
    const { status: code, body } = await ask('/healthz');
    const { healthy, reasons } = JSON.parse(body) as { healthy: boolean; reasons: string[] };
    assert.deepEqual([code, healthy, reasons.length], [503, false, 1]);
    assert.match(reasons[0]!, /^silos north and south say that they are of one tenant, acme; give each/);
  });

  it('/metrics gives every per-tenant series its tenant', async () => {
    status = troubledStatus();
    const { headers, body } = await ask('/metrics');
    assert.match(headers['content-type']!, /^text\/plain; version=0\.0\.4/);
    const series = body.split('\n').filter((line) => line.startsWith('merestone_'));
    for (const line of series.filter((each) => /silo=|device=/.test(each)))
      assert.match(line, /[{,]tenant="/, line);
    for (const wanted of [
      'merestone_samples_received_total{tenant="acme",silo="north"} 50000',
      'merestone_samples_dropped_total{tenant="acme",silo="north",reason="overrun"} 77',
      'merestone_certificate_days_left{tenant="acme",silo="north"} 12.',
      'merestone_uplink_online{tenant="acme",silo="north"} 0',
      'merestone_spool_bytes_in_use{tenant="acme",silo="north"} 480000000',
      'merestone_device_failures_total{tenant="acme",silo="north",bus="rs485",device="boiler",kind="timeout"} 12',
      'merestone_bus_open{bus="wind",kind="serial"} 0',
      'merestone_silo_running{tenant="",silo="south"} 0',
    ]) {
      assert.ok(
        series.some((line) => line.startsWith(wanted)),
        wanted,
      );
    }
    assert.match(body, /^process_resident_memory_bytes \d/m);
  });

  it('/metrics has isolates, quotas and bus shares', async () => {
    const north = siloStatus('north', {
      isolation: 'process',
      usage: { cpuShare: 0.25, memoryBytes: 24_000_000, memoryBytesMax: 96_000_000 },
      quotas: [
        { quota: 'samples-per-second', limit: 2000, used: 2000, state: 'reached' },
        { quota: 'spool-bytes', limit: 512_000_000, used: 1_200_000, state: 'clear' },
        { quota: 'bus-share', limit: 0.2, used: 0.05, state: 'clear' },
      ],
    });
    const south = siloStatus('south', { tenant: 'borealis', state: 'quarantined', usage: null, quotas: [] });
    status = gatewayStatus({
      silos: [north, south],
      buses: [
        busStatus('rs485', {
          silos: [
            { silo: 'north', busShare: 0.05, busShareMax: 0.2, held: true },
            { silo: 'south', busShare: 0.5, busShareMax: null, held: false },
          ],
        }),
      ],
    });
    const { body } = await ask('/metrics');
    const names = /^merestone_(silo_(?:isolation|quarantined|cpu|memory)|quota|bus_silo)\w*/;
    assert.deepEqual(
      body
        .split('\n')
        .filter((line) => names.test(line))
        .sort(),
      [
        'merestone_bus_silo_held{tenant="acme",silo="north",bus="rs485"} 1',
        'merestone_bus_silo_held{tenant="borealis",silo="south",bus="rs485"} 0',
        'merestone_bus_silo_share_ratio_max{tenant="acme",silo="north",bus="rs485"} 0.2',
        'merestone_bus_silo_share_ratio{tenant="acme",silo="north",bus="rs485"} 0.05',
        'merestone_bus_silo_share_ratio{tenant="borealis",silo="south",bus="rs485"} 0.5',
        'merestone_quota_limit{tenant="acme",silo="north",quota="bus-share"} 0.2',
        'merestone_quota_limit{tenant="acme",silo="north",quota="samples-per-second"} 2000',
        'merestone_quota_limit{tenant="acme",silo="north",quota="spool-bytes"} 512000000',
        'merestone_quota_reached{tenant="acme",silo="north",quota="bus-share"} 0',
        'merestone_quota_reached{tenant="acme",silo="north",quota="samples-per-second"} 1',
        'merestone_quota_reached{tenant="acme",silo="north",quota="spool-bytes"} 0',
        'merestone_quota_used{tenant="acme",silo="north",quota="bus-share"} 0.05',
        'merestone_quota_used{tenant="acme",silo="north",quota="samples-per-second"} 2000',
        'merestone_quota_used{tenant="acme",silo="north",quota="spool-bytes"} 1200000',
        'merestone_silo_cpu_share_ratio{tenant="acme",silo="north"} 0.25',
        'merestone_silo_isolation_info{tenant="acme",silo="north",isolation="process"} 1',
        'merestone_silo_isolation_info{tenant="borealis",silo="south",isolation="thread"} 1',
        'merestone_silo_memory_bytes_max{tenant="acme",silo="north"} 96000000',
        'merestone_silo_memory_bytes{tenant="acme",silo="north"} 24000000',
        'merestone_silo_quarantined{tenant="acme",silo="north"} 0',
        'merestone_silo_quarantined{tenant="borealis",silo="south"} 1',
      ],
    );
  });

  it('/metrics names the gateway of a verified certificate', async () => {
    const { identity } = siloStatus('north');
    const north = siloStatus('north', { identity: { ...identity!, notBefore: 1.7e12, notAfter: 1.8e12 } });
    const south = siloStatus('south', { state: 'refused', tenant: null, gateway: null, identity: null });
    // Refused later: whose it was is known as long as the daemon runs.
    const west = siloStatus('west', { state: 'refused', gateway: 'acme_gw-0002', identity: null });
    status = gatewayStatus({ silos: [north, south, west] });
    const { body } = await ask('/metrics');
    assert.deepEqual(
      body.split('\n').filter((line) => /^merestone_(gateway_info|certificate_not)/.test(line)),
      [
        'merestone_gateway_info{tenant="acme",silo="north",gateway="acme_gw-0001"} 1',
        'merestone_gateway_info{tenant="acme",silo="west",gateway="acme_gw-0002"} 1',
        'merestone_certificate_not_before_timestamp_seconds{tenant="acme",silo="north"} 1700000000',
        'merestone_certificate_not_after_timestamp_seconds{tenant="acme",silo="north"} 1800000000',
      ],
    );
  });

  it('/metrics gives every reason for a loss a series before the first one', async () => {
    const north = siloStatus('north');
    const samples = { ...north.samples, dropped: { quota: 5 } };
    status = gatewayStatus({ silos: [{ ...north, samples }, siloStatus('south', { tenant: null })] });
    const { body } = await ask('/metrics');
    const given = (labels: string): string[] =>
      body.match(new RegExp(`(?<=^merestone_samples_dropped_total\\{${labels},).*`, 'gm')) ?? [];
    const none = lossReasons.map((reason) => `reason="${reason}"} 0`);
    assert.deepEqual(given('tenant="",silo="south"'), none);
    assert.deepEqual(given('tenant="acme",silo="north"'), ['reason="quota"} 5', ...none.slice(1)]);
  });

  it('/metrics drops the series of removed devices and silos, and bounds unknown reasons', async () => {
    const reasons = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`r${index}`, 1]));
    const silo = siloStatus('north');
    status = gatewayStatus({
      silos: [{ ...silo, samples: { ...silo.samples, dropped: reasons } }],
      buses: [],
    });
    const { body } = await ask('/metrics');
    assert.equal(body.match(/^merestone_samples_dropped_total\{/gm)!.length, 32);
    assert.doesNotMatch(body, /device="boiler"/);
  });

  it('/metrics escapes label values that would break a line', async () => {
    const silo = siloStatus('north', {
      samples: { received: 0, stored: 0, published: 0, dropped: { 'a"b\\c\nd': 1 } },
    });
    status = gatewayStatus({ silos: [silo] });
    assert.match((await ask('/metrics')).body, /reason="a\\"b\\\\c\\nd"/);
  });

  it('accepts only GET and HEAD', async () => {
    status = gatewayStatus();
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE']) {
      const { status: code, headers } = await ask('/api/status', { method });
      assert.deepEqual([method, code, headers.allow], [method, 405, 'GET, HEAD']);
    }
    const { status: code, body, headers } = await ask('/', { method: 'HEAD' });
    assert.deepEqual([code, body], [200, '']);
    assert.ok(Number(headers['content-length']) > 1000);
  });

  it('answers 404 on other paths', async () => {
    for (const path of [
      '/nope',
      '/../../etc/passwd',
      '/__proto__',
      '/constructor',
      '//',
      '/%2e%2e/',
      '/api/status/',
    ]) {
      assert.equal((await ask(path)).status, 404, path);
    }
  });

  it('refuses a Host other than its own (DNS rebinding)', async () => {
    const hostStatus = async (host: string): Promise<number> =>
      (await ask('/api/status', { headers: { host } })).status;
    for (const host of [
      'evil.example',
      '127.0.0.1.evil.example',
      '127.evil.example:80',
      'localhost.evil.example',
      '[::1',
    ]) {
      assert.equal(await hostStatus(host), 403, host);
    }
    for (const host of [
      'localhost',
      'LOCALHOST:9464',
      `127.0.0.1:${server.port}`,
      '127.9.9.9',
      '[::1]:9464',
    ]) {
      assert.equal(await hostStatus(host), 200, host);
    }
  });

  it('lets no page of another site read, frame or script it', async () => {
    const { headers } = await ask('/');
    const policy = String(headers['content-security-policy']);
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /script-src 'sha256-[^']+'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(headers['access-control-allow-origin'], undefined);
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
    assert.equal(headers['x-content-type-options'], 'nosniff');
  });

  it('accepts headers up to 8 kB, and ignores the length of a body', async () => {
    assert.equal((await ask('/livez', { headers: { 'x-long': 'a'.repeat(7000) } })).status, 200);
    assert.equal((await ask('/livez', { headers: { 'x-long': 'a'.repeat(9000) } })).status, 431);
    assert.equal((await ask('/livez', { headers: { 'content-length': '9007199254740991' } })).status, 200);
    assert.equal((await ask('/livez')).status, 200);
  });

  it('survives hostile bytes', async () => {
    status = gatewayStatus();
    const hostile = [
      'nonsense\r\n\r\n',
      `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      'GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'GET / HTTP/9.9\r\nHost: localhost\r\n\r\n',
      '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
      'GET /api/status HTTP/1.1\r\nConnection: close\r\n\r\n',
    ];
    for (const bytes of hostile) assert.match(await raw(bytes), /^(HTTP\/1\.1 4\d\d|$)/, bytes.slice(0, 40));
    assert.equal((await ask('/healthz')).status, 200);
  });

  it('answers the first of several requests at once, whole, and ends the connection', async () => {
    status = gatewayStatus();
    const one = 'GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const text = await raw(one.repeat(20));
    assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, 1);
    assert.deepEqual(JSON.parse(text.split('\r\n\r\n')[1]!), judged(status));
  });

  it('answers one request after the other on a connection that stays', async () => {
    const socket = connect(server.port!, '127.0.0.1').setEncoding('latin1');
    for (let round = 0; round < 5; round++) {
      socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
      let text = '';
      while (!text.includes('true')) text += (await once(socket, 'data'))[0] as string;
      assert.match(text, /^HTTP\/1\.1 200/);
    }
    socket.destroy();
  });

  it('survives an error while the status is made', async () => {
    status = new Error('not now');
    await assert.rejects(ask('/api/status'));
    status = gatewayStatus();
    assert.equal((await ask('/api/status')).status, 200);
  });

  it('throws with the cause if its port is taken, or its address is not of this box', async () => {
    const taken = startHttpServer({ host: '127.0.0.1', port: server.port! }, gatewayStatus, {
      clock: systemClock,
      logger: silentLogger,
    });
    await assert.rejects(taken, { code: 'Io', message: /another program listens there/ });
    const elsewhere = startHttpServer({ host: '192.0.2.1', port: 0 }, gatewayStatus, {
      clock: systemClock,
      logger: silentLogger,
    });
    await assert.rejects(elsewhere, { code: 'Io', message: /this box has no such address/ });
  });

  it('is open only to the owner and the group of a Unix socket', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'merestone-http-'));
    const socket = path.join(folder, 'run', 'http.sock');
    status = gatewayStatus();
    const dependencies = { clock: systemClock, logger: silentLogger };
    const start = (): Promise<HttpServer> => startHttpServer({ socket }, gatewayStatus, dependencies);
    const local = await start();
    try {
      assert.equal(local.port, undefined);
      assert.equal(statSync(socket).mode & 0o777, 0o660);
      // A proxy may pass on any name.
      assert.match(await askLocally(socket, 'metrics.example.com'), /^200 .*"name":"north"/);
      await assert.rejects(start(), { code: 'DaemonRunning', hint: /http\.listen/ });
      assert.match(await askLocally(socket, 'localhost'), /^200 /);
      if (process.getuid!() === 0) {
        chmodSync(folder, 0o755);
        chmodSync(path.dirname(socket), 0o755);
        chownSync(socket, 0, 54_320);
        assert.match(await askLocally(socket, 'localhost', { uid: 54_321, gid: 54_320 }), /^200 /);
        assert.equal(await askLocally(socket, 'localhost', { uid: 54_322, gid: 54_322 }), 'EACCES');
      }
    } finally {
      await local.close();
    }
    assert.equal(statSync(socket, { throwIfNoEntry: false }), undefined);
    writeFileSync(socket, 'precious');
    await assert.rejects(start(), { code: 'Io', message: /something else than a socket/ });
    rmSync(folder, { recursive: true });
  });

  /** What a process of its own gets from /api/status, as that user: status and body, or the code of the error. */
  async function askLocally(
    socketPath: string,
    host: string,
    user: { uid?: number; gid?: number } = {},
  ): Promise<string> {
    const program = `
      const [socketPath, host] = process.argv.slice(1);
      require('node:http').get({ socketPath, path: '/api/status', headers: { host } }, (response) => {
        process.stdout.write(response.statusCode + ' ');
        response.pipe(process.stdout);
      }).on('error', ({ code }) => process.stdout.write(code));
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', program, socketPath, host], {
      ...user,
      cwd: '/',
    });
    return stdout;
  }

  describe('the status page in a browser', () => {
    const run = promisify(execFile);
    let profile: string;
    before(() => {
      profile = mkdtempSync(path.join(tmpdir(), 'merestone-chromium-'));
    });
    after(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));

    /** The page's elements after its first look at the gateway. */
    async function render(): Promise<string> {
      const flags =
        '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --virtual-time-budget=3000 --dump-dom';
      const words = [...flags.split(' '), `--user-data-dir=${profile}`, `http://127.0.0.1:${server.port}/`];
      const { stdout } = await run('chromium', words, { timeout: 60_000, maxBuffer: 10_000_000 });
      return stdout;
    }

    it('shows a good verdict', async () => {
      status = gatewayStatus();
      const page = await render();
      assert.match(page, /<div class="word">good<\/div>All is well/);
      assert.match(page, /acme, gateway acme_gw-0001/);
      assert.match(page, /364 days left/);
    });

    it('shows reached quotas, and the silos whose devices wait for the bus', async () => {
      const quotas = [
        { quota: 'samples-per-second' as const, limit: 5, used: 22.4, state: 'reached' as const },
        { quota: 'cpu-share' as const, limit: 0.5, used: 0.1, state: 'clear' as const },
      ];
      const waiting = { silo: 'north', busShare: 0.2, busShareMax: 0.2, held: true };
      status = gatewayStatus({
        silos: [siloStatus('north', { quotas, isolation: 'process' })],
        buses: [busStatus('rs485', { silos: [waiting, { ...waiting, silo: 'south', held: false }] })],
      });
      const page = await render();
      assert.match(page, /samples a second: 22 of 5; what is over it is dropped/);
      assert.match(page, /a process of its own/);
      assert.match(page, /silo north may take 20 % of it: its devices wait/);
      assert.doesNotMatch(page, /share of a core: |silo south may take/);
    });

    it("shows each reason, and a device's text never becomes markup", async () => {
      status = troubledStatus();
      const page = await render();
      assert.match(page, /<div class="word">failing<\/div>Act now/);
      assert.match(page, /the certificate ended on 2026-11-01/);
      assert.match(page, /device mast is offline/);
      assert.match(page, /no answer within 1 s; &lt;img src=x onerror=alert\(1\)&gt;/);
      assert.doesNotMatch(page, /<img/);
    });
  });
});
