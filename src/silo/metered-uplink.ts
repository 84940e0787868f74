import type { Origin } from '../stream/topic.ts';
import { messageOf, packetBytes } from '../uplink/message.ts';
import type { UplinkOptions } from '../uplink/options.ts';
import type { Uplink } from '../uplink/uplink.ts';

/** What sends: the uplink without its life. */
export type Sender = Pick<Uplink, 'publish' | 'ready'>;

/** `sent` hears the bytes of each MQTT packet before it goes, less where it did not go after all. */
export function metered(
  sender: Sender,
  { protocol }: UplinkOptions,
  origin: Origin,
  sent: (bytes: number) => void,
): Sender {
  return {
    publish: async (request) => {
      const bytes = packetBytes(messageOf(request, origin, protocol));
      sent(bytes);
      const outcome = await sender.publish(request);
      if (outcome.kind === 'too-large') sent(-bytes);
      return outcome;
    },
    get ready() {
      return sender.ready;
    },
  };
}

/** Not ready while `isOpen` says no. */
export function gated(sender: Sender, isOpen: () => boolean): Sender {
  return {
    publish: (request) => sender.publish(request),
    get ready() {
      return sender.ready && isOpen();
    },
  };
}
