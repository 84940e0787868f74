import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { Aedes, type Client } from 'aedes';
import { isSegment } from '../messages/segment.ts';
import type { Origin } from '../messages/topic.ts';

export interface BrokerOptions {
  /** PEM texts: the broker's own certificate and key, and the CA of its clients. */
  certificate: string;
  privateKey: string;
  clientCa: string;
  /** CN of the backend's certificate: it may read every tenant's topics, and write none. */
  backendCommonName: string;
}

/** A client tried to publish or subscribe outside of its own topics. */
export interface Refusal extends Origin {
  action: 'publish' | 'subscribe' | 'will';
  topic: string;
}

/**
 * An MQTT 3.1.1 broker behind mutual TLS. A certificate reads and writes only below its own
 * `t/{O}/{CN}/`. Its memory (sessions, retained messages, queues of absent subscribers) outlives `stop`, as that of a
 * broker with a disk would: a restart loses nothing that it acknowledged.
 */
export class Broker {
  readonly #aedes: Aedes;
  readonly #options: BrokerOptions;
  readonly #origins = new WeakMap<Client, Origin>();
  readonly #sockets = new Set<TLSSocket>();
  #server: Server | undefined;
  #port = 0;
  onRefused: (refusal: Refusal) => void = () => {};

  private constructor(options: BrokerOptions, aedes: Aedes) {
    this.#options = options;
    this.#aedes = aedes;
    // aedes answers a refused publish or will by closing the connection [MQTT-3.3.5-2].
    aedes.preConnect = (client, packet, done) => {
      const origin = originOf(client.conn as TLSSocket);
      if (origin === undefined) return done(new Error('certificate names no tenant and gateway'), false);
      this.#origins.set(client, origin);
      if (packet.will !== undefined && !this.#mayWrite(client, packet.will.topic, 'will')) {
        return done(new Error('will topic refused'), false);
      }
      // A guessed client id must not give access to the session of another certificate.
      if (packet.clientId !== '') packet.clientId = `${origin.tenant}/${origin.gateway}/${packet.clientId}`;
      done(null, true);
    };
    aedes.authorizePublish = (client, packet, done) => {
      const allowed = client === null || this.#mayWrite(client, packet.topic, 'publish');
      done(allowed ? null : new Error(`publish to ${packet.topic} refused`));
    };
    aedes.authorizeSubscribe = (client, subscription, done) => {
      done(null, this.#mayRead(client, subscription.topic) ? subscription : null);
    };
  }

  static async start(options: BrokerOptions): Promise<Broker> {
    const broker = new Broker(options, await Aedes.createBroker());
    await broker.listen();
    return broker;
  }

  get port(): number {
    return this.#port;
  }

  get listening(): boolean {
    return this.#server !== undefined;
  }

  /** Listens on 127.0.0.1, always at the port of the first time. */
  async listen(): Promise<void> {
    const { certificate, privateKey, clientCa } = this.#options;
    const tls = { cert: certificate, key: privateKey, ca: clientCa };
    const server = createServer({
      ...tls,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
    });
    server.on('connection', (socket: TLSSocket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    server.on('secureConnection', (socket) => this.#aedes.handle(socket));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Stops as in a crash: connections are cut without a DISCONNECT. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Stops finally. */
  async close(): Promise<void> {
    await this.stop();
    await new Promise<void>((resolve) => this.#aedes.close(resolve));
  }

  #mayWrite(client: Client, topic: string, action: 'publish' | 'will'): boolean {
    const origin = this.#origins.get(client);
    const allowed = origin !== undefined && topic.startsWith(rootOf(origin));
    return allowed || this.#refuse(origin, action, topic);
  }

  #mayRead(client: Client, topic: string): boolean {
    const origin = this.#origins.get(client);
    const allowed =
      origin !== undefined &&
      (origin.gateway === this.#options.backendCommonName || topic.startsWith(rootOf(origin)));
    return allowed || this.#refuse(origin, 'subscribe', topic);
  }

  #refuse(origin: Origin | undefined, action: Refusal['action'], topic: string): false {
    if (origin !== undefined) this.onRefused({ ...origin, action, topic });
    return false;
  }
}

function rootOf(origin: Origin): string {
  return `t/${origin.tenant}/${origin.gateway}/`;
}

/** O and CN of a peer certificate that TLS has verified; undefined where either is missing, doubled or no segment. */
function originOf(socket: TLSSocket): Origin | undefined {
  const subject: Record<string, string | string[] | undefined> = { ...socket.getPeerCertificate().subject };
  const { O: tenant, CN: gateway } = subject;
  if (typeof tenant !== 'string' || typeof gateway !== 'string') return undefined;
  return isSegment(tenant) && isSegment(gateway) ? { tenant, gateway } : undefined;
}
