/** Publishes a retained message of the given size, in a thread of its own, so that it delays no measurement. */
import { workerData } from 'node:worker_threads';
import { connectAsync } from 'mqtt';

export interface LargeMessage {
  url: string;
  ca: string;
  certificatePem: string;
  privateKeyPem: string;
  topic: string;
  bytes: number;
}

const { url, ca, certificatePem: cert, privateKeyPem: key, topic, bytes } = workerData as LargeMessage;
const client = await connectAsync(url, { clientId: 'who has its certificate', ca, cert, key });
await client.publishAsync(topic, Buffer.alloc(bytes), { qos: 1, retain: true });
await client.endAsync();
