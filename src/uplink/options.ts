export interface UplinkOptions {
  /** `mqtts://host:port`; several are tried in turn, each at every address of its name. */
  url: string | readonly string[];
  /** Path of the CA certificates (PEM) that the broker's certificate must chain to. */
  ca: string;
  /** The application protocol asked for in the TLS handshake (RFC 7301); undefined: none. */
  alpn?: string;
  protocol: '5' | '3.1.1';
  encoding: 'json';
  compression: 'none' | 'zstd';
  /** What PUBACK 0x10 ("no matching subscribers") does: keep the batch, or count it as delivered. */
  noSubscribers: 'keep' | 'accept';
  /** Whether new batches overtake the backlog after an outage. */
  order: 'live-first' | 'fifo';
  /** Publishes in flight at most; the broker's receive maximum lowers it. */
  inflightMax: number;
  /** Bytes a second that the backlog may use; undefined: no limit. */
  backlogBytesPerSecond?: number;
  keepaliveSeconds: number;
}
