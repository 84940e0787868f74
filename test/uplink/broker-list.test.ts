import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MerestoneError } from '../../src/base/error.ts';
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
} from '../../src/simulator/certificate-authority.ts';
import { Brokers, type Candidate } from '../../src/uplink/broker-list.ts';
import { Cluster } from '../support/cluster.ts';
import { packetType, parsePublish, type Script, ScriptedBroker } from '../support/scripted-broker.ts';
import { gatewayRequest, hurried, Rig } from './rig.ts';

const names: Record<string, string[]> = {
  'a.example': ['192.0.2.1', '192.0.2.2', '192.0.2.1'],
  'b.example': ['192.0.2.3'],
};
const resolve = async (host: string): Promise<{ address: string }[]> => {
  const addresses = names[host];
  if (addresses === undefined) throw Object.assign(new Error('unknown'), { code: 'ENOTFOUND' });
  return addresses.map((address) => ({ address }));
};
const signal = new AbortController().signal;

describe('brokers', () => {
  function tried(
    brokers: Brokers,
    good = '',
  ): Promise<{ order: string[]; error: unknown; at: Candidate | undefined }> {
    const order: string[] = [];
    const connect = async (candidate: Candidate): Promise<Candidate> => {
      order.push(candidate.address);
      if (candidate.address === good) return candidate;
      const code = candidate.address === '192.0.2.3' ? 'UplinkRefused' : 'UplinkUnreachable';
      throw new MerestoneError(code, `no ${candidate.address}`, { subject: candidate.name, hint: 'do' });
    };
    return brokers.connect(connect, signal).then(
      (at) => ({ order, error: undefined, at }),
      (error: unknown) => ({ order, error, at: undefined }),
    );
  }

  it('are tried at every address of every name, once each, until one welcomes us', async () => {
    const urls = ['mqtts://a.example', 'mqtts://b.example:884', 'mqtts://192.0.2.9'];
    const { order, at } = await tried(new Brokers(urls, 'ca.crt', resolve), '192.0.2.3');
    assert.deepEqual(order, ['192.0.2.1', '192.0.2.2', '192.0.2.3']);
    assert.deepEqual(
      [at!.name, at!.host, at!.hasAlternatives],
      ['b.example:884 (192.0.2.3)', 'b.example', true],
    );
  });

  it('begin where the last session was, and after it where that was good for nothing', async () => {
    const brokers = new Brokers(['mqtts://a.example', 'mqtts://b.example'], 'ca.crt', resolve);
    const { at } = await tried(brokers, '192.0.2.2');
    brokers.left(at!, true);
    assert.deepEqual((await tried(brokers)).order, ['192.0.2.2', '192.0.2.3', '192.0.2.1']);
    brokers.left(at!, false);
    assert.deepEqual((await tried(brokers)).order, ['192.0.2.3', '192.0.2.1', '192.0.2.2']);
  });

  it('tell which address was unwell and how, those that answered before those that did not', async () => {
    const of = async (...urls: string[]): Promise<string> => {
      const { error } = await tried(new Brokers(urls, 'ca.crt', resolve));
      assert.ok(error instanceof MerestoneError);
      return error.describe();
    };
    assert.match(
      await of('mqtts://a.example'),
      /^a\.example:8883 \(192\.0\.2\.1\): no 192\.0\.2\.1, a\.example:8883 \(192\.0\.2\.2\): no 192\.0\.2\.2; do/,
    );
    assert.match(
      await of('mqtts://a.example', 'mqtts://b.example'),
      /^b\.example:8883 \(192\.0\.2\.3\): no 192\.0\.2\.3; do/,
    );
    assert.match(
      await of('mqtts://none.example'),
      /^none\.example:8883: the name none\.example is not known to DNS/,
    );
    assert.match(await of('mqtts://b.example'), /^b\.example:8883: no 192\.0\.2\.3; do/);
  });

  describe('brokers, one of which takes TCP and stays silent', () => {
    let authority: Authority;
    let gateway: IssuedCertificate;
    let folder: string;

    before(async () => {
      authority = await createAuthority('Test CA');
      gateway = await authority.issue(gatewayRequest);
      folder = await mkdtemp(join(tmpdir(), 'brokers-'));
      await writeFile(join(folder, 'ca.crt'), authority.certificatePem);
    });
    after(() => rm(folder, { recursive: true, force: true }));

    /** A broker that answers up to a point. */
    function brokerThat(answers: 'nothing' | 'connect' | 'all'): Promise<ScriptedBroker> {
      return ScriptedBroker.start(authority, (packet, peer) => {
        if (answers === 'nothing') return;
        if (packet.type === packetType.connect) peer.send([0x20, 3, 0, 0, 0]);
        if (answers === 'all' && packet.type === packetType.publish) {
          peer.send([0x40, 2, ...parsePublish(packet).packetId]);
        }
      });
    }

    it('are left for the next one: silent in TLS, to CONNECT, and to the first publish', async () => {
      const sockets = new Set<Socket>();
      const mute = createServer((socket) => void sockets.add(socket.on('error', () => {})));
      mute.listen(0, '127.0.0.1');
      await once(mute, 'listening');
      const muteUrl = `mqtts://127.0.0.1:${(mute.address() as AddressInfo).port}`;
      await using unwelcoming = await brokerThat('nothing');
      await using useless = await brokerThat('connect');
      await using good = await brokerThat('all');
      const url = [muteUrl, unwelcoming.url, useless.url, good.url];
      await using rig = new Rig({ url, ca: join(folder, 'ca.crt') }, gateway, hurried(50));
      await rig.ready();
      assert.equal(`mqtts://${rig.uplink.status().broker}`, good.url);
      assert.deepEqual(await rig.batch('x'), { kind: 'accepted' });
      // It has been useful, so it is the first to be tried when it comes back.
      good.script = (_packet, peer) => peer.hangUp();
      await rig.uplink.publish({ channel: 'telemetry', payload: Buffer.from('y') });
      await rig.reason(/127\.0\.0\.1:\d+/);
      for (const socket of sockets) socket.destroy();
      mute.close();
    });

    it('are all addresses of one name, each for its time, and each is named with what it did', async () => {
      const connack =
        (code: number): Script =>
        (packet, peer) => {
          if (packet.type === packetType.connect) peer.send([0x20, 3, 0, code, 0]);
          if (packet.type === packetType.publish) peer.send([0x40, 2, ...parsePublish(packet).packetId]);
        };
      await using cluster = await Cluster.start(authority, {
        '127.0.0.1': 'silent',
        '127.0.0.2': () => {},
        '127.0.0.3': connack(0x87),
        '127.0.0.4': 'strange',
      });
      const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5', '::1'];
      const lookup = async (): Promise<{ address: string }[]> => addresses.map((address) => ({ address }));
      const options = { url: cluster.url, ca: join(folder, 'ca.crt') };
      await using rig = new Rig(options, gateway, hurried(10), lookup);
      const { reason } = await rig.reason(/cluster\.example/);
      // Those that do not answer at all are not told, where others say why.
      assert.match(reason!, /\(127\.0\.0\.3\): acme_gw-0001 is not authorized/);
      assert.match(reason!, /\(127\.0\.0\.4\): .*certificate/);
      assert.doesNotMatch(reason!, /127\.0\.0\.[125]\)/);
      await cluster.add('::1', connack(0));
      await rig.ready();
      assert.equal(rig.uplink.status().broker, cluster.name('::1'));
      assert.deepEqual(await rig.batch('x'), { kind: 'accepted' });
    });
  });
});
