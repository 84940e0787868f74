/** The hostile tenant, in a thread of its own, so that making nonsense delays no measurement. */
import { parentPort, workerData } from 'node:worker_threads';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { connectAsync } from 'mqtt';
import { parseCertificate } from '../../src/identity/certificate.ts';
import { createSigner } from '../../src/identity/signer.ts';
import { topicOf, type Origin } from '../../src/messages/topic.ts';
import { StreamFuzz } from './stream-fuzz.ts';

export interface FuzzOrder {
  url: string;
  ca: string;
  certificatePem: string;
  privateKeyPem: string;
  origin: Origin;
  seed: number;
  bytesMax: number;
}

const order = workerData as FuzzOrder;
const { certificatePem: cert, privateKeyPem: key, origin } = order;
const leaf = parseCertificate(new X509Certificate(cert).raw, 'fuzz');
const signer = createSigner(leaf, [leaf], createPrivateKey(key));
const fuzz = new StreamFuzz(origin, (claims) => signer.sign(claims), order.seed, order.bytesMax);
const client = await connectAsync(order.url, { protocolVersion: 5, ca: order.ca, cert, key });

/** Each message asks for a number of them, and is answered when the broker has them. */
parentPort!.on('message', (count: number) => {
  void (async () => {
    for (let sent = 0; sent < count; sent++) {
      const { channel, payload } = await fuzz.next();
      const retain = channel === 'meta' || channel === 'status' || channel === 'checkpoint';
      await client.publishAsync(topicOf(origin, channel), payload, { qos: 1, retain });
    }
    parentPort!.postMessage(count);
  })();
});
parentPort!.postMessage(0);
