import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { awsIot } from '../broker-policy/aws-iot.ts';
import { azureEventGrid } from '../broker-policy/azure-event-grid.ts';
import { emqx } from '../broker-policy/emqx.ts';
import { mosquitto } from '../broker-policy/mosquitto.ts';
import { nats } from '../broker-policy/nats.ts';
import type { BrokerPolicy, PolicyFile, PolicyWriter } from '../broker-policy/policy-file.ts';
import { rabbitmq } from '../broker-policy/rabbitmq.ts';
import { systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { readRoster } from './broker-policy/certificates.ts';
import type { Command } from './command.ts';
import { print, printJson, remark } from './output.ts';

/** A broker's default folder for its files. */
const brokers = {
  mosquitto: { directory: '/etc/mosquitto', write: mosquitto('cn') },
  rabbitmq: { directory: '/etc/rabbitmq', write: rabbitmq },
  nats: { directory: '/etc', write: nats },
  emqx: { directory: '/etc/emqx', write: emqx },
  'aws-iot': { directory: '.', write: awsIot },
  'azure-event-grid': { directory: '.', write: azureEventGrid },
} as const satisfies Record<string, { directory: string; write: PolicyWriter }>;

type Broker = keyof typeof brokers;

interface PolicyArguments {
  broker: Broker;
  certificates: string;
  backend: string[];
  by: 'cn' | 'subject' | undefined;
  trust: string | undefined;
  output: string | undefined;
}

const command: Command<PolicyArguments> = {
  command: 'broker-policy',
  describe: 'what a broker needs to hold each certificate to its own topics',
  builder: (yargs) =>
    yargs.options({
      broker: {
        choices: Object.keys(brokers) as Broker[],
        demandOption: true,
        requiresArg: true,
        describe: 'whose configuration to write',
      },
      certificates: {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: "folder of the gateways' certificates (.crt, .cer, .pem)",
      },
      backend: {
        type: 'string',
        array: true,
        default: [] as string[],
        requiresArg: true,
        describe: 'CNs of certificates without O that may read every tenant, and write nothing',
      },
      by: {
        choices: ['cn', 'subject'] as const,
        requiresArg: true,
        describe: "mosquitto: know a client by its CN (default) or by its certificate's whole subject",
      },
      trust: { type: 'string', requiresArg: true, describe: 'CAs that the certificates must chain to' },
      output: { type: 'string', requiresArg: true, describe: 'folder to write the files to' },
    }),
  handler: async (args) => {
    const { broker, output } = args;
    const { directory, write } = writerFor(args);
    const { refusals, remarks, ...roster } = readRoster(args, systemClock.wallMs());
    for (const text of remarks) remark(text);
    const policy = write(roster, output === undefined ? directory : resolve(output));
    const reasons = [...refusals, ...policy.refusals];
    for (const reason of reasons) remark(reason);
    if (reasons.length > 0) {
      const what = `${reasons.length} of the above keep this broker from telling certificates apart`;
      throw new MerestoneError('IdentityRefused', what, { hint: 'nothing was written; see docs/brokers.md' });
    }
    const gateways = roster.gateways.map(({ tenant, gateway }) => ({ tenant, gateway }));
    if (output !== undefined) writeFiles(output, filesOf(policy));
    if (args.json) await printJson({ broker, gateways, settings: policy.settings, files: policy.files });
    else if (output === undefined) await print(describePolicy(policy));
    remark(`${gateways.length} gateways, ${roster.backends.length} backends`);
  },
};
export default command;

function writerFor({ broker, by }: PolicyArguments): { directory: string; write: PolicyWriter } {
  if (by === undefined) return brokers[broker];
  if (broker === 'mosquitto') return { ...brokers.mosquitto, write: mosquitto(by) };
  throw new MerestoneError('Usage', `--by is for mosquitto, not for ${broker}`, { hint: 'leave it out' });
}

function filesOf({ settings, files }: BrokerPolicy): PolicyFile[] {
  return settings === null ? [...files] : [settings, ...files];
}

function writeFiles(folder: string, files: readonly PolicyFile[]): void {
  try {
    mkdirSync(folder, { recursive: true });
    for (const { name, text } of files) {
      const path = join(folder, name);
      writeFileSync(path, text, { flush: true });
      remark(`wrote ${path}`);
    }
  } catch (cause) {
    throw new MerestoneError('Io', (cause as Error).message, { subject: folder, cause });
  }
}

/** The settings as comments, so that the output can be used as the file itself if its format allows comments. */
function describePolicy({ settings, files }: BrokerPolicy): string {
  const notes = settings === null ? '' : `${settings.name}:\n${settings.text}`.replaceAll(/^(?=.)/gm, '# ');
  return `${notes}${files.map(({ text }) => text).join('')}`;
}
