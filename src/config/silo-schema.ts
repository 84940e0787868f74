import { z } from 'zod';
import { parseBrokerUrl } from '../base/broker-url.ts';
import { duration, label, path, size } from './yaml/scalars.ts';

const identity = z
  .strictObject({
    certificate: path('device certificate, PEM, leaf first; it alone says which tenant this silo is'),
    privateKey: path('private key of the certificate, PEM'),
    trust: path('CA certificates, PEM, that the device certificate must chain to'),
  })
  .describe('who this silo is');

const url = z
  .string()
  .refine((text) => brokerFault(text) === undefined, { error: ({ input }) => brokerFault(String(input)) })
  .describe('the broker, mqtts://host:port; port 8883 where none is given');

function brokerFault(text: string): string | undefined {
  const address = parseBrokerUrl(text);
  return 'fault' in address ? address.fault : undefined;
}

const planned = new Set(['sparkplug-b', 'thingsboard']);

const checkpoint = z
  .strictObject({
    every: duration(
      '10s',
      '1d',
      'batches are under a signature at the latest this long after the last one; it is how late evidence can be',
    ).prefault('1h'),
    share: z
      .number()
      .min(0.001)
      .max(1)
      .default(0.1)
      .describe("sooner, but at most once a minute, while checkpoints take this share of the batches' bytes"),
  })
  .prefault({})
  .describe('how often the head of the chain is signed');

const uplink = z
  .strictObject({
    url: z
      .union([url, z.array(url).min(1).max(8)])
      .describe(
        'the broker, mqtts://host:port, or a list of them; every address of each name is tried in turn',
      ),
    ca: path("CA certificates, PEM, that the broker's certificate must chain to"),
    alpn: z
      .string()
      .regex(/^[!-~]{1,255}$/, {
        error: 'write the name of one application protocol, such as x-amzn-mqtt-ca',
      })
      .optional()
      .describe(
        'application protocol asked for in the TLS handshake; x-amzn-mqtt-ca for AWS IoT at port 443',
      ),
    protocol: z
      .union([z.literal(5), z.literal('5'), z.literal('3.1.1')], {
        error: ({ input }) => `${JSON.stringify(input)} is no MQTT version we speak; write 5 or 3.1.1`,
      })
      .default(5)
      .describe('MQTT version; 5 tells a refused batch from a delivered one, 3.1.1 proves it by a canary'),
    encoding: z
      .enum(['json'], {
        error: ({ input }) =>
          planned.has(String(input))
            ? `encoding '${String(input)}' is not built in this version; use json`
            : undefined,
      })
      .default('json')
      .describe('how a batch is written'),
    compression: z
      .enum(['none', 'zstd'])
      .default('none')
      .describe('zstd needs about a fifth of the bytes and a backend that knows it'),
    noSubscribers: z
      .enum(['keep', 'accept'])
      .default('keep')
      .describe(
        "what PUBACK 0x10 'no matching subscribers' does: keep the batch, or count it as delivered (for brokers whose rules consume without subscribing)",
      ),
    order: z
      .enum(['live-first', 'fifo'])
      .default('live-first')
      .describe('whether new batches overtake the backlog after an outage'),
    inflightMax: z
      .int()
      .min(1)
      .max(1000)
      .default(100)
      .describe('batches in flight at most; the broker may ask for fewer'),
    backlogBytesPerSecond: size(
      '1kB',
      '1GB',
      'what the backlog may use of the connection; as much as it can if absent',
    ).optional(),
    keepalive: duration('5s', '1h', 'how soon a dead connection is noticed').prefault('30s'),
    checkpoint,
  })
  .describe('where the batches go');

const batch = z
  .strictObject({
    linger: duration(
      '10ms',
      '1h',
      'a sample waits this long for company; also the most that a power cut can cost',
    ).prefault('1s'),
    samplesMax: z.int().min(1).max(10_000).default(500).describe('samples in a batch'),
    bytesMax: size('1kB', '8MB', "JSON bytes in a batch; under the broker's message limit").prefault('120kB'),
  })
  .prefault({})
  .describe('when a batch is closed');

const spool = z
  .strictObject({
    bytesMax: size('1MB', '1TB', 'the spool file and its log together stay under this').prefault('512MB'),
    whenFull: z
      .enum(['drop-oldest', 'drop-newest'])
      .default('drop-oldest')
      .describe('what gives way when the spool is full; an event says what went'),
    keyPeriod: duration('1h', '30d', 'a data key seals batches for this long').prefault('1d'),
    keyDir: path(
      "folder of the key-encryption key where no systemd credential holds it, apart from the spool's; keys/<silo> in the common stateDir where absent",
    ).optional(),
  })
  .prefault({})
  .describe('what is kept until the cloud has it');

function share(what: string) {
  return z.number().min(0.01).max(1).describe(`${what}, 0.01 to 1; unlimited where absent`);
}

const quota = z
  .strictObject({
    samplesPerSecond: z
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .describe('samples a second; unlimited where absent'),
    uplinkBytesPerDay: size('1kB', '1TB', 'bytes sent a day; unlimited where absent').optional(),
    busShare: share("of each bus's time, what this silo's devices may take").optional(),
    cpuShare: share("of one core, what this silo's isolate may take").optional(),
  })
  .prefault({})
  .describe('what this tenant may use');

export const siloSchema = z
  .strictObject({
    name: label('local label; never sent anywhere'),
    identity,
    uplink,
    batch,
    spool,
    quota,
    memoryMax: size(
      '32MB',
      '4GB',
      "heap and buffers of this silo's isolate; over it, this silo alone restarts",
    ).prefault('96MB'),
    isolation: z
      .enum(['thread', 'process'])
      .default('thread')
      .describe('a thread of the daemon, or a process of its own under a user of its own'),
    socket: path(
      'Unix socket where its own process listens; /run/merestone-silo/<name>/silo.sock where that exists, else the daemon starts the process itself',
    ).optional(),
    stateDir: path(
      'folder of its spool, keys and audit log; silos/<name> in the common stateDir where absent',
    ).optional(),
  })
  .describe('everything on this box that belongs to one tenant');

export type SiloConfig = z.output<typeof siloSchema>;
