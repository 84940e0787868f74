import type { Origin, OwnedOrigin } from '../../src/messages/topic.ts';

/** An origin as if a verified certificate had named it: only a test may make one so. */
export function owned(origin: Origin): OwnedOrigin {
  return origin as OwnedOrigin;
}
