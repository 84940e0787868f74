import type { ModbusBusOptions } from '../../options.ts';
import type { OpenChannel } from '../../port/port.ts';
import { serialChannel } from '../../port/serial-channel.ts';
import { socketChannel } from '../../port/socket-channel.ts';
import { asciiChannel } from './ascii-channel.ts';
import { udpChannel } from './udp-channel.ts';

/** The real line or connection of a Modbus bus. */
export function modbusChannel(bus: ModbusBusOptions): OpenChannel {
  switch (bus.kind) {
    case 'modbus-rtu':
      return serialChannel(bus);
    case 'modbus-tcp':
    case 'modbus-rtu-over-tcp':
      return socketChannel(bus);
    case 'modbus-ascii':
      return asciiChannel(bus);
    case 'modbus-udp':
      return udpChannel(bus);
  }
}
