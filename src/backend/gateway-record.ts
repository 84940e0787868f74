import type { CheckpointClaims } from '../messages/checkpoint.ts';
import type { MetaDocument, StatusDocument } from '../messages/retained.ts';

/** Epochs remembered as over: a spool file's life is months, so this is years. */
const supersededMax = 32;

/** What is known of one gateway over all its epochs; plain, so it can be stored. */
export interface GatewayState {
  /** As its last `status` said. */
  online: boolean | null;
  /** The newest checkpoint seen. */
  newest: { epoch: string; seq: number; sha256: string } | null;
  /** Epochs that were followed by another. */
  superseded: string[];
  /** The newest checkpoint of batches that no disk had: their epoch runs beside the gateway's own. */
  newestInMemory?: { epoch: string; seq: number };
}

/** device → point → unit, from the last `meta`. */
export type Units = Record<string, Record<string, string>>;

export class GatewayRecord {
  readonly #state: GatewayState;
  #units: Units | undefined;

  constructor(state?: GatewayState, units?: Units) {
    const { online = null, newest = null, superseded = [] } = state ?? {};
    this.#state = { online, newest, superseded };
    this.#units = units;
  }

  get units(): Units {
    return this.#units ?? {};
  }

  /** Whether a `meta` came. */
  get isDescribed(): boolean {
    return this.#units !== undefined;
  }

  get state(): GatewayState {
    return this.#state;
  }

  unitOf(device: string, point: string): string | null {
    return own(own(this.#units, device), point) ?? null;
  }

  /** Whether that is news: a retained message comes with every new connection. */
  takeStatus({ online }: StatusDocument): boolean {
    const news = this.#state.online !== online;
    this.#state.online = online;
    return news;
  }

  takeMeta(meta: MetaDocument): void {
    this.#units = Object.fromEntries(
      meta.devices.map(({ name, points }) => [
        name,
        Object.fromEntries(
          points.flatMap((point) => (point.unit === undefined ? [] : [[point.name, point.unit]])),
        ),
      ]),
    );
  }

  /** Whether the newest checkpoint has these bytes. */
  isNewest(sha256: string): boolean {
    return this.#state.newest?.sha256 === sha256;
  }

  /** Whether a checkpoint is older than the newest one: a replay, as a broker keeps and sends only the newest. */
  isOld({ epoch, seq, durable }: Pick<CheckpointClaims, 'epoch' | 'seq' | 'durable'>): boolean {
    const { newest, superseded, newestInMemory } = this.#state;
    if (durable === false) return newestInMemory?.epoch === epoch && seq < newestInMemory.seq;
    return superseded.includes(epoch) || (newest?.epoch === epoch && seq < newest.seq);
  }

  /** Notes a checkpoint that is not old. */
  takeCheckpoint({ epoch, seq, previous, durable }: CheckpointClaims, sha256: string): void {
    if (durable === false) {
      this.#state.newestInMemory = { epoch, seq };
      return;
    }
    const over = [this.#state.newest?.epoch, previous?.epoch].filter(
      (each) => each !== undefined && each !== epoch,
    );
    const superseded = new Set([...this.#state.superseded, ...(over as string[])]);
    this.#state.superseded = [...superseded].slice(-supersededMax);
    this.#state.newest = { epoch, seq, sha256 };
  }
}

function own<T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}
