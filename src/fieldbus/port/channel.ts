import type { BusOptions } from '../options.ts';
import type { OpenChannel } from './port.ts';
import { serialChannel } from './serial-channel.ts';
import { socketChannel } from './socket-channel.ts';

/** The real line or connection of a bus, by whether its options name a host. */
export function channelOf(bus: BusOptions): OpenChannel {
  return 'host' in bus ? socketChannel(bus) : serialChannel(bus);
}
