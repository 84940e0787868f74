import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readAnchors } from '../../../src/identity/certificate-file.ts';
import { loadEndedIdentity, loadIdentity } from '../../../src/identity/load-identity.ts';
import { siloFindings } from '../../../src/status/verdict/silo-findings.ts';
import { auditDirectory } from '../../../src/audit/audit-segment.ts';
import { verifyAudit } from '../../../src/audit/audit-verification.ts';
import { CurrentIdentity } from '../../../src/silo/tenant/current-identity.ts';
import { type Authority, createAuthority } from '../../../src/simulator/certificate-authority.ts';
import type { TelemetryBatch } from '../../../src/messages/telemetry.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { nextNoon, siloStartMessage } from '../../support/silo-options.ts';
import { type Holder, makeAuthority, makeCertificate, name, type Shape } from '../../support/pki.ts';
import { SiloRig } from '../../support/silo-rig.ts';
import { Site } from '../../support/site.ts';
import { acme } from '../../support/spool.ts';

const dayMs = 86_400_000;
const noonMs = nextNoon();
/** A minute after the noon at which the rig's clock begins. */
const endsMs = noonMs + 60_000;

async function issue(site: Site, notAfter: number, gateway = 'acme_gw-0001'): Promise<void> {
  const issued = await site.authority.issue({ organization: 'acme', commonName: gateway, notAfter });
  await writeFile(site.path('north.crt'), issued.certificatePem);
  await writeFile(site.path('north.key'), issued.privateKeyPem, { mode: 0o600 });
}

function identityFiles(site: Site): { certificate: string; privateKey: string; trust: string } {
  return {
    certificate: site.path('north.crt'),
    privateKey: site.path('north.key'),
    trust: site.path('ca.crt'),
  };
}

/** Lets real work (keys, signatures) end between the rig's seconds. */
async function passUntil(rig: SiloRig, isReached: () => boolean): Promise<void> {
  for (let round = 0; round < 200 && !isReached(); round += 1) {
    await rig.pass(1);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(isReached());
}

describe('a silo whose certificate ends', () => {
  it('stores without sending, over a restart, and sends everything with the renewed certificate', async () => {
    await using site = await Site.create(await createAuthority('Test CA'));
    await issue(site, endsMs);
    const first = await SiloRig.start(site.folder, {}, { wallMs: noonMs });
    await first.pass(50, () => first.feed(1));
    assert.doesNotMatch(first.status.uplink!.reason ?? '', /certificate/);
    await first.pass(50, () => first.feed(1));
    const { status } = first;
    assert.equal(status.state, 'running');
    assert.equal(status.reason, null);
    assert.equal(status.uplink!.state, 'held');
    assert.match(status.uplink!.reason!, /ended on .*: samples are stored, and nothing is signed or sent/);
    const found = siloFindings(status, first.clock.wallMs()).find(({ kind }) => kind === 'certificate');
    assert.equal(found!.verdict, 'failing');
    assert.match(found!.what, /has a certificate that ended on/);
    assert.deepEqual(status.samples.dropped, {});
    await first.silo.handle({ type: 'stop' });

    const second = await SiloRig.start(site.folder, {}, { wallMs: noonMs + dayMs });
    assert.equal(second.status.state, 'running');
    await second.pass(20, () => second.feed(1));
    assert.match(second.status.uplink!.reason!, /nothing is signed or sent/);
    const refused = second.audit().filter(({ kind }) => kind === 'refused-certificate');
    assert.equal(refused.length, 2, 'once in each life');

    await issue(site, noonMs + 30 * dayMs);
    const fingerprint = loadIdentity(identityFiles(site), noonMs + dayMs).identity.fingerprintSha256;
    await passUntil(second, () => second.status.identity?.fingerprintSha256 === fingerprint);
    await second.pass(5, () => second.feed(1));
    assert.doesNotMatch(second.status.uplink!.reason ?? '', /ended/);
    assert.deepEqual(second.status.samples.dropped, {});
    const { delivered, events } = await second.stopAndDrain();
    const samples = [...delivered.values()].flatMap(
      (payload) => (JSON.parse(payload.toString()) as TelemetryBatch).samples,
    );
    assert.equal(samples.length, 125);
    assert.equal(events.filter(({ kind }) => kind === 'samples-dropped').length, 0);
    assert.equal(events.filter(({ kind }) => kind === 'identity-changed').length, 1);
  });

  it('connects again at once if only the clock was ahead', async () => {
    await using site = await Site.create(await createAuthority('Test CA'));
    await issue(site, endsMs);
    const rig = await SiloRig.start(site.folder, {}, { wallMs: noonMs });
    rig.clock.setWall(noonMs + 400 * dayMs);
    await rig.pass(2);
    assert.match(rig.status.uplink!.reason!, /nothing is signed or sent/);
    rig.clock.setWall(noonMs + 10_000);
    await rig.pass(2);
    assert.doesNotMatch(rig.status.uplink!.reason ?? '', /nothing is signed or sent/);
    await rig.silo.handle({ type: 'stop' });
  });

  it('is refused on a box without a spool of this tenant and gateway', async () => {
    await using site = await Site.create(await createAuthority('Test CA'));
    await issue(site, endsMs);
    const fresh = await SiloRig.start(site.folder, {}, { wallMs: endsMs + dayMs });
    assert.equal(fresh.status.state, 'refused');
    assert.match(fresh.status.reason!, /expired on/);
    await fresh.silo.handle({ type: 'stop' });

    await issue(site, noonMs + 30 * dayMs);
    const valid = await SiloRig.start(site.folder, {}, { wallMs: endsMs + dayMs });
    await valid.feed(1);
    await valid.silo.handle({ type: 'stop' });
    await issue(site, endsMs, 'acme_gw-0002');
    const other = await SiloRig.start(site.folder, {}, { wallMs: endsMs + dayMs });
    assert.equal(other.status.state, 'refused');
    await other.silo.handle({ type: 'stop' });
  });

  it('keeps its valid certificate if an ended one replaces the file', async () => {
    await using site = await Site.create(await createAuthority('Test CA'));
    await issue(site, noonMs + 30 * dayMs);
    const rig = await SiloRig.start(site.folder, {}, { wallMs: noonMs + dayMs });
    const { fingerprintSha256 } = rig.status.identity!;
    await issue(site, endsMs);
    await passUntil(rig, () => rig.status.reason !== null);
    assert.match(rig.status.reason!, /expired on/);
    assert.equal(rig.status.identity!.fingerprintSha256, fingerprintSha256);
    assert.doesNotMatch(rig.status.uplink!.reason ?? '', /nothing is signed or sent/);
    await rig.silo.handle({ type: 'stop' });
  });
});

/** A gateway's certificate below an intermediate CA below a root; what is left out lasts for years. */
async function writeChain(site: Site, ends: { intermediate?: number; root?: number }): Promise<Chain> {
  const shape = (end: number | undefined): Shape => (end === undefined ? {} : { notAfter: new Date(end) });
  const root = await makeAuthority(shape(ends.root));
  const subject = name({ CN: 'Plant CA' });
  const intermediate = await makeAuthority({ subject, ...shape(ends.intermediate) }, root);
  const leaf = await makeCertificate({}, intermediate);
  const files = {
    'north.crt': leaf.certificatePem + intermediate.certificatePem,
    'north.key': leaf.privateKeyPem,
    'ca.crt': root.certificatePem,
  };
  for (const [file, text] of Object.entries(files)) await writeFile(site.path(file), text, { mode: 0o600 });
  return { root, intermediate, leaf };
}

/** What is wrong with the tenant's audit log, as the site's CA vouches for its signers. */
async function auditFindings(site: Site, nowMs: number): Promise<unknown[]> {
  const { directory } = siloStartMessage(site.folder, {}).options.spool;
  const log = auditDirectory(join(directory, acme.tenant, acme.gateway));
  const anchors = readAnchors(site.path('ca.crt'));
  const { findings, signatures } = await verifyAudit(log, anchors, { mustBe: true, nowMs });
  assert.ok(signatures > 0);
  return findings;
}

interface Chain {
  root: Holder;
  intermediate: Holder;
  leaf: Holder;
}

describe('a silo under a CA that ends', () => {
  const cas = {
    'an intermediate CA': {
      ends: { intermediate: endsMs },
      told: /the CA 'CN=Plant CA' \(.*north\.crt\) above its certificate ended on .*; put the renewed certificate of that CA into that file/,
      renew: async (site: Site, { root, intermediate: { subject, keys }, leaf }: Chain) => {
        const renewed = await makeAuthority({ subject, keys }, root);
        await writeFile(site.path('north.crt'), leaf.certificatePem + renewed.certificatePem);
      },
    },
    "the tenant's CA": {
      ends: { root: endsMs },
      told: /the CA 'CN=Test CA' \(.*ca\.crt\) above its certificate ended on .*; put the renewed certificate of that CA into that file/,
      renew: async (site: Site, { root: { keys } }: Chain) => {
        // It begins after all that the old one vouched for.
        const notBefore = new Date(noonMs + dayMs - 60_000);
        await writeFile(site.path('ca.crt'), (await makeAuthority({ keys, notBefore })).certificatePem);
      },
    },
  };
  for (const [whose, { ends, told, renew }] of Object.entries(cas))
    it(`stores on over a restart, and goes on under ${whose} renewed, the certificate being the same`, async () => {
      await using site = await Site.create(await createAuthority('Other CA'));
      const chain = await writeChain(site, ends);
      const first = await SiloRig.start(site.folder, {}, { wallMs: noonMs });
      await first.pass(70, () => first.feed(1));
      assert.equal(first.status.uplink!.state, 'held');
      assert.match(first.status.uplink!.reason!, told);
      const [finding] = siloFindings(first.status, first.clock.wallMs());
      assert.equal(finding!.verdict, 'failing');
      assert.match(finding!.what, /^has a certificate whose CA .* ended on .*: samples are stored/);
      await first.silo.handle({ type: 'stop' });

      const rig = await SiloRig.start(site.folder, {}, { wallMs: noonMs + dayMs });
      await rig.pass(20, () => rig.feed(1));
      assert.equal(rig.status.state, 'running');
      assert.equal(rig.status.uplink!.state, 'held');
      await renew(site, chain);
      await passUntil(rig, () => rig.status.uplink!.state !== 'held');
      assert.equal(rig.status.identity!.endsBy, null);
      assert.deepEqual(rig.status.samples.dropped, {});
      const { delivered, events } = await rig.stopAndDrain();
      const samples = [...delivered.values()].flatMap(
        (payload) => (JSON.parse(payload.toString()) as TelemetryBatch).samples,
      );
      assert.equal(samples.length, 90);
      assert.equal(events.filter(({ kind }) => kind === 'identity-changed').length, 0);
      assert.deepEqual(await auditFindings(site, rig.clock.wallMs()), []);
    });

  it('goes on without a pause if the renewed CA was installed beside the old one in time', async () => {
    await using site = await Site.create(await createAuthority('Other CA'));
    const { root } = await writeChain(site, { root: endsMs });
    const renewed = await makeAuthority({ keys: root.keys, notBefore: new Date(noonMs - dayMs) });
    await writeFile(site.path('ca.crt'), root.certificatePem + renewed.certificatePem);
    const rig = await SiloRig.start(site.folder, {}, { wallMs: noonMs });
    assert.equal(rig.status.identity!.endsBy, null);
    await rig.pass(90, () => rig.feed(1));
    assert.notEqual(rig.status.uplink!.state, 'held');
    assert.equal(rig.audit().filter(({ kind }) => kind === 'refused-certificate').length, 0);
    await rig.silo.handle({ type: 'stop' });
  });
});

describe('a silo whose clock is behind', () => {
  it('signs its audit log as of the beginning of its chain', async () => {
    await using site = await Site.create(await createAuthority('Other CA'));
    const begin = Math.floor((noonMs - dayMs) / 1000) * 1000;
    const root = await makeAuthority({ notBefore: new Date(begin) });
    const leaf = await makeCertificate({ notBefore: new Date(begin - dayMs) }, root);
    await writeFile(site.path('north.crt'), leaf.certificatePem);
    await writeFile(site.path('north.key'), leaf.privateKeyPem, { mode: 0o600 });
    await writeFile(site.path('ca.crt'), root.certificatePem);
    const rig = await SiloRig.start(site.folder, {}, { wallMs: noonMs });
    rig.clock.setWall(begin - 100 * dayMs);
    await rig.feed(1);
    await rig.pass(3);
    await rig.silo.handle({ type: 'stop' });
    const signatures = rig.audit().filter(({ kind }) => kind === 'signature');
    assert.ok(signatures.length > 0);
    for (const { jws } of signatures) {
      const [, claims] = String(jws).split('.');
      const { at } = JSON.parse(Buffer.from(claims!, 'base64url').toString()) as { at: number };
      assert.ok(at >= begin, new Date(at).toISOString());
    }
    assert.deepEqual(await auditFindings(site, noonMs), []);
  });
});

describe('an ended identity', () => {
  it('is verified as of its last valid moment, or by everything but time', async () => {
    const authority: Authority = await createAuthority('Test CA');
    await using site = await Site.create(authority);
    await issue(site, endsMs);
    const { identity } = loadEndedIdentity(identityFiles(site), endsMs + dayMs);
    assert.equal(identity.time.endsAt, Math.floor(endsMs / 1000) * 1000);
    assert.equal(identity.time.endsBy, null);
    // The CA began after the end: there never was a moment for both.
    await issue(site, Date.now() - 30 * dayMs);
    assert.equal(loadEndedIdentity(identityFiles(site), noonMs).identity.tenantId, 'acme');
    const other = await createAuthority('Other CA');
    await writeFile(site.path('ca.crt'), other.certificatePem);
    assert.throws(() => loadEndedIdentity(identityFiles(site), endsMs + dayMs), {
      code: 'IdentityUntrusted',
    });
  });

  it('makes no signature outside of its time with any clock', async () => {
    await using site = await Site.create(await createAuthority('Test CA'));
    await issue(site, endsMs);
    const clock = new FakeClock(0);
    const bearer = new CurrentIdentity(loadIdentity(identityFiles(site), noonMs), clock);
    const { notBefore, notAfter, fingerprintSha256 } = bearer.identity;
    for (const wallMs of [0, notBefore - 1, notBefore, noonMs, notAfter, notAfter + 1, notAfter + dayMs]) {
      clock.setWall(wallMs);
      const signing = bearer.signing();
      assert.equal(signing === undefined, wallMs > notAfter, String(wallMs));
      if (signing === undefined) continue;
      assert.ok(signing.at >= notBefore && signing.at <= notAfter, String(wallMs));
      const [header] = (await signing.sign({ at: signing.at })).split('.');
      const { x5c } = JSON.parse(Buffer.from(header!, 'base64url').toString()) as { x5c: string[] };
      const digest = createHash('sha256').update(Buffer.from(x5c[0]!, 'base64')).digest('hex');
      assert.equal(digest, fingerprintSha256);
    }
  });
});
