import type { RemoteInfo, Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { MerestoneError } from '../../../base/error.ts';
import type { BusKinds } from '../../options.ts';
import type { OpenChannel } from '../../port/port.ts';
import { frameChannel, type FrameTransport } from './frame-channel.ts';

interface UdpPort extends FrameTransport {
  readonly _client: Socket;
  /** Of the next request. */
  readonly _transactionIdWrite: number;
}

const require = createRequire(import.meta.url);

/** Transaction ids that modbus-serial counts through. */
const transactionIds = 256;
const headerBytes = 6;
/** Unit id and the largest PDU (Modbus TCP V1.0b §3.1.3). */
const bodyBytesMax = 254;

/** Modbus over UDP: one datagram a request and an answer, with the header of Modbus TCP, sent by modbus-serial. */
export function udpChannel({ host, port }: BusKinds['modbus-udp']): OpenChannel {
  return async (events) => {
    const UdpPort = require('modbus-serial/ports/udpport.js') as new (
      address: string,
      options: { port: number },
    ) => UdpPort;
    const transport = new UdpPort(await addressOf(host), { port });
    const socket = transport._client;
    await once(socket, 'listening');
    socket.on('error', (error) => events.ended(`the socket is gone: ${error.message}`));
    // modbus-serial fills a cut datagram up with zeros and takes any transaction id: ours decides what it sees.
    const listeners = socket.listeners('message') as ((data: Buffer, from: RemoteInfo) => void)[];
    socket.removeAllListeners('message');
    socket.on('message', (data, from) => {
      const asked = (transport._transactionIdWrite + transactionIds - 1) % transactionIds;
      if (isWhole(data) && data.readUInt16BE(0) === asked) for (const take of listeners) take(data, from);
    });
    return frameChannel(transport, events, () => closed(socket));
  };
}

async function addressOf(host: string): Promise<string> {
  try {
    return (await lookup(host, { family: 4 })).address;
  } catch (error) {
    throw new MerestoneError('PortUnavailable', `cannot find ${host}: ${(error as Error).message}`, {
      hint: "check 'host' of the bus and the name server of this box; Modbus over UDP needs an IPv4 address",
      retryable: true,
      cause: error,
    });
  }
}

/** One frame, of the length that its header says. */
function isWhole(data: Buffer): boolean {
  const body = data.length - headerBytes;
  if (body < 2 || body > bodyBytesMax) return false;
  return data.readUInt16BE(2) === 0 && data.readUInt16BE(4) === body;
}

async function closed(socket: Socket): Promise<void> {
  socket.removeAllListeners('error').on('error', () => {});
  socket.close();
  await once(socket, 'close');
}
