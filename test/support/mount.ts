import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type FileSystem = 'tmpfs' | 'ext4' | 'xfs';

/** A small disk of a test's own; `cutPower` acts like a power cut. */
export interface Disk {
  readonly path: string;
  /** Bytes written to it so far, the file system's own included; not for tmpfs. */
  bytesWritten(): number;
  /** Unflushed data is lost; the file system refuses everything until it is mounted again. */
  cutPower(): void;
  remount(): void;
  /** Remounts it, as the kernel does after a fault, and an administrator after the repair. */
  setReadOnly(isReadOnly: boolean): void;
}

/** xfs wants 300 MB at least. */
const imageBytes: Record<FileSystem, number> = { tmpfs: 8e6, ext4: 24e6, xfs: 320e6 };

/** Why this machine cannot make such a disk; undefined where it can. */
export function whyNoDisk(kind: FileSystem): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root to mount a disk';
  if (kind === 'tmpfs') return undefined;
  if (!existsSync('/dev/loop-control')) return 'needs loop devices';
  const tools = [`mkfs.${kind}`, 'xfs_io'];
  const missing = tools.find((tool) => !['/usr/sbin', '/sbin'].some((bin) => existsSync(join(bin, tool))));
  return missing === undefined ? undefined : `needs ${missing} (Debian: xfsprogs, e2fsprogs)`;
}

/** A spool that is closed after its disk is gone writes its files again: they are removed with the process. */
const parents = new Set<string>();
process.once('exit', () => {
  for (const parent of parents) rmSync(parent, { recursive: true, force: true });
});

/** Makes and mounts one; it is gone when the test is over. */
export function makeDisk(
  t: { after: (done: () => void) => void },
  kind: FileSystem,
  bytes = imageBytes[kind],
): Disk {
  const parent = mkdtempSync(join(tmpdir(), 'merestone-disk-'));
  parents.add(parent);
  const path = join(parent, 'disk');
  const image = join(parent, 'disk.img');
  mkdirSync(path, { recursive: true });
  if (kind === 'tmpfs') {
    run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'merestone-test', path]);
  } else {
    writeFileSync(image, '');
    truncateSync(image, bytes);
    run(`mkfs.${kind}`, ['-q', image]);
    run('mount', ['-o', 'loop', image, path]);
  }
  t.after(() => {
    run('umount', ['-l', path]);
    rmSync(parent, { recursive: true, force: true });
  });
  return {
    path,
    bytesWritten: () => sectorsWritten(path) * sectorBytes,
    setReadOnly: (isReadOnly) => run('mount', ['-o', `remount,${isReadOnly ? 'ro' : 'rw'}`, path]),
    cutPower: () => run('xfs_io', ['-x', '-c', 'shutdown', path]),
    remount: () => {
      run('umount', [path]);
      run('mount', ['-o', 'loop', image, path]);
    },
  };
}

/** Fills the rest of the disk of `file`, as another program would. */
export function fillDisk(file: string): void {
  const descriptor = openSync(file, 'a');
  try {
    for (let size = 65_536; size >= 512; ) {
      try {
        writeSync(descriptor, Buffer.alloc(size));
      } catch {
        size /= 2;
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

function run(command: string, args: readonly string[]): void {
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
  execFileSync(command, args, { stdio: 'pipe', env });
}

/** Documentation/block/stat.rst: the seventh number, in sectors of 512 bytes for every device. */
const sectorBytes = 512;

function sectorsWritten(path: string): number {
  run('sync', ['-f', path]);
  const { dev } = statSync(path);
  const numbers = `${Math.floor(dev / 256)}:${dev % 256}`;
  return Number(readFileSync(`/sys/dev/block/${numbers}/stat`, 'utf8').trim().split(/\s+/)[6]);
}
