import type { Clock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import { silentLogger } from '../../base/logger.ts';
import type { ModbusBusOptions } from '../options.ts';
import { modbusChannel } from './transport/modbus-channel.ts';
import { timingOf } from './planning/request-cost.ts';
import { createPort, offlineReason, type OpenChannel, type Port } from '../port/port.ts';
import type { ModbusClient, StrayListener } from './modbus-client.ts';
import { createRtuClient, type RtuDependencies } from './rtu-client.ts';
import { createTcpClient } from './tcp-client.ts';

/** A bus opened for a few questions from a terminal, without the daemon's polling. */
export interface OpenBus extends AsyncDisposable {
  client: ModbusClient;
}

export interface OpenBusDependencies {
  clock: Clock;
  onStray?: StrayListener;
  openChannel?: (bus: ModbusBusOptions) => OpenChannel;
}

/** Opens the line or connection once. Throws PortUnavailable or PortHeld with the reason where it can't. */
export async function openBus(
  bus: ModbusBusOptions,
  { clock, onStray = () => {}, openChannel = modbusChannel }: OpenBusDependencies,
): Promise<OpenBus> {
  const port = createPort(openChannel(bus), {
    clock,
    logger: silentLogger,
    connectDelayMs: bus.connectDelayMs ?? 0,
    isConnection: 'connectTimeoutMs' in bus,
  });
  await new Promise<void>((resolve) => {
    if (port.state.kind !== 'opening') return resolve();
    const cancel = port.onState(() => {
      cancel();
      resolve();
    });
  });
  if (port.state.kind !== 'open') {
    const reason = offlineReason(port.state);
    await port.close();
    throw new MerestoneError('PortUnavailable', reason, { subject: bus.name, retryable: true });
  }
  return {
    client: createClient(bus, port, { clock, onStray }),
    [Symbol.asyncDispose]: () => port.close(),
  };
}

/** The client for a bus of this kind. */
export function createClient(bus: ModbusBusOptions, port: Port, dependencies: RtuDependencies): ModbusClient {
  return bus.kind === 'modbus-tcp'
    ? createTcpClient(port, bus.pipeline, dependencies, bus)
    : createRtuClient(port, timingOf(bus), dependencies);
}
