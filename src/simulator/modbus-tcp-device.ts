import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { ModbusUnit } from './register-image.ts';

/** Transaction id, protocol id, length; the unit id that follows is counted by the length (Modbus TCP V1.0b §3.1.3). */
const mbapBytes = 6;
/** Unit id and the longest PDU. */
const lengthMax = 254;
/** "Gateway target device failed to respond": a TCP gateway's answer for a unit that it does not have (V1.1b3 §7). */
const gatewayTargetFailed = 0x0b;

export interface ModbusTcpDevice {
  port: number;
  /** Closes every connection and stops listening. */
  close(): Promise<void>;
}

/**
 * Serves units on 127.0.0.1, port 0 being any free one. Pipelined requests are answered in order, with one write for
 * all that came together.
 */
export async function startModbusTcpDevice(
  units: ReadonlyMap<number, ModbusUnit>,
  port = 0,
): Promise<ModbusTcpDevice> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', answerer(socket, units));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function answerer(socket: Socket, units: ReadonlyMap<number, ModbusUnit>): (chunk: Buffer) => void {
  let pending: Buffer = Buffer.alloc(0);
  return (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    const answers: Buffer[] = [];
    while (pending.length > mbapBytes) {
      const length = pending.readUInt16BE(4);
      if (pending.readUInt16BE(2) !== 0 || length < 2 || length > lengthMax) {
        socket.destroy();
        return;
      }
      if (pending.length < mbapBytes + length) break;
      const unitId = pending[mbapBytes]!;
      const request = pending.subarray(mbapBytes + 1, mbapBytes + length);
      const pdu = units.get(unitId)?.answer(request) ?? Buffer.of(request[0]! | 0x80, gatewayTargetFailed);
      answers.push(frame(pending, unitId, pdu));
      pending = pending.subarray(mbapBytes + length);
    }
    if (answers.length > 0) socket.write(Buffer.concat(answers));
  };
}

function frame(request: Buffer, unitId: number, pdu: Buffer): Buffer {
  const adu = Buffer.allocUnsafe(mbapBytes + 1 + pdu.length);
  request.copy(adu, 0, 0, 4);
  adu.writeUInt16BE(pdu.length + 1, 4);
  adu[mbapBytes] = unitId;
  pdu.copy(adu, mbapBytes + 1);
  return adu;
}
