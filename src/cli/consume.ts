import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Consumer, type ConsumerCounts } from '../backend/consumer.ts';
import { formatNotice, noticeDocument, type Notice } from '../backend/notice.ts';
import { openFileSink, standardOutputSink, type RowSink } from '../backend/row-sink.ts';
import { formatRanges } from '../backend/seq-set.ts';
import { StateStore } from '../backend/state-store.ts';
import { Subscriber } from '../backend/subscriber.ts';
import { systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { parseDuration } from '../base/quantity.ts';
import { isSegment } from '../stream/segment.ts';
import { loadCheckpointTrust } from './checkpoint-trust.ts';
import type { Command } from './command.ts';

interface ConsumeArguments {
  url: string;
  ca: string;
  certificate: string;
  'private-key': string;
  tenant: string[];
  trust: string[];
  output: string;
  state: string | undefined;
  seconds: number | undefined;
  count: number | undefined;
  protocol: '5' | '3.1.1';
  'client-id': string | undefined;
  'session-expiry': string;
  'gap-after': string;
}

const consume: Command<ConsumeArguments> = {
  command: 'consume',
  describe: 'the reference backend: check the stream, drop duplicates, name gaps, write rows as NDJSON',
  builder: (yargs) =>
    yargs
      .parserConfiguration({ 'duplicate-arguments-array': true })
      .options({
        url: needed('mqtts://HOST:PORT of the broker'),
        ca: needed('CA of the broker (PEM)'),
        certificate: needed("the backend's certificate"),
        'private-key': needed('its private key'),
        tenant: many('only this tenant; may be repeated'),
        trust: many('CA of the gateways, to verify checkpoints: FILE, or TENANT=FILE; may be repeated'),
        output: { ...text('append rows to this file; - prints them'), default: '-' },
        state: text('remember here what was written, over restarts'),
        seconds: { type: 'number', requiresArg: true, describe: 'stop after so many seconds' },
        count: { type: 'number', requiresArg: true, describe: 'stop after the batch with the N-th row' },
        protocol: {
          type: 'string',
          choices: ['5', '3.1.1'] as const,
          default: '5' as const,
          describe: 'MQTT version',
        },
        'client-id': text('a fixed client id: the broker keeps for us what comes while we are away'),
        'session-expiry': { ...text('… for so long'), default: '1d' },
        'gap-after': { ...text('name a gap that lasts so long'), default: '30s' },
      })
      .example(
        '$0 consume --url mqtts://broker:8883 --ca ca.crt --certificate backend.crt --private-key backend.key',
        'rows of every tenant on standard output',
      ),
  handler: run,
};

export default consume;

function text(describe: string) {
  const last = (value: string | string[]): string => (Array.isArray(value) ? value.at(-1)! : value);
  return { type: 'string', requiresArg: true, coerce: last, describe } as const;
}

function needed(describe: string) {
  return { ...text(describe), demandOption: true } as const;
}

function many(describe: string) {
  return { type: 'string', array: true, requiresArg: true, default: [] as string[], describe } as const;
}

async function run(args: ConsumeArguments & { json: boolean }): Promise<void> {
  const limits = checkedLimits(args);
  const notify = (notice: Notice): void => {
    const line = args.json ? JSON.stringify(noticeDocument(notice)) : `merestone: ${formatNotice(notice)}`;
    process.stderr.write(`${line}\n`);
  };
  const access = {
    url: args.url,
    ca: readInput(args.ca, 'CA certificate'),
    certificate: readInput(args.certificate, 'certificate'),
    privateKey: readInput(args['private-key'], 'private key'),
  };
  const vouchFor = args.trust.length === 0 ? undefined : loadCheckpointTrust(args.trust);
  const store = new StateStore(args.state ?? ':memory:');
  const sink = await openSink(args.output, store, notify);
  const consumer = new Consumer({
    clock: systemClock,
    store,
    sink,
    vouchFor,
    gapGraceMs: limits.gapGraceMs,
    notify,
  });

  const over = new AbortController();
  let online = false;
  let failure: unknown;
  const stop = (): void => over.abort();
  const fail = (error: unknown): void => {
    failure ??= error;
    stop();
  };
  const subscriber = new Subscriber(
    {
      ...access,
      protocol: args.protocol,
      tenants: args.tenant,
      ...(args['client-id'] !== undefined && { clientId: args['client-id'] }),
      sessionExpirySeconds: limits.sessionExpirySeconds,
    },
    {
      take: async (arrival) => {
        await consumer.take(arrival);
        if (consumer.counts.rows >= limits.rowsMax) stop();
      },
      onOnline: () => {
        online = true;
        notify({ severity: 'info', kind: 'connected', message: `listening at ${args.url}` });
      },
      onWaiting: (reason) =>
        notify({ severity: 'warning', kind: 'waiting', message: `${reason}; trying again` }),
      onFailed: fail,
    },
  );
  const timer = setInterval(() => consumer.tick(), 1000);
  const deadline = limits.ms === undefined ? undefined : setTimeout(stop, limits.ms);
  process.once('SIGINT', stop).once('SIGTERM', stop);
  if (!over.signal.aborted) await once(over.signal, 'abort');
  clearInterval(timer);
  clearTimeout(deadline);
  await subscriber.close();
  consumer.tick();
  notify(summary(consumer.counts, store));
  await sink.close();
  store.close();
  if (failure !== undefined) throw failure;
  if (!online) {
    throw new MerestoneError('BrokerRefused', `no connection to ${args.url} was made`, {
      hint: 'see the reasons above, and whether the broker runs',
    });
  }
}

function checkedLimits(args: ConsumeArguments) {
  const positive = (name: 'seconds' | 'count'): number | undefined => {
    const value = args[name];
    if (value === undefined || value > 0) return value;
    throw new MerestoneError('Usage', `--${name} must be a number above 0`);
  };
  if (!args.url.startsWith('mqtts://') || !URL.canParse(args.url)) {
    throw new MerestoneError('Usage', `--url '${args.url}' is no mqtts:// address`, {
      hint: 'write mqtts://HOST:8883: tenants’ data goes over mutual TLS only',
    });
  }
  const stranger = args.tenant.find((tenant) => !isSegment(tenant));
  if (stranger !== undefined) throw new MerestoneError('Usage', `'${stranger}' is no tenant`);
  const seconds = positive('seconds');
  return {
    ms: seconds === undefined ? undefined : seconds * 1000,
    rowsMax: positive('count') ?? Infinity,
    gapGraceMs: duration(args['gap-after'], 'gap-after'),
    // Four bytes on the wire, of which the highest value means for ever (MQTT 5 §3.1.2.11.2).
    sessionExpirySeconds: Math.min(
      Math.ceil(duration(args['session-expiry'], 'session-expiry') / 1000),
      0xffff_ffff,
    ),
  };
}

function duration(text: string, option: string): number {
  try {
    return parseDuration(text);
  } catch (cause) {
    throw new MerestoneError('Usage', `--${option}: ${(cause as Error).message}`, {
      hint: 'write 30s, 5m or 1d',
      cause,
    });
  }
}

function readInput(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new MerestoneError(missing ? 'FileNotFound' : 'FileUnreadable', `the ${what} cannot be read`, {
      subject: path,
      hint: missing ? 'correct the path' : 'let this user read it',
      cause,
    });
  }
}

async function openSink(
  output: string,
  store: StateStore,
  notify: (notice: Notice) => void,
): Promise<RowSink> {
  if (output === '-') return standardOutputSink();
  const path = resolve(output);
  const sink = await openFileSink(path, store);
  const { cutBytes, lostBytes } = sink;
  if (cutBytes > 0) {
    const message = `${cutBytes} bytes of ${path} belonged to a batch that comes again, and were cut off`;
    notify({ severity: 'info', kind: 'output-cut', message, details: { bytes: cutBytes } });
  }
  if (lostBytes > 0) {
    const message = `${path} is ${lostBytes} bytes shorter than it was: those rows are lost`;
    notify({ severity: 'warning', kind: 'output-short', message, details: { bytes: lostBytes } });
  }
  return sink;
}

function summary(counts: ConsumerCounts, store: StateStore): Notice {
  const streams = [...store.heldStreams()].map(([key, ledger]) => ({
    ...key,
    received: ledger.received.size,
    verified: ledger.verified.runs,
    missing: ledger.gaps(),
  }));
  const open = streams.filter(({ missing }) => missing.length > 0);
  const gaps = open.map(({ tenant, gateway, missing }) => `${tenant}/${gateway} ${formatRanges(missing)}`);
  const message =
    `${counts.rows} rows of ${counts.batches} batches, ${counts.duplicates} duplicates dropped, ` +
    `${counts.refused} messages refused, ${counts.security} security findings; ` +
    (gaps.length === 0 ? 'nothing is missing' : `missing: ${gaps.slice(0, 10).join('; ')}`) +
    // Some brokers grant a subscription and then deliver nothing of it.
    (counts.messages === 0
      ? '; nothing came at all: no gateway is online, or the broker keeps it from us'
      : '');
  return { severity: 'info', kind: 'summary', message, details: { ...counts, streams } };
}
