import { plain } from '../base/plain-text.ts';
import type { Origin } from '../messages/topic.ts';

/**
 * - `info`: what a healthy stream does
 * - `warning`: data is late, lost or cannot be checked
 * - `security`: something is not what its sender signed, or claims another's name
 */
export type Severity = 'info' | 'warning' | 'security';

/** What the consumer has to say beside its rows. `kind` is stable, `message` is for people. */
export interface Notice {
  severity: Severity;
  kind: string;
  message: string;
  origin?: Origin;
  epoch?: string;
  details?: Readonly<Record<string, unknown>>;
}

/** `warning acme/acme_gw-0001 gap: batches 7–9 are missing (epoch 01JD…)`, one line. */
export function formatNotice({ severity, kind, message, origin, epoch }: Notice): string {
  const who = origin === undefined ? '' : ` ${origin.tenant}/${origin.gateway}`;
  const life = epoch === undefined ? '' : ` (epoch ${epoch})`;
  return plain(`${severity}${who} ${kind}: ${message}${life}`);
}

/**
 * One flat document: `{"severity":…,"kind":…,"tenant":…,"gateway":…,"epoch":…,"message":…, details…}`. Details may have
 * members of a gateway's choice, none of which takes the place of ours.
 */
export function noticeDocument({
  severity,
  kind,
  message,
  origin,
  epoch,
  details,
}: Notice): Record<string, unknown> {
  const own = { severity, kind, ...origin, ...(epoch !== undefined && { epoch }), message };
  return { ...own, ...details, ...own };
}
