import type { ParkedLimits } from '../backend/parked-messages.ts';
import { once } from 'node:events';
import { Consumer } from '../backend/consumer.ts';
import { Deliveries } from '../backend/deliveries.ts';
import { formatNotice, noticeDocument, type Notice } from '../backend/notice.ts';
import { StateStore } from '../backend/state-store.ts';
import { Subscriber } from '../backend/subscriber.ts';
import { systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { plainJson } from '../base/plain-text.ts';
import type { Command } from './command.ts';
import {
  type ConsumeArguments,
  consumeOptions,
  limitsOf,
  subscriberOptionsOf,
} from './consume/consume-options.ts';
import { openEvidence } from './consume/evidence-place.ts';
import { openOutlet } from './consume/outlet.ts';
import { summaryOf } from './consume/summary.ts';
import { loadGatewayTrust } from './gateway-trust.ts';

const consume: Command<ConsumeArguments> = {
  command: 'consume',
  describe: 'the reference backend: check the stream, drop duplicates, name gaps, write rows as NDJSON',
  builder: (yargs) =>
    yargs
      .parserConfiguration({ 'duplicate-arguments-array': true })
      .options(consumeOptions)
      .example(
        '$0 consume --url mqtts://broker:8883 --ca ca.crt --certificate backend.crt --private-key backend.key',
        'rows of every tenant on standard output',
      ),
  handler: run,
};

export default consume;

async function run(args: ConsumeArguments & { json: boolean }): Promise<void> {
  const limits = limitsOf(args);
  const options = subscriberOptionsOf(args);
  const notify = (notice: Notice): void => {
    const line = args.json ? plainJson(noticeDocument(notice)) : `merestone: ${formatNotice(notice)}`;
    process.stderr.write(`${line}\n`);
  };
  const vouchFor = args.trust.length === 0 ? undefined : loadGatewayTrust(args.trust);
  const evidence = openEvidence(args);
  const store = openStore(args, limits.parked, notify);
  const sink = await openOutlet(args, store, notify);
  const rules = { keepRefused: args.state !== undefined, gapGraceMs: limits.gapGraceMs };
  const consumer = new Consumer({ clock: systemClock, store, sink, vouchFor, evidence, ...rules, notify });

  const over = new AbortController();
  const stop = (): void => over.abort();
  let online = false;
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= error;
    stop();
  };
  const deliveries = new Deliveries({
    clock: systemClock,
    // A persistent session keeps unacknowledged messages for us, but not those set aside in our memory.
    parked: args.state === undefined && options.clientId !== undefined ? undefined : store.parked,
    take: async (arrival, breathe) => {
      const refused = await consumer.take(arrival, breathe);
      if (consumer.counts.rows >= limits.rowsMax) stop();
      return refused;
    },
    onOverrun: (origin, arrival) => consumer.takeOverrun(origin, arrival),
    isSinkAway: () => sink.isAway === true,
    onSlowed: (origin) => consumer.noteSlowed(origin),
    onFailed: fail,
    signal: over.signal,
  });
  const subscriber = new Subscriber(options, {
    onMessage: (arrival, acknowledge) => deliveries.offer(arrival, acknowledge),
    room: () => deliveries.room(),
    onOnline: (isResumed) => {
      online = true;
      noteOnline(args, isResumed, store, notify);
    },
    onWaiting: (message) => notify({ severity: 'warning', kind: 'waiting', message }),
    onShortSession: (message) => notify({ severity: 'warning', kind: 'session-expiry', message }),
    onFailed: fail,
  });
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      fail(error);
    }
  };
  const tick = (): void => {
    consumer.tick();
    consumer.lookForUnits();
  };
  const ticks = setInterval(() => attempt(tick), 1000);
  const deadline = limits.runMs === undefined ? undefined : setTimeout(stop, limits.runMs);
  process.once('SIGINT', stop).once('SIGTERM', stop);
  if (!over.signal.aborted) await once(over.signal, 'abort');

  clearInterval(ticks);
  clearTimeout(deadline);
  await subscriber.close(deliveries.ended);
  attempt(() => consumer.end());
  notify(summaryOf(consumer.counts, store));
  await sink.close();
  store.close();
  if (failure !== undefined) throw failure;
  // A resumed session delivers messages before we have subscribed again.
  if (!online && consumer.counts.messages === 0) {
    throw new MerestoneError('BrokerRefused', `no connection to ${args.url.join(' or ')} was made`, {
      hint: 'see the reasons above, and whether the broker runs',
    });
  }
}

function openStore(
  { state = ':memory:', replay: mayReplay }: ConsumeArguments,
  limits: ParkedLimits,
  notify: (notice: Notice) => void,
): StateStore {
  const store = new StateStore(state, limits);
  store.checkpointParked();
  if (store.damagedParked !== undefined) {
    const message = `messages that were set aside cannot be read any more; they are in ${store.damagedParked}`;
    notify({ severity: 'warning', kind: 'aside-damaged', message });
  }
  if (mayReplay) replay(store, notify);
  return store;
}

function noteOnline(
  { url, 'client-id': clientId }: ConsumeArguments,
  isResumed: boolean,
  store: StateStore,
  notify: (notice: Notice) => void,
): void {
  notify({ severity: 'info', kind: 'connected', message: `listening at ${url.join(' or ')}` });
  if (clientId === undefined) return;
  const hadSession = store.noteSession(`${clientId} at ${url.join(' ')}`);
  if (hadSession && !isResumed) notify(sessionLost(clientId));
}

/** A granted session no longer exists: the only sign that a broker does not keep sessions. */
function sessionLost(clientId: string): Notice {
  const message =
    `the broker has no session of '${clientId}' any more: what came while we were away, or was not taken yet, may be ` +
    `lost. It was restarted and does not keep sessions on disk, or we were away for longer than it keeps them: ` +
    `see Durability in docs/brokers.md`;
  return { severity: 'warning', kind: 'session-lost', message };
}

/** Tries again the messages that an earlier version could not read. */
function replay(store: StateStore, notify: (notice: Notice) => void): void {
  const messages = store.parked.release();
  const message = `${messages} messages that were refused are taken again`;
  notify({ severity: 'info', kind: 'replay', message, details: { messages } });
}
