import type { Row } from '../../backend/row.ts';
import { sleep, systemClock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import { backend } from './cast.ts';
import { Child } from './child.ts';
import type { Scene } from './scene.ts';
import type { Stage } from './stage.ts';
import { join } from 'node:path';

/** A start of Node on a busy machine, a TLS handshake, two subscriptions. */
const readyWithinMs = 30_000;

/** What `merestone consume --json` writes to standard error, as far as it matters here. */
interface Notice {
  severity: string;
  kind: string;
  message: string;
  /** Of `duplicates`. */
  batches?: unknown;
  /** Of `gap` and `gap-closed`, both ends included. */
  from?: number;
  to?: number;
  /** Of `summary`. */
  duplicates?: number;
  streams?: { tenant: string; missing: [number, number][]; verified: [number, number][] }[];
}

/** The backend's side: `merestone consume`, whose rows and notices go into the scene. */
export class Audience {
  readonly child: Child;
  readonly #scene: Scene;
  /** Aborted by good news: it is connected. */
  readonly #heard = new AbortController();

  constructor(stage: Stage, scene: Scene) {
    this.#scene = scene;
    const { certificate, privateKey } = stage.pem(backend.gateway);
    const access = ['--ca', stage.ca, '--certificate', certificate, '--private-key', privateKey];
    const session = ['--protocol', '3.1.1', '--client-id', 'demo', '--trust', stage.ca, '--json'];
    this.child = new Child(
      ['consume', '--url', `mqtts://localhost:${stage.broker.port}`, ...access, ...session],
      {
        logFile: join(stage.directory, 'consume.log'),
        onLine: (line) => scene.takeRow(JSON.parse(line) as Row),
        onErrorLine: (line) => this.#hear(line),
      },
    );
  }

  /** Resolves when every row from now on will be received, or on abort. Throws Internal where it does not come to that. */
  async ready(signal: AbortSignal): Promise<void> {
    const patience = AbortSignal.any([signal, this.#heard.signal]);
    await Promise.race([sleep(systemClock, readyWithinMs, patience), this.child.exited]);
    if (patience.aborted) return;
    throw new MerestoneError('Internal', `the backend did not start: ${this.child.lastWords}`);
  }

  #hear(line: string): void {
    const notice = parseNotice(line);
    if (notice === undefined) return;
    if (notice.kind === 'connected') this.#heard.abort();
    if (notice.severity === 'security') this.#scene.alarms.push(notice.message);
    const width = (notice.to ?? 0) - (notice.from ?? 0) + 1;
    if (notice.kind === 'gap') this.#scene.gaps += width;
    if (notice.kind === 'gap-closed') this.#scene.gaps -= width;
    if (notice.kind === 'summary') this.#takeSummary(notice);
  }

  #takeSummary({ duplicates = 0, streams = [] }: Notice): void {
    this.#scene.duplicates = duplicates;
    this.#scene.gaps = sizeOf(streams.flatMap((stream) => stream.missing));
    for (const tenant of this.#scene.tenants) {
      const own = streams.filter((stream) => stream.tenant === tenant.tenant);
      tenant.verified = sizeOf(own.flatMap((stream) => stream.verified));
    }
  }
}

function sizeOf(ranges: readonly [number, number][]): number {
  return ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

/** Undefined for a line that is none: what Node itself says of a crash, for example. */
function parseNotice(line: string): Notice | undefined {
  try {
    return JSON.parse(line) as Notice;
  } catch {
    return undefined;
  }
}
