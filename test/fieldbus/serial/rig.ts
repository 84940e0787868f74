import type { Sample } from '../../../src/reading/sample.ts';
import type { IdentityCheckStatus } from '../../../src/status/status.ts';
import type { SerialDeviceOptions } from '../../../src/fieldbus/options.ts';
import { protocolSchema } from '../../../src/config/profile/protocol-schema.ts';
import { createSerialReader, type SiloTime } from '../../../src/fieldbus/serial/serial-reader.ts';
import { createSerialLine } from '../../../src/fieldbus/serial/serial-line.ts';
import { FakeClock } from '../../support/fake-clock.ts';

/** A sensor as the configuration declares it. */
export function sensor(protocol: unknown, everyMs = 1000, responseTimeoutMs = 500): SerialDeviceOptions {
  return {
    kind: 'serial',
    name: 'sensor',
    silo: 'north',
    bus: 'line',
    everyMs,
    responseTimeoutMs,
    protocol: protocolSchema.parse(protocol),
  };
}

export const text = (content: string): Uint8Array => Buffer.from(content, 'latin1');

/** Of a silo without a share of its own. */
export const unlimited: SiloTime = { overShareUntilMs: () => null, spent: () => {} };

/** A reader on a simulated line, with a clock that the test sets. */
export function createRig(device: SerialDeviceOptions, { isAlone = (): boolean => true } = {}) {
  const clock = new FakeClock();
  const samples: Sample[] = [];
  const identities: IdentityCheckStatus[] = [];
  const sent: string[] = [];
  const rates: number[] = [];
  let answer: (sent: string) => void = () => {};
  const port = {
    write: (bytes: Uint8Array) => {
      const said = Buffer.from(bytes).toString('latin1');
      sent.push(said);
      answer(said);
    },
    setBaudRate: (rate: number) => {
      rates.push(rate);
      return Promise.resolve();
    },
  };
  const line = createSerialLine({ baudRate: 300, dataBits: 8, parity: 'none', stopBits: 1 }, port, clock);
  const reader = createSerialReader(device, {
    line,
    clock,
    siloTime: unlimited,
    isAlone,
    deliver: (sample) => samples.push(sample),
    onIdentity: (identity) => identities.push(identity),
  });
  return {
    clock,
    reader,
    samples,
    identities,
    sent,
    rates,
    say: (content: string) => reader.receive(text(content)),
    /** The sensor's answers to requests, and their delays. */
    answerWith: (find: (sent: string) => string | undefined, afterMs = 200) => {
      answer = (said) => {
        const reply = find(said);
        if (reply !== undefined) clock.after(afterMs, () => reader.receive(text(reply)));
      };
    },
  };
}
