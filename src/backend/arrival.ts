import type { UserProperties } from '../messages/decoding.ts';

/** A message as the broker brought it. */
export interface Arrival {
  topic: string;
  payload: Buffer;
  properties: UserProperties;
  /**
   * It is the broker that sends it again: it had no acknowledgement the first time [MQTT-3.3.1-1], or has it
   * retained [MQTT-3.3.1-8], and a broker that crashed may have an older one than it had before.
   */
  again: boolean;
}
