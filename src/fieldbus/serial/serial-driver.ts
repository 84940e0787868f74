import { withoutPlace } from '../device-equality.ts';
import type { Driver } from '../driver.ts';
import type { SerialBusOptions, SerialDeviceOptions } from '../options.ts';
import { serialChannel } from '../port/serial-channel.ts';
import { createSerialBus } from './serial-bus.ts';
import { checkSensor } from './serial-reader.ts';

/** Sensors with a text or binary protocol of their own, declared in a profile or the configuration. */
export const serialDriver: Driver<SerialBusOptions, SerialDeviceOptions> = {
  busKinds: ['serial'],
  deviceKind: 'serial',
  openChannel: (bus) => serialChannel(bus),
  start: createSerialBus,
  check: checkSensor,
  points: ({ protocol }) => protocol.messages.flatMap(({ fields }) => fields),
  withoutPlaces: withoutPlace,
  load: () => 0,
};
