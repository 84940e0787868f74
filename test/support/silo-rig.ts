import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.ts';
import { loadSiloKeys } from '../../src/silo/tenant/silo-storage.ts';
import type { SiloStatus } from '../../src/status/status.ts';
import { type AuditEntry, decodeEntry } from '../../src/audit/audit-entry.ts';
import { readAuditSeal } from '../../src/audit/audit-key.ts';
import { auditDirectory, listSegments } from '../../src/audit/audit-segment.ts';
import type { FromSilo } from '../../src/silo/protocol.ts';
import type { SiloOptions } from '../../src/silo/options.ts';
import { Silo } from '../../src/silo/tenant/silo.ts';
import { Spool } from '../../src/spool/spool.ts';
import type { StreamEvent } from '../../src/messages/event.ts';
import { FakeClock } from './fake-clock.ts';
import { nextNoon, siloStartMessage, type SiloChanges, siloSamples } from './silo-options.ts';
import { acme } from './spool.ts';
import { drain, type Drained } from './spool-damage.ts';

/** The box's clock state; by default noon and synchronized. */
export interface RigClock {
  wallMs?: number;
  synchronized?: boolean;
}

/** A silo in this process, with a real spool and audit log, no broker, and a clock that the test sets. */
export class SiloRig {
  readonly clock: FakeClock;
  readonly posted: FromSilo[] = [];
  readonly silo: Silo;
  readonly #directory: string;
  readonly #options: SiloOptions;

  /** `folder` holds the silo's certificates, and takes its state. */
  static async start(folder: string, changes: SiloChanges = {}, clock: RigClock = {}): Promise<SiloRig> {
    const rig = new SiloRig(folder, changes, clock);
    await rig.silo.start();
    return rig;
  }

  private constructor(
    folder: string,
    changes: SiloChanges,
    { wallMs = nextNoon(), synchronized = true }: RigClock,
  ) {
    this.clock = new FakeClock(wallMs);
    const startMessage = siloStartMessage(folder, changes);
    this.#options = startMessage.options;
    this.#directory = startMessage.options.spool.directory;
    const channel = {
      post: (message: FromSilo) => void this.posted.push(message),
      onMessage: () => {},
      close: () => {},
    };
    this.silo = new Silo(startMessage, channel, this.clock, {
      clock: this.clock,
      bootId: 'boot',
      synchronized: () => synchronized,
      setFromHardware: synchronized,
    });
  }

  /** Lets seconds pass; `each` is called at the beginning of every one. */
  async pass(seconds: number, each: (second: number) => unknown = () => {}): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      await each(second);
      await this.clock.advanceAsync(1000);
    }
  }

  feed(count: number, values?: Readonly<Record<string, number | string>>): Promise<void> {
    const now = { wallMs: this.clock.wallMs(), monotonicMs: this.clock.monotonicMs() };
    return this.silo.handle({ type: 'samples', samples: siloSamples(count, now, values) });
  }

  get status(): SiloStatus {
    const last = this.posted.findLast((message) => message.type === 'status');
    if (last === undefined) throw new Error('no status yet');
    return last.status;
  }

  /** Readings that the gateway may send again. */
  get credit(): number {
    return this.posted.reduce((sum, each) => sum + (each.type === 'credit' ? each.readings : 0), 0);
  }

  /** Ends it; the events that wait in its spool. */
  async stop(): Promise<StreamEvent[]> {
    return (await this.stopAndDrain()).events;
  }

  /** Ends it, and takes out all that waits in its spool. */
  async stopAndDrain(): Promise<Drained> {
    await this.silo.handle({ type: 'stop' });
    const directory = join(this.#directory, acme.tenant, acme.gateway);
    const keys = await loadSiloKeys(this.#options, acme, silentLogger);
    const options = { directory, bytesMax: 4_000_000, whenFull: 'drop-oldest', keyPeriodMs: 1e9 } as const;
    const spool = await Spool.open(options, {
      origin: acme,
      keys,
      clock: this.clock,
      logger: silentLogger,
    });
    const drained = drain(spool);
    spool.close();
    return drained;
  }

  /** Of the tenant's log, with the names that are sealed in it. */
  async auditWithNames(): Promise<AuditEntry[]> {
    const keys = await loadSiloKeys(this.#options, acme, silentLogger);
    const directory = auditDirectory(join(this.#directory, acme.tenant, acme.gateway));
    const seal = await readAuditSeal(directory, keys, acme);
    return this.audit().map((entry) => seal?.open(entry) ?? entry);
  }

  /** Of the tenant's log, or of the silo's own, without an identity. */
  audit(whose: 'tenant' | 'nobody' = 'tenant'): AuditEntry[] {
    const owner = whose === 'tenant' ? join(this.#directory, acme.tenant, acme.gateway) : this.#directory;
    return listSegments(auditDirectory(owner)).flatMap(({ path }) =>
      readFileSync(path, 'utf8')
        .split('\n')
        .flatMap((line) => decodeEntry(Buffer.from(line))?.entry ?? []),
    );
  }
}
