import { type AllowanceLimits, CountingAllowance } from '../../base/allowance.ts';

/** A silo in trouble says a few things a second; a flood would drown the other silos' lines in the log. */
const lines: AllowanceLimits = { perSecond: 10, burst: 200 };

/** How much of the gateway's log one silo may have. */
export class LogAllowance extends CountingAllowance {
  constructor(nowMs: number) {
    super(lines, nowMs);
  }
}
