import { resolve } from 'node:path';
import { EvidenceLog } from '../../backend/evidence.ts';
import { evidenceKey } from '../../backend/tree/evidence-key.ts';
import { HeadSigner } from '../../backend/tree/head-signer.ts';
import { isLogName } from '../../backend/tree/tree-head.ts';
import { systemClock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import { type ConsumeArguments, duration } from './consume-options.ts';

/** The evidence of this run, whose heads are signed and handed on. Throws Usage, FileUnreadable, Io. */
export function openEvidence(args: ConsumeArguments): EvidenceLog | undefined {
  const { evidence, heads, 'log-name': log } = args;
  if (evidence === undefined) return undefined;
  if (!isLogName(log)) {
    throw new MerestoneError('Usage', `--log-name '${log}' is no name of a log`, {
      hint: 'write something like backend.example.com/evidence, with no spaces and no plus',
    });
  }
  // Beside the folder, not in it: a copy of the evidence must not include the key that signs it.
  const key = evidenceKey(args['evidence-key'] ?? `${resolve(evidence)}.key`);
  const signer = new HeadSigner({ log, key, file: heads, everyMs: duration(args, 'heads-every') });
  return new EvidenceLog(evidence, systemClock, signer);
}
