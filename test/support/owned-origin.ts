import type { Origin, OwnedOrigin } from '../../src/messages/topic.ts';

/** An origin as if a verified certificate had named it: what only a test may say. */
export function owned(origin: Origin): OwnedOrigin {
  return origin as OwnedOrigin;
}
