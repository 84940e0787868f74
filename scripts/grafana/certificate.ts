import type { Mapping } from './panel.ts';
import { ofSilo } from './selectors.ts';

// Limits as in config/prometheus-alerts.yaml: a share of the whole life, where that is less than 30 or 7 days.

const notAfter = `merestone_certificate_not_after_timestamp_seconds{${ofSilo}}`;
const lifetime = `(${notAfter} - merestone_certificate_not_before_timestamp_seconds{${ofSilo}})`;

/** Until it ends; by the clock of Prometheus, as the alert has it. */
export const secondsLeft = `(${notAfter} - time())`;
export const lifetimeLeft = `${secondsLeft} / ${lifetime}`;
/** 0, 1 where it should be renewed, 2 where it must be. */
export const renewal =
  `(${secondsLeft} < bool clamp_max(${lifetime} / 4, 2592000))` +
  ` + (${secondsLeft} < bool clamp_max(${lifetime} / 10, 604800))`;

export const renewalStates: Mapping = {
  0: { text: 'good', color: 'green' },
  1: { text: 'renew', color: 'orange' },
  2: { text: 'renew now', color: 'red' },
};
