import { resolve } from 'node:path';
import type { Notice } from '../../backend/notice.ts';
import { openFileSink, standardOutputSink, type RowSink } from '../../backend/row-sink.ts';
import type { StateStore } from '../../backend/state-store.ts';
import { withPackage } from '../optional-package.ts';
import type { ConsumeArguments } from './consume-options.ts';

/** The sinks for the rows of this run. */
export async function openOutlet(
  { output, postgres }: ConsumeArguments,
  store: StateStore,
  notify: (notice: Notice) => void,
): Promise<RowSink> {
  if (postgres !== undefined) {
    const load = () => import('../../backend/postgres-sink.ts');
    const { openPostgresSink } = await withPackage('pg', 'consume --postgres', load);
    return openPostgresSink(postgres, notify);
  }
  if (output === '-') return standardOutputSink();
  const path = resolve(output);
  const sink = await openFileSink(path, store);
  const { cutBytes, lostBytes } = sink;
  if (cutBytes > 0) {
    const message = `${cutBytes} bytes of ${path} belonged to a batch that comes again, and were cut off`;
    notify({ severity: 'info', kind: 'output-cut', message, details: { bytes: cutBytes } });
  }
  if (lostBytes > 0) {
    const message = `${path} is ${lostBytes} bytes shorter than it was: those rows are lost`;
    notify({ severity: 'warning', kind: 'output-short', message, details: { bytes: lostBytes } });
  }
  return sink;
}
