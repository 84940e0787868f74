import { formatDuration } from '../base/quantity.ts';
import type { LostRun, StreamEvent } from '../messages/event.ts';
import type { Notice, Severity } from './notice.ts';
import { formatRanges } from './seq-set.ts';
import type { StreamKey } from './state-store.ts';
import type { LedgerFinding } from './stream-ledger.ts';

/** What a ledger found, in words. */
export function describeFinding({ tenant, gateway, epoch }: StreamKey, finding: LedgerFinding): Notice {
  const { kind, ...details } = finding;
  const [severity, message] = findingText(finding);
  return { severity, kind, message, origin: { tenant, gateway }, epoch, details };
}

function findingText(finding: LedgerFinding): [Severity, string] {
  switch (finding.kind) {
    case 'verified':
      return ['info', `as signed: ${range(finding)}`];
    case 'broken':
      return ['security', `not what was signed, but changed, added or exchanged: ${range(finding)}`];
    case 'forked':
      if ('fork' in finding) {
        return [
          'security',
          `batches from ${finding.seq} on came before with other content: the spool was set back, or two boxes have ` +
            `this key; their rows are kept, marked "fork":${finding.fork}`,
        ];
      }
      return ['security', `two signatures give two values to the chain at ${finding.seq}`];
    case 'unverifiable':
      return [
        'warning',
        `not to be compared with what was signed, as ${finding.missing} never came: ${range(finding)}`,
      ];
    case 'altered':
      return [
        'security',
        `batch ${finding.seq} came again with other content; the first one stands until a checkpoint judges it, ` +
          `and the rows of this one are kept, marked "fork":${finding.fork}`,
      ];
    case 'beyond-end':
      return ['security', `batch ${finding.seq} came, but the epoch was signed off at ${finding.endsAt}`];
    case 'gap-closed-unfilled':
      return ['warning', `too many gaps: ${range(finding)} is waited for no longer`];
  }
}

/** What a gateway tells about itself, in words. */
export function describeEvent(event: StreamEvent): Notice {
  const { v: _v, tenant, gateway, kind, proof: _proof, ...details } = event;
  const [severity, message] = eventText(event);
  const origin = { tenant, gateway };
  return 'epoch' in event
    ? { severity, kind, message, origin, epoch: event.epoch, details }
    : { severity, kind, message, origin, details };
}

function eventText(event: StreamEvent): [Severity, string] {
  switch (event.kind) {
    case 'dropped':
    case 'quarantined':
      return ['warning', `will not come: ${runText(event)}; ${event.reason}`];
    case 'samples-dropped':
      return ['warning', `${lostSamples(event)} were never stored: ${event.reason}`];
    case 'epoch-started': {
      const after = event.previous === null ? '' : `, after ${event.previous.epoch} at ${event.previous.seq}`;
      return ['info', `a new epoch began${after}: ${event.reason}`];
    }
    case 'identity-changed':
      return ['info', `a new certificate: ${event.fingerprintSha256}, until ${iso(event.notAfter)}`];
    case 'storage-failed':
      return event.state === 'began'
        ? [
            'warning',
            `its disk takes nothing: ${event.reason}; live batches come in epoch ${event.epoch}, durable: false`,
          ]
        : ['warning', `its disk works again after ${formatDuration(event.forMs)}`];
    case 'quota':
      return ['warning', `quota ${event.quota} of ${event.limit} ${event.state}`];
    case 'audit':
      return ['info', `audit: ${JSON.stringify(event.entry)}`];
  }
}

function runText({ seqFrom, seqTo, samples, from, to }: LostRun): string {
  const times = from === null || to === null ? '' : ` of ${iso(from)} to ${iso(to)}`;
  return `${formatRanges([[seqFrom, seqTo]])} (${samples} samples${times})`;
}

function range({ from, to }: { from: number; to: number }): string {
  return formatRanges([[from, to]]);
}

/** `12 samples of … to …`, as far as it is known. */
export function lostSamples(lost: { samples: number; from: number | null; to: number | null }): string {
  const { samples, from, to } = lost;
  const count = samples === 0 ? 'samples in an unknown number' : `${samples} samples`;
  return from === null || to === null
    ? `${count}, of an unknown time,`
    : `${count} of ${iso(from)} to ${iso(to)}`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
