import type { OpenIsolate } from '../../src/silo/host/open-isolate.ts';
import type { SiloStatus } from '../../src/status/status.ts';
import type { Isolate, IsolateEnd, IsolateListener } from '../../src/silo/host/isolate.ts';
import type { FromSilo, ToSilo } from '../../src/silo/protocol.ts';
import { siloStatus } from './status.ts';

/** An isolate that sends what the test scripts and records what it receives. */
export class ScriptedIsolate implements Isolate {
  readonly told: ToSilo[] = [];
  isCongested = false;
  /** It was ended by force. */
  isEnded = false;
  readonly #listener: IsolateListener;

  constructor(listener: IsolateListener) {
    this.#listener = listener;
  }

  post(message: ToSilo): void {
    this.told.push(message);
  }

  end(): void {
    this.isEnded = true;
    this.goes('crashed');
  }

  goes(end: IsolateEnd): void {
    this.#listener.ended(end);
  }

  leaves(): void {
    this.#listener.leaving();
  }

  says(message: FromSilo): void {
    this.#listener.message(message);
  }

  is(status: Partial<SiloStatus>): void {
    const blank = { tenant: null, gateway: null };
    this.says({ type: 'status', status: siloStatus('liar', { ...blank, ...status }) });
  }

  /** It runs as the tenant's gateway. */
  runs(tenant: string): void {
    this.is({ state: 'running', tenant, gateway: `${tenant}_gw-0001` });
  }

  toldOf<Type extends ToSilo['type']>(type: Type): Extract<ToSilo, { type: Type }>[] {
    return this.told.filter((message): message is Extract<ToSilo, { type: Type }> => message.type === type);
  }

  /** How many samples it was given, in pieces. */
  get pieces(): number[] {
    return this.toldOf('samples').map(({ samples }) => samples.length);
  }

  get samples(): number {
    return this.pieces.reduce((sum, count) => sum + count, 0);
  }
}

/** Records the isolates that it opened, the newest last. */
export function scriptedIsolates(): { open: OpenIsolate; isolates: ScriptedIsolate[] } {
  const isolates: ScriptedIsolate[] = [];
  const open: OpenIsolate = (_startMessage, _clock, _logger, listener) => {
    const isolate = new ScriptedIsolate(listener);
    isolates.push(isolate);
    return isolate;
  };
  return { open, isolates };
}
