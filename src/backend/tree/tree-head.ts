import type { Origin } from '../../messages/topic.ts';

/*
 * What is signed of a tree, after C2SP's tlog-checkpoint:
 *   <log>/<tenant>/<gateway>
 *   <number of lines>
 *   <root hash, base64>
 */

export interface TreeHead {
  /** Which tree it is of. */
  origin: string;
  size: number;
  root: Buffer;
}

/** How the origins of a backend's trees begin, where it has no name of its own. */
export const defaultLog = 'merestone';

/** A name as signatures have it, C2SP's signed-note. */
export function isLogName(name: string): boolean {
  return /^[^\s+/][^\s+]{0,200}$/.test(name) && !name.endsWith('/');
}

export function originOf(log: string, { tenant, gateway }: Origin): string {
  return `${log}/${tenant}/${gateway}`;
}

/** Whose tree an origin names; undefined where it is no tree of evidence. */
export function gatewayOf(origin: string): Origin | undefined {
  const [, tenant, gateway] = /^.+\/([A-Za-z0-9_-]{1,64})\/([A-Za-z0-9_-]{1,64})$/.exec(origin) ?? [];
  return tenant === undefined || gateway === undefined ? undefined : { tenant, gateway };
}

export function formatHead({ origin, size, root }: TreeHead): string {
  return `${origin}\n${size}\n${root.toString('base64')}\n`;
}

/** Undefined if `text` is not a tree head; lines beyond the third are extensions. */
export function parseHead(text: string): TreeHead | undefined {
  const [origin, size, hash] = text.split('\n');
  if (!origin || size === undefined || hash === undefined || !/^(0|[1-9]\d{0,14})$/.test(size))
    return undefined;
  const root = Buffer.from(hash, 'base64');
  if (root.length !== 32 || root.toString('base64') !== hash) return undefined;
  return { origin, size: Number(size), root };
}
