import { z } from 'zod';
import { hostFault } from '../base/host.ts';
import { duration, label } from './yaml/scalars.ts';

const common = {
  name: label('local label'),
  deadShareMax: z
    .number()
    .min(0.01)
    .max(1)
    .default(0.1)
    .describe('share of bus time that devices which do not answer may cost, all together'),
  connectDelay: duration(
    '0s',
    '60s',
    'pause between opening the line or connection and the first request',
  ).prefault('0s'),
};

const rs485 = z
  .strictObject({
    rtsOnSend: z.boolean().default(true).describe('level of RTS while sending'),
    rtsAfterSend: z.boolean().default(false).describe('level of RTS while listening'),
    delayBeforeSend: duration('0ms', '1s', 'pause between turning the line and the first byte').prefault(
      '0ms',
    ),
    delayAfterSend: duration('0ms', '1s', 'pause between the last byte and turning back').prefault('0ms'),
  })
  .optional()
  .describe('direction control by the kernel, for boards whose transceiver needs RTS turned');

const port = z
  .string()
  .regex(/^(?=.*\/)[^\0]{2,4095}$/, {
    error: ({ input }) =>
      `'${String(input)}' is not a serial port; write its path, best /dev/serial/by-id/…, which survives replugging`,
  })
  .describe('path of the serial port');

const baudRate = z.int().min(50).max(4_000_000).describe('bits a second');
const dataBits = z
  .union([z.literal(7), z.literal(8)], {
    error: ({ input }) => `${JSON.stringify(input)} data bits; write 7 or 8`,
  })
  .describe('data bits');
const parity = z.enum(['none', 'even', 'odd']);
const stopBits = z
  .union([z.literal(1), z.literal(2)], {
    error: ({ input }) => `${JSON.stringify(input)} stop bits; write 1 or 2`,
  })
  .default(1)
  .describe('stop bits');

const host = z
  .string({ error: ({ input }) => (typeof input === 'number' ? hostFault(String(input)) : undefined) })
  .min(1)
  .max(253)
  .refine((text) => hostFault(text) === undefined, { error: ({ input }) => hostFault(String(input)) })
  .describe('name or address of the device or converter');

const unitIdMax = z
  .int()
  .min(247)
  .max(255)
  .default(247)
  .describe('the highest unit id; above 247 they are reserved, and some devices use them all the same');

const endpoint = {
  host,
  port: z.int().min(1).max(65_535).default(502).describe('TCP port'),
  connectTimeout: duration('100ms', '60s', 'how long a connection may take to come about').prefault('3s'),
  idleClose: duration('0s', '1d', 'close an idle connection after this; 0s keeps it').prefault('0s'),
};

export const busSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      ...common,
      kind: z.literal('modbus-rtu').describe('Modbus on a serial line'),
      unitIdMax,
      port,
      baudRate: baudRate.default(19_200),
      parity: parity
        .default('even')
        .describe('parity; even is what the Modbus serial line specification asks for'),
      stopBits,
      rs485,
    }),
    z.strictObject({
      ...common,
      ...endpoint,
      kind: z.literal('modbus-tcp').describe('Modbus TCP'),
      pipeline: z
        .int()
        .min(1)
        .max(16)
        .default(1)
        .describe('requests in flight at once; 1 is what every device takes'),
      ignoreTransactionId: z
        .boolean()
        .default(false)
        .describe('take an answer with any transaction id, for devices that do not repeat it'),
      ignoreUnitId: z
        .boolean()
        .default(false)
        .describe('take an answer with any unit id, for devices that always give the same'),
    }),
    z.strictObject({
      ...common,
      ...endpoint,
      kind: z
        .literal('modbus-rtu-over-tcp')
        .describe('Modbus RTU frames through a transparent TCP converter'),
      unitIdMax,
    }),
    z.strictObject({
      ...common,
      kind: z.literal('modbus-ascii').describe('Modbus ASCII on a serial line'),
      unitIdMax,
      port,
      baudRate: baudRate.default(19_200),
      dataBits: dataBits.default(7),
      parity: parity.default('even').describe('parity'),
      stopBits,
    }),
    z.strictObject({
      ...common,
      kind: z.literal('modbus-udp').describe('Modbus with the header of Modbus TCP, in UDP datagrams'),
      host,
      port: z.int().min(1).max(65_535).default(502).describe('UDP port'),
    }),
    z.strictObject({
      ...common,
      kind: z.literal('serial').describe('a sensor with a protocol of its own'),
      port,
      baudRate,
      dataBits: dataBits.default(8),
      parity: parity.default('none').describe('parity'),
      stopBits,
      rs485,
    }),
  ])
  .describe('a serial line or a TCP endpoint');

export type BusConfig = z.output<typeof busSchema>;
