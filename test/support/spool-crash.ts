import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { openTestSpool } from './spool.ts';
import { drain, tellsOf } from './spool-damage.ts';

const writer = fileURLToPath(new URL('./spool-writer.ts', import.meta.url));

/** What writers reported over several runs on one spool. */
export class Chronicle {
  /** `epoch/seq` → SHA-256 of the payload. */
  readonly stored = new Map<string, string>();
  readonly acked = new Set<string>();
  /** The last seq of each epoch. */
  readonly epochs = new Map<string, number>();

  /** Throws where a seq comes again with other content, or goes back. */
  hear(line: string): void {
    const [what, epoch = '', seq = '', sha256] = line.split(' ');
    const id = `${epoch}/${seq}`;
    if (what === 'A') this.acked.add(id);
    if (what !== 'S' || sha256 === undefined) return;
    assert.ok(Number(seq) > (this.epochs.get(epoch) ?? 0), `seq ${seq} comes again`);
    this.epochs.set(epoch, Number(seq));
    this.stored.set(id, sha256);
  }
}

/** Lets a writer work for a while after its first batch, ends it by `end`, and reads the rest of its output. */
export async function writeUntil(
  chronicle: Chronicle,
  directory: string,
  forMs: number,
  end: (kill: () => void) => void,
): Promise<void> {
  const child = spawn(process.execPath, [writer, directory, String(chronicle.stored.size + 1)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  let rest = '';
  const started = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop()!; // a line cut by the kill tells nothing
      for (const line of lines) chronicle.hear(line);
      resolve();
    });
  });
  const exited = once(child, 'close');
  await Promise.race([started, exited]);
  if (child.exitCode !== null) throw new Error(`the writer ended by itself: ${errors}`);
  await new Promise((resolve) => setTimeout(resolve, forMs));
  end(() => child.kill('SIGKILL'));
  await exited;
}

/** Opens what is left: all that was stored is there as it was, or was acknowledged, or is reported by an event. */
export async function assertAllAccountedFor(chronicle: Chronicle, directory: string): Promise<void> {
  const spool = await openTestSpool(directory, { bytesMax: 4_000_000 });
  const { delivered, events } = drain(spool);
  const { epoch, seq } = spool.status();
  spool.close();
  for (const [id, sha256] of chronicle.stored) {
    const [ofEpoch = '', ofSeq] = id.split('/');
    if (ofEpoch === epoch) assert.ok(Number(ofSeq) <= seq, `the spool does not know of ${id}`);
    const payload = delivered.get(id);
    if (payload !== undefined) {
      assert.equal(createHash('sha256').update(payload).digest('hex'), sha256, `${id} has other content`);
    } else if (!chronicle.acked.has(id)) {
      const isTold = events.some((event) => tellsOf(event, ofEpoch, Number(ofSeq)));
      assert.ok(isTold, `${id} was stored, and is not there`);
    }
  }
  for (const id of chronicle.stored.keys()) chronicle.acked.add(id);
}
