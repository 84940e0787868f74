import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { SerialPort } from 'serialport';
import { openPtyPair } from '../../src/simulator/pty.ts';
import type { Site } from './site.ts';

/** A server on 127.0.0.1 whose connections a test scripts, until the site ends. Resolves with its port. */
export async function listenFor(site: Site, serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
    serve(socket);
  });
  await listening(server);
  site.cleanUp(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

export async function listening(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}

/** A request as it came, and what is written in answer. */
export interface ScriptedRequest {
  transactionId: number;
  unitId: number;
  /** Function code, address and count. */
  pdu: Buffer;
}

export type Reply = {
  transactionId?: number;
  unitId?: number;
  pdu: readonly number[];
  afterMs?: number;
} | null;

/** A Modbus TCP endpoint whose answers a test scripts, header included. Resolves with its port. */
export function serveModbusTcp(site: Site, answer: (request: ScriptedRequest) => Reply): Promise<number> {
  return listenFor(site, (socket) => {
    let pending: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 12) {
        const [transactionId, unitId] = [pending.readUInt16BE(0), pending[6]!];
        const reply = answer({ transactionId, unitId, pdu: pending.subarray(7, 12) });
        pending = pending.subarray(12);
        if (reply === null) continue;
        const { pdu, afterMs = 0 } = reply;
        const header = Buffer.alloc(7);
        header.writeUInt16BE(reply.transactionId ?? transactionId, 0);
        header.writeUInt16BE(pdu.length + 1, 4);
        header[6] = reply.unitId ?? unitId;
        setTimeout(() => socket.write(Buffer.of(...header, ...pdu)), afterMs).unref();
      }
    });
  });
}

/** The answer to a read: each register is 7. */
export function sevens(pdu: Buffer): number[] {
  const count = pdu.readUInt16BE(3);
  return [pdu[0]!, 2 * count, ...Array.from({ length: count }, () => [0, 7]).flat()];
}

export function refusal(pdu: Buffer, exceptionCode: number): number[] {
  return [pdu[0]! | 0x80, exceptionCode];
}

/** A serial cable whose far end a test plays, until the site ends. Resolves with the gateway's end. */
export async function playLine(
  site: Site,
  name: string,
  play: (write: (bytes: Uint8Array) => void, onRequest: (listener: (bytes: Buffer) => void) => void) => void,
): Promise<string> {
  const pair = await openPtyPair(site.folder, name);
  const port = new SerialPort({ path: pair.deviceEnd, baudRate: 9600, autoOpen: false });
  await new Promise<void>((resolve, reject) => {
    port.open((error) => (error === null ? resolve() : reject(error)));
  });
  port.on('error', () => {});
  site.cleanUp(async () => {
    await new Promise<void>((resolve) => (port.isOpen ? port.close(() => resolve()) : resolve()));
    await pair.close();
  });
  play(
    (bytes) => port.isOpen && port.write(bytes),
    (listener) => port.on('data', listener),
  );
  return pair.gatewayEnd;
}
