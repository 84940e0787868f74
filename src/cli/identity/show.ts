import { systemClock } from '../../base/clock.ts';
import { describeError, MerestoneError } from '../../base/error.ts';
import { ExitCode } from '../../base/exit-code.ts';
import { plainDocument } from '../../base/plain-text.ts';
import { formatDuration } from '../../base/quantity.ts';
import { inspectIdentity, type IdentityInspection } from '../../identity/inspection.ts';
import type { IdentityOptions } from '../../identity/options.ts';
import type { Command } from '../command.ts';
import { print, printJson, styler } from '../output.ts';
import { silosOf } from '../silo-choice.ts';

interface ShowArguments {
  silo: string | undefined;
  certificate: string | undefined;
  'private-key': string | undefined;
  trust: string | undefined;
}

type Place = Pick<IdentityOptions, 'certificate'> & Partial<IdentityOptions>;
type Shown = { silo: string | null } & (IdentityInspection | { certificate: string; faults: string[] });

const command: Command<ShowArguments> = {
  command: 'show',
  describe: "tenant, gateway, validity, chain, warnings: of the configuration's silos or of one certificate",
  builder: {
    silo: { type: 'string', requiresArg: true, describe: 'only this silo' },
    certificate: { type: 'string', requiresArg: true, describe: 'look at this file, not the configuration' },
    'private-key': { type: 'string', requiresArg: true, describe: '… and check this key against it' },
    trust: { type: 'string', requiresArg: true, describe: '… and check it against these CAs' },
  },
  handler: async (args) => {
    const nowMs = systemClock.wallMs();
    const shown = placesOf(args).map(({ silo, place }) => inspect(silo, place, nowMs));
    if (shown.some(({ faults }) => faults.length > 0)) process.exitCode = ExitCode.Config;
    if (args.json) return await printJson({ identities: shown });
    for (const each of shown) await print(describeShown(plainDocument(each), nowMs));
  },
};
export default command;

function placesOf(args: ShowArguments & { config: string }): { silo: string | null; place: Place }[] {
  const { certificate, 'private-key': privateKey, trust } = args;
  if (certificate === undefined) {
    return silosOf(args.config, args.silo).map(({ name, identity }) => ({ silo: name, place: identity }));
  }
  const place = { certificate, ...(privateKey && { privateKey }), ...(trust && { trust }) };
  return [{ silo: null, place }];
}

function inspect(silo: string | null, place: Place, nowMs: number): Shown {
  try {
    return { silo, ...inspectIdentity(place, nowMs) };
  } catch (error) {
    // One silo's missing file must not hide the others' certificates.
    if (silo === null || !(error instanceof MerestoneError)) throw error;
    return { silo, certificate: place.certificate, faults: [describeError(error)] };
  }
}

function describeShown(shown: Shown, nowMs: number): string {
  const paint = styler();
  const line = (label: string, text: string): string => `  ${label.padEnd(11)}  ${text}`;
  const faults = shown.faults.map((fault) => paint('red', line('fault', fault)));
  const lines = [paint('bold', shown.silo ?? shown.certificate)];
  if (shown.silo !== null) lines.push(line('certificate', shown.certificate));
  if (!('fingerprintSha256' in shown)) return [...lines, ...faults].join('\n');
  return [
    ...lines,
    line('tenant', shown.tenant ?? 'none'),
    line('gateway', shown.gateway ?? 'none'),
    line('valid', validity(shown, nowMs)),
    line('key', shown.key),
    line('fingerprint', shown.fingerprintSha256),
    ...shown.chain.map((subject, index) => line(index === 0 ? 'chain' : '', subject)),
    ...shown.warnings.map((warning) => paint('yellow', line('warning', warning))),
    ...faults,
    ...(shown.verified === true ? [paint('green', line('verified', 'yes'))] : []),
    ...(shown.verified === null ? [line('verified', 'not checked: give --trust and --private-key')] : []),
  ].join('\n');
}

function validity({ notBefore, notAfter }: IdentityInspection, nowMs: number): string {
  const [from, to] = [notBefore, notAfter].map((ms) => new Date(ms).toISOString().slice(0, 10));
  const left = notAfter - nowMs;
  return `${from} to ${to}, ${left > 0 ? `${formatDuration(left)} left` : 'expired'}`;
}
