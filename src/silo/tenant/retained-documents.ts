import { version } from '../../base/version.ts';
import type { MetaDocument, StatusDocument } from '../../messages/retained.ts';
import type { Origin } from '../../messages/topic.ts';
import type { PublishRequest } from '../../uplink/uplink.ts';
import type { SiloDevices } from '../protocol.ts';

/** What the values mean; the broker keeps it for whoever comes later. `at`: ms since 1970 UTC. */
export function metaRequest(
  origin: Origin,
  { devices, configSha256 }: SiloDevices,
  at: number,
): PublishRequest {
  const document: MetaDocument = { v: 1, ...origin, at, version, configSha256, devices };
  return { channel: 'meta', payload: encodeJson(document), retain: true, contentType: 'application/json' };
}

/** Whether the gateway is online, `since` when (ms since 1970 UTC); the session's will is the same document. */
export function statusPayload(origin: Origin, online: boolean, since: number, epoch: string): Buffer {
  return encodeJson({ v: 1, ...origin, online, since, version, epoch });
}

function encodeJson(document: MetaDocument | StatusDocument): Buffer {
  return Buffer.from(JSON.stringify(document));
}
