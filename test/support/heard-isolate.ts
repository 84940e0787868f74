import type { IsolateEnd, IsolateListener } from '../../src/silo/host/isolate.ts';
import type { FromSilo } from '../../src/silo/protocol.ts';
import type { SiloUsage } from '../../src/status/status.ts';

/** Records the messages of an isolate. */
export class HeardIsolate implements IsolateListener {
  readonly messages: FromSilo[] = [];
  readonly usages: SiloUsage[] = [];
  readonly faults: string[] = [];
  readonly ends: IsolateEnd[] = [];
  leavings = 0;

  message(message: FromSilo): void {
    this.messages.push(message);
  }

  usage(usage: SiloUsage): void {
    this.usages.push(usage);
  }

  leaving(): void {
    this.leavings += 1;
  }

  fault(reason: string): void {
    this.faults.push(reason);
  }

  ended(end: IsolateEnd): void {
    this.ends.push(end);
  }
}
