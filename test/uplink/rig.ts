import { type Clock, systemClock } from '../../src/base/clock.ts';
import { createLogger, type LogRecord } from '../../src/base/logger.ts';
import type { UplinkStatus } from '../../src/status/status.ts';
import type { Lookup } from '../../src/uplink/broker-list.ts';
import type { UplinkOptions } from '../../src/uplink/options.ts';
import {
  type PublishRequest,
  type PublishOutcome,
  startUplink,
  type Uplink,
  type UplinkCredentials,
} from '../../src/uplink/uplink.ts';
import { until } from '../support/until.ts';
import { owned } from '../support/owned-origin.ts';

function statusOf(online: boolean): PublishRequest {
  const payload = Buffer.from(JSON.stringify({ v: 1, ...origin, online }));
  return { channel: 'status', payload, retain: true, contentType: 'application/json' };
}

export const origin = owned({ tenant: 'acme', gateway: 'acme_gw-0001' });
export const gatewayRequest = { organization: origin.tenant, commonName: origin.gateway };

/** An uplink under test, and what it told its owner. */
export class Rig implements AsyncDisposable {
  readonly uplink: Uplink;
  readonly limits: { inflightMax: number; packetBytesMax: number | undefined }[] = [];
  readonly log: LogRecord[] = [];
  losses = 0;

  constructor(
    options: Pick<UplinkOptions, 'url' | 'ca'> & Partial<UplinkOptions>,
    credentials: UplinkCredentials,
    clock: Clock = systemClock,
    lookup?: Lookup,
  ) {
    this.uplink = startUplink(
      {
        protocol: '5',
        encoding: 'json',
        compression: 'none',
        noSubscribers: 'keep',
        order: 'fifo',
        inflightMax: 100,
        keepaliveSeconds: 30,
        ...options,
      },
      origin,
      credentials,
      { birth: () => statusOf(true), will: () => statusOf(false) },
      {
        onReady: (limits) => this.limits.push(limits),
        onLost: () => {
          this.losses += 1;
        },
      },
      {
        clock,
        logger: createLogger((record) => this.log.push(record), 'debug'),
        ...(lookup && { lookup }),
      },
    );
  }

  get readies(): number {
    return this.limits.length;
  }

  ready(): Promise<void> {
    return until(() => this.uplink.ready, 'the uplink is ready');
  }

  /** Waits until the status says why it is not well. */
  async reason(pattern: RegExp): Promise<UplinkStatus> {
    await until(() => pattern.test(this.uplink.status().reason ?? ''), `a reason like ${pattern}`).catch(
      (error: Error) => {
        throw new Error(`${error.message}; it was: ${this.uplink.status().reason}`);
      },
    );
    return this.uplink.status();
  }

  batch(text: string): Promise<PublishOutcome> {
    return this.uplink.publish({
      channel: 'telemetry',
      payload: Buffer.from(text),
      contentType: 'text/plain',
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.uplink.stop(2000);
  }
}

/** A clock that runs `factor` times as fast. */
export function hurried(factor: number): Clock {
  return {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() * factor,
    after: (delayMs, callback) => systemClock.after(delayMs / factor, callback),
  };
}
