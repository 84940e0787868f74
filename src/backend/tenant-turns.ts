import type { Origin } from '../messages/topic.ts';
import { FairTurns } from './fair-turns.ts';

/** Turns in two levels: tenants share the consumer's time evenly, and a tenant's gateways share the tenant's. */
export class TenantTurns {
  readonly #tenants = new FairTurns();
  readonly #gateways = new Map<string, FairTurns>();

  add({ tenant, gateway }: Origin, count = 1): void {
    const gateways = this.#gateways.get(tenant) ?? new FairTurns();
    this.#gateways.set(tenant, gateways);
    gateways.add(gateway, count);
    this.#tenants.add(tenant, count);
  }

  /** No more than `count` messages of this gateway wait no longer: how many these were. */
  withdraw({ tenant, gateway }: Origin, count?: number): number {
    const withdrawn = this.#gateways.get(tenant)?.withdraw(gateway, count) ?? 0;
    return this.#tenants.withdraw(tenant, withdrawn);
  }

  next(): Origin | undefined {
    return this.#of(this.#tenants.next());
  }

  /** In the midst of a turn of `tenant`: who goes in between; none of `busy`, whose turns are in progress too. */
  nextWithin(tenant: string, busy: ReadonlySet<string>): Origin | undefined {
    return this.#of(this.#tenants.nextWithin(tenant, busy));
  }

  #of(tenant: string | undefined): Origin | undefined {
    if (tenant === undefined) return undefined;
    return { tenant, gateway: this.#gateways.get(tenant)!.next()! };
  }

  /** The turn of this gateway took so long. */
  charge({ tenant, gateway }: Origin, ms: number): void {
    this.#tenants.charge(tenant, ms);
    this.#gateways.get(tenant)?.charge(gateway, ms);
    if (this.#tenants.waitingOf(tenant) === 0) this.#gateways.delete(tenant);
  }
}
