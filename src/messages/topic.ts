import { isSegment } from './segment.ts';

/** Whose stream it is. Both ids come out of one verified certificate. */
export interface Origin {
  tenant: string;
  gateway: string;
}

declare const owned: unique symbol;

/**
 * An origin with its proof: only a verified certificate (`TenantIdentity.origin`) and the ledger of a spool that was
 * opened (`originOf`) make one. Spool and uplink take no other, so nothing else can name a tenant to them.
 */
export type OwnedOrigin = Readonly<Origin> & { readonly [owned]: true };

/** What stands under `t/{tenant}/{gateway}/`; `canary` is the session's own probe (MQTT 3.1.1). */
export const channels = ['telemetry', 'status', 'meta', 'event', 'checkpoint', 'canary'] as const;
export type Channel = (typeof channels)[number];

export function topicOf(origin: Origin, channel: Channel): string {
  return `t/${origin.tenant}/${origin.gateway}/${channel}`;
}

/** The parts of one of our topics, or undefined where it is not one. */
export function parseTopic(topic: string): (Origin & { channel: Channel }) | undefined {
  const [root, tenant, gateway, channel, ...rest] = topic.split('/');
  if (root !== 't' || rest.length > 0 || tenant === undefined || gateway === undefined) return undefined;
  if (!isSegment(tenant) || !isSegment(gateway)) return undefined;
  const known = channels.find((each) => each === channel);
  return known === undefined ? undefined : { tenant, gateway, channel: known };
}
