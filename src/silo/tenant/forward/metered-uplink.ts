import type { Channel, OwnedOrigin } from '../../../messages/topic.ts';
import { messageOf, packetBytes } from '../../../uplink/mqtt-message.ts';
import type { UplinkOptions } from '../../../uplink/options.ts';
import type { Uplink } from '../../../uplink/uplink.ts';

/** The part of the uplink that sends, without its lifecycle. */
export type Sender = Pick<Uplink, 'publish' | 'ready' | 'tooLarge'>;

/** Calls `sent` with the bytes of each MQTT packet before it is sent, and with minus as many if it was not sent. */
export function metered(
  sender: Sender,
  { protocol }: UplinkOptions,
  origin: OwnedOrigin,
  sent: (bytes: number, channel: Channel) => void,
): Sender {
  return {
    publish: async (request, acknowledged) => {
      const bytes = packetBytes(messageOf(request, origin, protocol));
      sent(bytes, request.channel);
      const outcome = await sender.publish(request, acknowledged);
      if (outcome.kind === 'too-large' && outcome.wasSent !== true) sent(-bytes, request.channel);
      return outcome;
    },
    tooLarge: (request) => sender.tooLarge(request),
    get ready() {
      return sender.ready;
    },
  };
}

/** A sender that is not ready while `isOpen` returns false. */
export function gated(sender: Sender, isOpen: () => boolean): Sender {
  return {
    publish: (request, acknowledged) => sender.publish(request, acknowledged),
    tooLarge: (request) => sender.tooLarge(request),
    get ready() {
      return sender.ready && isOpen();
    },
  };
}
