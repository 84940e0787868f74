import { MerestoneError } from '../../base/error.ts';
import { plainDocument } from '../../base/plain-text.ts';
import { formatBytes } from '../../base/quantity.ts';
import { OfflineSpool } from '../../spool/offline/offline-spool.ts';
import { keptFiles } from '../../spool/storage/layout.ts';
import type { Ledger } from '../../spool/state/ledger.ts';
import { countOf } from '../../base/ranges.ts';
import { spoolBytes } from '../../spool/storage/layout.ts';
import type { Command } from '../command.ts';
import { print, printJson, styler } from '../output.ts';
import {
  folderOption,
  keysOption,
  openSpool,
  siloOption,
  spoolPlaces,
  type PlaceArguments,
  type SpoolPlace,
} from './spool-place.ts';

interface SpoolStats {
  silo: string | null;
  directory: string;
  tenant: string;
  gateway: string;
  /** False if no key here opens it: then the figures are the file's own, unverified. */
  authentic: boolean;
  epoch: string;
  seq: number;
  chain: string;
  batches: number;
  samples: number;
  events: number;
  undated: number;
  rejected: number;
  damaged: number;
  quarantined: number;
  dropped: number;
  checkpointSeq: number;
  bytes: number;
  bytesMax: number;
  aside: string[];
}

const command: Command<PlaceArguments> = {
  command: 'stats [folder]',
  describe: 'whose spools there are and what waits in them',
  builder: (yargs) =>
    yargs.positional('folder', folderOption).options({ silo: siloOption, keys: keysOption }),
  handler: async (args) => {
    const spools = [];
    for (const place of spoolPlaces(args)) spools.push(await statsOf(place));
    if (args.json) return printJson({ spools });
    for (const stats of spools) await print(describe(plainDocument(stats)));
  },
};
export default command;

async function statsOf(place: SpoolPlace): Promise<SpoolStats> {
  try {
    using spool = (await openSpool(place)).spool;
    return present(place, spool.ledger, true);
  } catch (error) {
    if (!(error instanceof MerestoneError) || error.code !== 'KeyUnavailable') throw error;
    const claim = OfflineSpool.claim(place);
    if (claim === undefined) throw error;
    return present(place, claim, false);
  }
}

function present({ silo, directory, bytesMax }: SpoolPlace, ledger: Ledger, authentic: boolean): SpoolStats {
  const { tenant, gateway, head, waiting, samplesWaiting, events, held, rejected, damaged } = ledger;
  return {
    silo: silo ?? null,
    directory,
    tenant,
    gateway,
    authentic,
    epoch: head.epoch,
    seq: head.seq,
    chain: head.chain,
    batches: countOf(waiting),
    samples: samplesWaiting,
    events: countOf(events),
    undated: countOf(held),
    rejected: countOf(rejected),
    damaged: countOf(damaged),
    quarantined: ledger.quarantined,
    dropped: ledger.dropped,
    checkpointSeq: ledger.checkpointSeq,
    bytes: spoolBytes(directory),
    bytesMax,
    aside: keptFiles(directory),
  };
}

function describe(stats: SpoolStats): string {
  const paint = styler();
  const title = `tenant ${stats.tenant}, gateway ${stats.gateway}`;
  const doubt = stats.authentic
    ? []
    : [paint('yellow', 'no key here opens it: this is what it says of itself')];
  return [
    paint('bold', title) + (stats.silo === null ? '' : paint('dim', `  silo ${stats.silo}`)),
    `  ${stats.directory}`,
    ...doubt.map((line) => `  ${line}`),
    `  waiting      ${stats.batches} batches with ${stats.samples} samples, ${stats.events} events`,
    `  epoch        ${stats.epoch}, up to batch ${stats.seq}, signed up to ${stats.checkpointSeq}`,
    `  quarantined  ${stats.quarantined} ever; here: ${stats.rejected} refused, ${stats.damaged} damaged`,
    `  dropped      ${stats.dropped} ever`,
    `  size         ${formatBytes(stats.bytes)} of ${formatBytes(stats.bytesMax)}`,
    ...(stats.undated > 0 ? [`  undated      ${stats.undated} chunks wait for the clock`] : []),
    ...stats.aside.map((file) => paint('yellow', `  set aside    ${file}`)),
  ].join('\n');
}
