import type { Row } from '../backend/row.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { plain } from '../base/plain-text.ts';
import { backend } from './tenants.ts';
import { Child } from './child-process.ts';
import type { DemoModel } from './model.ts';
import type { Environment } from './environment.ts';
import { join } from 'node:path';

/** A start of Node on a busy machine, a TLS handshake, two subscriptions. */
const readyWithinMs = 60_000;

/** The summary lists this many of the backend's findings, the first ones. */
const alarmsMax = 10;

/** Both ends included. */
type SeqRange = [from: number, to: number];

/** What `merestone consume --json` writes to standard error, as far as it matters here. */
interface Notice {
  severity: string;
  kind: string;
  message: string;
  tenant?: string;
  /** Of `duplicates`. */
  batches?: SeqRange[];
  /** Of `gap` and `gap-closed`. */
  from?: number;
  to?: number;
  /** Of `summary`. */
  streams?: { tenant: string; received: number; missing: SeqRange[]; verified: SeqRange[] }[];
}

/** The backend's side: `merestone consume`, whose rows and notices go into the model. */
export class DemoBackend {
  readonly child: Child;
  readonly #model: DemoModel;
  /** Aborted once it is connected. */
  readonly #heard = new AbortController();

  constructor(environment: Environment, model: DemoModel) {
    this.#model = model;
    const { certificate, privateKey } = environment.pem(backend.gateway);
    const access = ['--ca', environment.ca, '--certificate', certificate, '--private-key', privateKey];
    const session = ['--protocol', '3.1.1', '--client-id', 'demo', '--trust', environment.ca, '--json'];
    this.child = new Child(
      ['consume', '--url', `mqtts://localhost:${environment.broker.port}`, ...access, ...session],
      {
        logFile: join(environment.directory, 'consume.log'),
        onLine: (line) => model.takeRow(JSON.parse(line) as Row),
        onErrorLine: (line) => this.#hear(line),
      },
    );
  }

  /** Resolves when every row from now on will be received, or on abort. Throws Internal if that never happens. */
  async ready(signal: AbortSignal): Promise<void> {
    const timeoutMs = AbortSignal.any([signal, this.#heard.signal]);
    await Promise.race([sleep(systemClock, readyWithinMs, timeoutMs), this.child.exited]);
    if (timeoutMs.aborted) return;
    throw new MerestoneError('Internal', `the backend did not start: ${this.child.lastOutput}`);
  }

  #hear(line: string): void {
    const notice = parseNotice(line);
    if (notice === undefined) return;
    const { kind, severity, message, from = 0, to = 0 } = notice;
    const { alarms, tenants } = this.#model;
    if (severity === 'security' && alarms.length < alarmsMax) alarms.push(plain(message));
    if (kind === 'connected') this.#heard.abort();
    for (const tenant of tenants.filter(({ tenant }) => tenant === notice.tenant)) {
      if (kind === 'gap') tenant.gaps += to - from + 1;
      if (kind === 'gap-closed') tenant.gaps -= to - from + 1;
      if (kind === 'duplicates') tenant.duplicates += sizeOf(notice.batches ?? []);
    }
    if (kind === 'summary') this.#takeSummary(notice);
  }

  #takeSummary({ streams = [] }: Notice): void {
    for (const tenant of this.#model.tenants) {
      const own = streams.filter((stream) => stream.tenant === tenant.tenant);
      tenant.batches = own.reduce((sum, stream) => sum + stream.received, 0);
      tenant.gaps = sizeOf(own.flatMap((stream) => stream.missing));
      tenant.verified = sizeOf(own.flatMap((stream) => stream.verified));
    }
  }
}

function sizeOf(ranges: readonly SeqRange[]): number {
  return ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

/** Undefined for any other line, such as Node's own report of a crash. */
function parseNotice(line: string): Notice | undefined {
  try {
    return JSON.parse(line) as Notice;
  } catch {
    return undefined;
  }
}
