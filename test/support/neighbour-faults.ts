import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { topicOf } from '../../src/messages/topic.ts';
import type { Authority } from '../../src/simulator/certificate-authority.ts';
import type { LargeMessage } from './large-publisher.ts';
import { type Disk, fillDisk, makeDisk, whyNoDisk } from './mount.ts';
import type { Site } from './site.ts';

/** Why this machine cannot have the noisy silo's state on a disk of its own; undefined where it can. */
export const whyNoFaultyDisk = whyNoDisk('ext4');

/** A small disk that ends with the site. */
export function makeSiteDisk(site: Site): Disk {
  return makeDisk({ after: (done) => site.cleanUp(done) }, 'ext4', 32e6);
}

/** Fills the disk as another program would, and again whenever space becomes free. */
export function keepFull(site: Site, disk: Disk): void {
  let count = 0;
  const fill = (): void => fillDisk(`${disk.path}/other-${(count += 1)}`);
  fill();
  const timer = setInterval(fill, 500);
  site.cleanUp(() => clearInterval(timer));
}

const largeBytes = 200_000_000;

/** The noisy tenant's broker has 200 MB for its canary, and sends them at each subscription. */
export async function publishLarge(
  authority: Authority,
  url: string,
  origin: { tenant: string; gateway: string },
): Promise<void> {
  const leaked = await authority.issue({ organization: origin.tenant, commonName: origin.gateway });
  const ca = authority.certificatePem;
  const message: LargeMessage = { url, ca, ...leaked, topic: topicOf(origin, 'canary'), bytes: largeBytes };
  const publisher = new Worker(new URL('./large-publisher.ts', import.meta.url), { workerData: message });
  await once(publisher, 'exit');
}
