import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Authority, IssuedCertificate } from '../../src/simulator/certificates.ts';

/** One MQTT packet as it stood on the wire. */
export interface RawPacket {
  /** MQTT control packet type, 1 to 15 [MQTT5 2.1.2]. */
  type: number;
  /** Without the fixed header. */
  body: Buffer;
}

export const packetType = { connect: 1, publish: 3, pingreq: 12, disconnect: 14 } as const;

/** What the broker does with a packet: answer with bytes, hang up, or nothing at all. */
export type Script = (
  packet: RawPacket,
  session: number,
) => Uint8Array | readonly number[] | 'close' | undefined;

/** A TLS server that answers MQTT packets as a test wants it: for brokers that are not to be had here. */
export class ScriptedBroker implements AsyncDisposable {
  /** Connections so far. */
  sessions = 0;
  /** Packets of all sessions, in order of arrival. */
  readonly packets: RawPacket[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();
  readonly #keepPackets: boolean;
  script: Script;

  private constructor(identity: IssuedCertificate, clientCa: string, script: Script, keepPackets: boolean) {
    this.script = script;
    this.#keepPackets = keepPackets;
    this.#server = createServer(
      {
        cert: identity.certificatePem,
        key: identity.privateKeyPem,
        ca: clientCa,
        requestCert: true,
        rejectUnauthorized: true,
      },
      (socket) => this.#serve(socket),
    );
  }

  static async start(
    authority: Authority,
    script: Script,
    { keepPackets = true } = {},
  ): Promise<ScriptedBroker> {
    const names = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
    const identity = await authority.issue({ commonName: 'broker', server: names });
    const broker = new ScriptedBroker(identity, authority.certificatePem, script, keepPackets);
    broker.#server.listen(0, '127.0.0.1');
    await once(broker.#server, 'listening');
    return broker;
  }

  get url(): string {
    return `mqtts://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #serve(socket: TLSSocket): void {
    this.sessions += 1;
    const session = this.sessions;
    let rest: Buffer = Buffer.alloc(0);
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (let next = cutPacket(rest); next !== undefined && !socket.destroyed; next = cutPacket(rest)) {
        rest = next.rest;
        if (this.#keepPackets) this.packets.push(next.packet);
        const answer = this.script(next.packet, session);
        if (answer === 'close') socket.destroy();
        else if (answer !== undefined) socket.write(Uint8Array.from(answer));
      }
    });
  }
}

/** The packet id of a PUBLISH at QoS 1. */
export function packetIdOf({ body }: RawPacket): [number, number] {
  const at = 2 + body.readUInt16BE(0);
  return [body[at]!, body[at + 1]!];
}

export function topicOfPublish({ body }: RawPacket): string {
  return body.toString('utf8', 2, 2 + body.readUInt16BE(0));
}

function cutPacket(bytes: Buffer): { packet: RawPacket; rest: Buffer } | undefined {
  let length = 0;
  for (let index = 1; index < Math.min(bytes.length, 5); index += 1) {
    length += (bytes[index]! & 0x7f) * 128 ** (index - 1);
    if (bytes[index]! >= 0x80) continue;
    const end = index + 1 + length;
    if (bytes.length < end) return undefined;
    return {
      packet: { type: bytes[0]! >> 4, body: bytes.subarray(index + 1, end) },
      rest: bytes.subarray(end),
    };
  }
  return undefined;
}
