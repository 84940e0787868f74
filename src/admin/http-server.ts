import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { Throttle } from '../base/throttle.ts';
import type { RateLimits } from '../base/token-bucket.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { GatewayStatus } from '../status/status.ts';
import { judge } from '../status/verdict/verdict.ts';
import { listenLocally } from '../base/unix-socket.ts';
import { isLoopback } from '../base/loopback.ts';
import { peerCredentials } from '../base/peer-credentials.ts';
import { ConnectionPool, type PooledConnection, type PoolLimits } from './connection-pool.ts';
import { metricsContentType, metricsOf } from './metrics.ts';

/*
 * The read-only outside of the gateway: status page, `/api/status`, health and Prometheus metrics. The daemon starts
 * it where `http.listen` is set; `control-server.ts` is its counterpart for commands.
 *
 * - It changes nothing: GET and HEAD only, no body, no cookie, no state.
 * - It sees plain status data; it imports no code of a tenant.
 * - Every answer comes from one status and one verdict (`judge`), so page, health and metrics agree.
 * - A slow or idle client cannot keep others out: `ConnectionPool`, timeouts, one request at a time.
 */

/** A TCP port, or the path of a Unix socket that only its owner and group may use. */
export type HttpAddress = { host: string; port: number } | { socket: string };

export interface HttpServer {
  /** The port; the system's choice if port 0 was configured, undefined on a Unix socket. */
  readonly port: number | undefined;
  close(): Promise<void>;
}

interface HttpDependencies {
  clock: Clock;
  logger: Logger;
}

interface Page {
  type: string;
  body: string;
  status?: number;
  contentSecurityPolicy?: string;
}

/** A browser needs 2 kB of headers. */
const headerBytesMax = 8192;
/** A client on the local network sends its whole request well within this. */
const requestTimeoutMs = 5000;
/** How often the server looks for connections past their timeout. */
const checkIntervalMs = 1000;
/** The largest answer has some hundred kB; a client that reads at all has read it by then. */
const answerTimeoutMs = 10_000;
/** What the system hands over in one turn: the backlog of listen(2) as Node has it. */
const acceptedAtOnceMax = 512;
/** A scraper, a few browsers with their parallel connections; each costs some 30 kB. */
const connectionLimits: PoolLimits = { restingMax: 64, allMax: 64 + acceptedAtOnceMax };
/** Log lines about connections that were ended for newer ones. */
const evictionLines: RateLimits = { perSecond: 1 / 60, burst: 1 };

/**
 * Listens and serves until `close`. Throws Io if it cannot listen, and DaemonRunning if another daemon answers on its
 * Unix socket.
 */
export async function startHttpServer(
  address: HttpAddress,
  status: () => GatewayStatus,
  { clock, logger }: HttpDependencies,
): Promise<HttpServer> {
  // A page of another site cannot reach a Unix socket.
  const guardsHost = 'host' in address && isLoopback(address.host);
  const pages = definePages(status, clock);
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '').split('?')[0]!;
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return send(request, response, plainPage(405, 'only GET and HEAD'), { allow: 'GET, HEAD' });
    }
    if (guardsHost && !isLocalHost(request.headers.host)) {
      return send(request, response, plainPage(403, 'this address is for this box only'));
    }
    send(request, response, page === undefined ? plainPage(404, 'nothing here') : await page());
  };
  const server = createServer(
    {
      maxHeaderSize: headerBytesMax,
      headersTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: requestTimeoutMs,
      connectionsCheckingInterval: checkIntervalMs,
    },
    (request, response) => {
      if (!boundAnswer(request, response, clock)) return;
      answer(request, response).catch((error: unknown) => {
        logger.error('http answer failed', { path: request.url ?? '', reason: describeError(error) });
        response.destroy();
      });
    },
  );
  boundConnections(server, { clock, logger });
  if ('socket' in address) await listenLocally(server, address.socket, 'http.listen');
  else await listenAtPort(server, address);
  return {
    port: 'socket' in address ? undefined : (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Connections that send no request, send slowly or do not read cannot keep other clients out. */
function boundConnections(server: Server, { clock, logger }: HttpDependencies): void {
  const pool = new ConnectionPool<PooledConnection>(connectionLimits, clock);
  const lines = new Throttle(evictionLines, clock.monotonicMs());
  const connections = new WeakMap<Socket, PooledConnection>();
  server.on('connection', (socket: Socket) => {
    const connection: PooledConnection = {
      peer: peerOf(socket),
      evict: () => {
        socket.destroy();
        const { pass, suppressed } = lines.take(clock.monotonicMs());
        if (!pass) return;
        logger.warn('http connection ended for a newer one', { peer: connection.peer, before: suppressed });
      },
    };
    connections.set(socket, connection);
    socket.once('close', () => pool.remove(connection));
    if (!pool.add(connection)) socket.destroy();
  });
  server.on('request', ({ socket }: IncomingMessage) => {
    const connection = connections.get(socket);
    if (connection !== undefined) pool.asked(connection);
  });
}

/** A network address, or a local user as the kernel reports it. */
function peerOf(socket: Socket): string {
  if (socket.remoteAddress !== undefined) return socket.remoteAddress;
  try {
    return `uid ${peerCredentials(socket).uid}`;
  } catch {
    return 'unknown'; // gone already
  }
}

/** The answer that each connection waits for. */
const answering = new WeakMap<Socket, ServerResponse>();

/**
 * Ends the connection if the answer is not read in time, and after the answer to a request with a body. A second
 * request before the first one's answer also ends it: no known client sends one, and a thousand at once would keep
 * all others waiting. Returns false for such a request, which gets no answer.
 */
function boundAnswer({ headers, socket }: IncomingMessage, response: ServerResponse, clock: Clock): boolean {
  const before = answering.get(socket);
  if (before !== undefined) {
    before.once('close', () => socket.destroySoon());
    return false;
  }
  answering.set(socket, response);
  const cancel = clock.after(answerTimeoutMs, () => socket.destroy());
  response.once('close', () => {
    cancel();
    answering.delete(socket);
  });
  if ('transfer-encoding' in headers || 'content-length' in headers) response.shouldKeepAlive = false;
  return true;
}

function listenAtPort(server: Server, address: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenFault(address, error)));
    server.listen(address.port, address.host, () => {
      // accept(2) fails while there are no descriptors left; the client then tries again.
      server.on('error', () => {});
      resolve();
    });
  });
}

function definePages(status: () => GatewayStatus, clock: Clock): Record<string, () => Promise<Page>> {
  const html = readFileSync(new URL('./status-page.html', import.meta.url), 'utf8');
  const contentSecurityPolicy = policyFor(html);
  return {
    '/': async () => ({ type: 'text/html; charset=utf-8', body: html, contentSecurityPolicy }),
    '/livez': async () => jsonPage(200, { alive: true }),
    '/api/status': async () => jsonPage(200, status()),
    '/healthz': async () => {
      const { verdict, reasons } = judge(status());
      const healthy = verdict !== 'failing';
      return jsonPage(healthy ? 200 : 503, { verdict, healthy, reasons });
    },
    '/metrics': async () => ({ type: metricsContentType, body: await metricsOf(status(), clock.wallMs()) }),
  };
}

/** The page's own script and style by their hashes, its own address for data, and nothing else. */
function policyFor(html: string): string {
  const hashes = (tag: string): string =>
    [...html.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, 'g'))]
      .map(([, text]) => `'sha256-${createHash('sha256').update(text!).digest('base64')}'`)
      .join(' ');
  return [
    "default-src 'none'",
    `script-src ${hashes('script')}`,
    `style-src ${hashes('style')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { type, body, status = 200, contentSecurityPolicy = "default-src 'none'" }: Page,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'content-security-policy': contentSecurityPolicy,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function jsonPage(status: number, document: unknown): Page {
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(document)}\n` };
}

function plainPage(status: number, text: string): Page {
  return { status, type: 'text/plain; charset=utf-8', body: `${text}\n` };
}

/**
 * A page of another site may have had its name resolved to 127.0.0.1 (DNS rebinding); it then reads what is
 * meant for this box alone. Its requests carry its own name as Host.
 */
function isLocalHost(header: string | undefined): boolean {
  const host = /^(\[[0-9a-f:]+\]|[^:]+)(?::\d+)?$/i.exec(header ?? '')?.[1];
  return host !== undefined && (host === '[::1]' || isLoopback(host.toLowerCase()));
}

const whyNot: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there',
  EADDRNOTAVAIL: 'this box has no such address',
  EACCES: 'this user may not listen on that port',
  ENOTFOUND: 'there is no such name',
};

function listenFault({ host, port }: { host: string; port: number }, cause: Error): MerestoneError {
  const { code = '' } = cause as NodeJS.ErrnoException;
  return new MerestoneError('Io', `http cannot listen: ${whyNot[code] ?? cause.message}`, {
    subject: `${host}:${port}`,
    hint: 'choose another http.listen',
    cause,
  });
}
