import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Authority, IssuedCertificate } from '../../src/simulator/certificate-authority.ts';

/** One MQTT packet as it was received. */
export interface RawPacket {
  /** MQTT control packet type, 1 to 15 [MQTT5 2.1.2]. */
  type: number;
  /** The lower half of the first byte; of a PUBLISH: DUP, QoS and RETAIN. */
  flags: number;
  /** Without the fixed header. */
  body: Buffer;
}

export const packetType = { connect: 1, publish: 3, subscribe: 8 } as const;

/** The client's end, as the script sees it. */
export interface Peer {
  send(bytes: Uint8Array | readonly number[]): void;
  hangUp(): void;
}

/** What the broker does with each packet. */
export type Script = (packet: RawPacket, peer: Peer) => void;

/** A TLS server that answers MQTT packets as a test wants it: for brokers that can't be installed here. */
export class ScriptedBroker implements AsyncDisposable {
  script: Script;
  /** Asked for each TCP connection; a refused one is closed before there is any TLS. */
  accept: () => boolean = () => true;
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();

  private constructor(identity: IssuedCertificate, clientCa: string, script: Script) {
    this.script = script;
    const { certificatePem: cert, privateKeyPem: key } = identity;
    const clients = { ca: clientCa, requestCert: true, rejectUnauthorized: true };
    this.#server = createServer({ cert, key, ...clients }, (socket) => this.#serve(socket));
    this.#server.prependListener('connection', (socket) => {
      if (!this.accept()) socket.destroy();
    });
  }

  /** As `cluster.example` too, for a test that has a resolver of its own. */
  static async start(
    authority: Authority,
    script: Script,
    { port = 0, address = '127.0.0.1' } = {},
  ): Promise<ScriptedBroker> {
    const names = { dnsNames: ['localhost', 'cluster.example'], ipAddresses: ['127.0.0.1', address] };
    const identity = await authority.issue({ commonName: 'broker', server: names });
    const broker = new ScriptedBroker(identity, authority.certificatePem, script);
    broker.#server.listen(port, address);
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
    const peer: Peer = {
      send: (bytes) => void socket.write(Uint8Array.from(bytes)),
      hangUp: () => void socket.destroy(),
    };
    let rest: Buffer = Buffer.alloc(0);
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (let next = cutPacket(rest); next !== undefined && !socket.destroyed; next = cutPacket(rest)) {
        rest = next.rest;
        this.script(next.packet, peer);
      }
    });
  }
}

/** The parts of a PUBLISH at QoS 1; with MQTT 5, `rest` has the properties before the payload. */
export function parsePublish({ body }: RawPacket): {
  topic: string;
  packetId: [number, number];
  rest: string;
} {
  const at = 2 + body.readUInt16BE(0);
  return {
    topic: body.toString('utf8', 2, at),
    packetId: [body[at]!, body[at + 1]!],
    rest: body.toString('utf8', at + 2),
  };
}

function cutPacket(bytes: Buffer): { packet: RawPacket; rest: Buffer } | undefined {
  let length = 0;
  for (let index = 1; index < Math.min(bytes.length, 5); index += 1) {
    length += (bytes[index]! & 0x7f) * 128 ** (index - 1);
    if (bytes[index]! >= 0x80) continue;
    const end = index + 1 + length;
    if (bytes.length < end) return undefined;
    return {
      packet: { type: bytes[0]! >> 4, flags: bytes[0]! & 0x0f, body: bytes.subarray(index + 1, end) },
      rest: bytes.subarray(end),
    };
  }
  return undefined;
}
