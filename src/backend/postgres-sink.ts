import { readFileSync } from 'node:fs';
import { Client, type ClientConfig } from 'pg';
import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import type { Notice } from './notice.ts';
import { checkIsolation } from './postgres-isolation.ts';
import { checkedUrl } from './postgres-url.ts';
import { storable } from './row-digest.ts';
import type { Row } from './row.ts';
import type { RowSink } from './row-sink.ts';

const schemaFile = new URL('../../config/postgres.sql', import.meta.url);

/** A server that does not answer a connection within this is not there. */
const connectTimeoutMs = 10_000;

/** A write that takes longer is told, and one that takes too long is tried over another connection. */
const databaseLimits = { silenceMs: 5000, answerMs: 30_000 };
const retry = { initialMs: 500, maxMs: 15_000, jitter: 0.5 };
const closeMs = 2000;

const columns: Record<string, [type: string, of: (row: Row, place: number) => unknown]> = {
  tenant: ['text', ({ tenant }) => tenant],
  gateway: ['text', ({ gateway }) => gateway],
  // A second chain of an epoch is apart from the first, whose numbers it has.
  epoch: ['text', ({ epoch, fork }) => (fork === undefined ? epoch : `${epoch}~${fork}`)],
  seq: ['bigint', ({ seq }) => seq],
  place: ['integer', (_row, place) => place],
  device: ['text', ({ device }) => storable(device)],
  point: ['text', ({ point }) => storable(point)],
  time: ['timestamptz', ({ time }) => time],
  value: ['double precision', ({ value }) => (typeof value === 'number' ? value : null)],
  value_text: ['text', ({ value }) => (typeof value === 'string' ? storable(value) : null)],
  value_flag: ['boolean', ({ value }) => (typeof value === 'boolean' ? value : null)],
  unit: ['text', ({ unit }) => (unit === null ? null : storable(unit))],
  quality: ['text', ({ quality }) => quality],
  estimated: ['boolean', ({ clock }) => clock === 'estimated'],
};

const arrays = Object.values(columns).map(([type], index) => `$${index + 1}::${type}[]`);
const insert = `
  INSERT INTO merestone.reading (${Object.keys(columns).join(', ')})
  SELECT * FROM unnest(${arrays.join(', ')})
  ON CONFLICT DO NOTHING`;

/**
 * Rows into the table of config/postgres.sql, one transaction a batch. A batch that comes again changes
 * nothing, so that a crash neither loses nor doubles. The table is made where it is missing; one that does
 * not hold tenants apart is refused. Throws Usage, DatabaseRefused.
 */
export async function openPostgresSink(
  url: string,
  notify: (notice: Notice) => void = () => {},
  limits = databaseLimits,
): Promise<RowSink> {
  const config = {
    connectionString: checkedUrl(url),
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    statement_timeout: limits.answerMs,
    query_timeout: limits.answerMs,
  };
  try {
    return new PostgresSink(config, await connected(config), notify, limits);
  } catch (cause) {
    if (cause instanceof MerestoneError) throw cause;
    throw new MerestoneError('DatabaseRefused', `PostgreSQL: ${(cause as Error).message}`, {
      hint: 'check --postgres, and that config/postgres.sql was run and its grants made',
      cause,
    });
  }
}

/** A write that fails for the server's sake is tried again, over a new connection, until it is in. */
class PostgresSink implements RowSink {
  readonly #config: ClientConfig;
  readonly #notify: (notice: Notice) => void;
  readonly #limits: typeof databaseLimits;
  readonly #over = new AbortController();
  #client: Client | undefined;
  /** Told once for each time that it is away. */
  #isAway = false;

  constructor(
    config: ClientConfig,
    client: Client,
    notify: (notice: Notice) => void,
    limits: typeof databaseLimits,
  ) {
    this.#config = config;
    this.#client = client;
    this.#notify = notify;
    this.#limits = limits;
  }

  get isAway(): boolean {
    return this.#isAway;
  }

  async write(rows: readonly Row[]): Promise<void> {
    const values = Object.values(columns).map(([, of]) => rows.map(of));
    for (let failures = 1; !this.#over.signal.aborted; failures++) {
      try {
        this.#client ??= await connected(this.#config);
        await this.#insert(this.#client, values);
        return this.#back();
      } catch (cause) {
        if (this.#over.signal.aborted) break;
        this.#leave();
        if (isOfRows(cause)) throw notTaken(cause);
        if (cause instanceof MerestoneError) throw cause;
        if (isLasting(cause)) throw notWritten(cause);
        this.#away((cause as Error).message);
        await sleep(systemClock, backoffMs(failures, retry, Math.random()), this.#over.signal);
      }
    }
    // It ends: what was not written is never acknowledged, and the broker sends it again.
    return new Promise(() => {});
  }

  mark(): undefined {
    return undefined;
  }

  async close(): Promise<void> {
    this.#over.abort();
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined) return;
    const waiting = new AbortController();
    const ended = this.#isAway ? undefined : client.end().catch(() => {});
    await Promise.race([ended, sleep(systemClock, closeMs, waiting.signal)]);
    waiting.abort();
    hangUp(client);
  }

  async #insert(client: Client, values: unknown[][]): Promise<void> {
    const cancel = systemClock.after(this.#limits.silenceMs, () => this.#away('it does not answer'));
    try {
      await client.query(insert, values);
    } finally {
      cancel();
    }
  }

  #leave(): void {
    if (this.#client !== undefined) hangUp(this.#client);
    this.#client = undefined;
  }

  #away(reason: string): void {
    if (this.#isAway) return;
    this.#isAway = true;
    const message = `PostgreSQL takes no rows (${reason}): messages are held back, not acknowledged; trying again`;
    this.#notify({ severity: 'warning', kind: 'database-away', message });
  }

  #back(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#notify({ severity: 'info', kind: 'database-back', message: 'PostgreSQL takes rows again' });
  }
}

/** A connection to a table that holds tenants apart. Throws what connecting throws, and DatabaseRefused. */
async function connected(config: ClientConfig): Promise<Client> {
  const client = new Client(config);
  // What was lost is found by the next write.
  client.on('error', () => {});
  try {
    await client.connect();
    // Compiling the look at the catalogue takes forty times as long as the look.
    await client.query('SET jit = off');
    if (await checkIsolation(client)) return client;
    await client.query(readFileSync(schemaFile, 'utf8'));
    await checkIsolation(client);
    return client;
  } catch (error) {
    hangUp(client);
    throw error;
  }
}

/** Without a word to a server that may not read it. */
function hangUp(client: Client): void {
  client.connection.stream.destroy();
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code);
}

/**
 * These rows, and no others, will never be taken: a value that PostgreSQL has no room for, a constraint, a partition
 * that is not there, a trigger's word (Appendix A), or a restrictive policy, which has the code of a missing right.
 */
function isOfRows(error: unknown): boolean {
  const { routine } = error as { routine?: unknown };
  return (
    /^(22|23|44|54|P0)...$/.test(codeOf(error)) ||
    (codeOf(error) === '42501' && routine === 'ExecWithCheckOptions')
  );
}

/** Their batch is refused, kept, and counts as one that did not come. */
function notTaken(cause: unknown): MerestoneError {
  return new MerestoneError('Internal', `PostgreSQL does not take its rows: ${(cause as Error).message}`, {
    hint: 'mend what stands against them, then run consume --replay',
    cause,
  });
}

/** What trying again does not mend: no such table or column, no right, no such user or database (Appendix A). */
function isLasting(error: unknown): boolean {
  return /^(42|28|3D)...$/.test(codeOf(error));
}

function notWritten(cause: unknown): MerestoneError {
  return new MerestoneError('Io', `rows cannot be written: ${(cause as Error).message}`, {
    hint: 'nothing is lost: what was not written is not acknowledged, and the broker sends it again',
    cause,
  });
}
