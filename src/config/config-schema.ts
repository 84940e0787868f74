import { z } from 'zod';
import { hostFault } from '../base/host.ts';
import { busSchema } from './bus-schema.ts';
import { deviceSchema } from './device-schema.ts';
import { path } from './yaml/scalars.ts';
import { siloSchema } from './silo-schema.ts';

/** What begins with '/', './' or '../' is the path of a Unix socket; a URL is not. */
const listenPattern = /^(?:(?:\[([^\]]*)\]|([^\][:]+)):(\d{1,5})|\.{0,2}\/[^\0]+)$/;

type Listen = { host: string; port: number } | { socket: string };

/** `127.0.0.1:9464`, `[::1]:9464`, `localhost:9464`, `/run/merestone/http.sock`. Port 0 lets the system choose. */
function parseListen(text: string): Listen | { fault: string } {
  if (/^[./]/.test(text)) return { socket: text };
  const [, bracketed, bare, port] = listenPattern.exec(text) ?? [];
  const host = bracketed ?? bare;
  const isAddress = host !== undefined && (bracketed?.includes(':') ?? true) && Number(port) <= 65_535;
  if (!isAddress) return { fault: listenFault(text) };
  const fault = hostFault(host, 'listen');
  return fault === undefined ? { host, port: Number(port) } : { fault };
}

const listen = z
  .string()
  .regex(listenPattern, { error: ({ input }) => listenFault(input) })
  .transform((text, context) => {
    const address = parseListen(text);
    if (!('fault' in address)) return address;
    context.addIssue({ code: 'custom', message: address.fault });
    return z.NEVER;
  })
  .describe(
    'address and port of metrics, health and status page, or the path of a Unix socket, such as /run/merestone/http.sock; 127.0.0.1 keeps them on this box, a socket with its group',
  );

function listenFault(input: unknown): string {
  return `'${String(input)}' is not an address to listen on; write host:port, such as 127.0.0.1:9464 or [::1]:9464, or a socket's path`;
}

export const defaultControlSocket = '/run/merestone/control.sock';

export const controlSchema = z
  .strictObject({
    socket: path('socket by which the commands reach the daemon').default(defaultControlSocket),
  })
  .prefault({})
  .describe('how the commands reach the daemon');

export const defaultStateDir = '/var/lib/merestone';

export const stateDirSchema = path('folder of spools, audit logs and issued certificates').default(
  defaultStateDir,
);

/** The one schema of the configuration file: the loader, the published JSON Schema and the docs come from it. */
export const configSchema = z
  .strictObject({
    stateDir: stateDirSchema,
    control: controlSchema,
    http: z.strictObject({ listen }).optional().describe('metrics, health and status page; off where absent'),
    silos: z.array(siloSchema).min(1).max(64).describe('one per tenant; most boxes have one'),
    buses: z.array(busSchema).max(64).default([]).describe('serial lines and TCP endpoints'),
    devices: z.array(deviceSchema).max(1000).default([]).describe('units on the buses'),
  })
  .describe('configuration of Merestone');

export type Config = z.output<typeof configSchema>;

/** The sections whose elements are checked one by one. */
export const elementSchemas = { silos: siloSchema, buses: busSchema, devices: deviceSchema } as const;

/**
 * The same as JSON Schema, for editors. What it can't express (references between elements), `merestone check` checks.
 */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(configSchema, { io: 'input' });
  const patternProperties = { '^x-': { description: 'for anchors and notes; means nothing by itself' } };
  return { $schema, title: 'Merestone configuration', ...schema, patternProperties };
}
