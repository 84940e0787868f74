import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The oldest Debian that the unit is for. */
const suite = 'bookworm';
/** libstdc++ is Node's; the rest of what it needs, every Debian has. */
const packages = ['systemd', 'systemd-sysv', 'libstdc++6'];
const unread = ['doc', 'man', 'locale', 'info'].map((part) => `--dpkgopt=path-exclude=/usr/share/${part}/*`);
const options = ['--quiet', '--variant=essential', `--include=${packages.join(',')}`, ...unread, suite];
/**
 * mmdebstrap mounts /proc, /sys and parts of /dev below the folder, and ignores SIGTERM. In namespaces of its own it
 * is gone at once with the process that started it, its mounts with it: removing the folder removes nothing else.
 */
const alone = 'setpriv --pdeathsig=KILL unshare --mount --mount-proc --pid --fork --kill-child'.split(' ');
/** It takes 25 s here; the limit is for a slow mirror. */
const buildMsMax = 150_000;
const partialMsMax = 3_600_000;

/**
 * The folder of a small Debian with systemd, 130 MB. It is made once, from Debian's mirror, and kept for the next
 * run in ~/.cache/merestone (or under XDG_CACHE_HOME). Throws where it can't be made.
 */
export function debianRoot(): string {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'merestone');
  const recipe = createHash('sha256').update(options.join('\n')).digest('hex').slice(0, 12);
  const root = join(cache, `${suite}-${recipe}`);
  if (existsSync(root)) return root;
  mkdirSync(cache, { recursive: true });
  removeForgotten(cache);
  const partial = mkdtempSync(join(cache, 'partial-'));
  try {
    const made = join(partial, 'root');
    const { status, stderr, error } = spawnSync(
      alone[0]!,
      [...alone.slice(1), 'mmdebstrap', ...options, made],
      {
        encoding: 'utf8',
        timeout: buildMsMax,
        killSignal: 'SIGKILL',
        env: { ...process.env, TMPDIR: partial },
      },
    );
    if (status !== 0) throw new Error(`mmdebstrap: ${error?.message ?? stderr.trim().split('\n').at(-1)}`);
    // Another run may have been quicker; its folder is equal.
    if (!existsSync(root)) renameSync(made, root);
    return root;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** Removes partial roots of runs that were killed. */
function removeForgotten(cache: string): void {
  for (const name of readdirSync(cache).filter((name) => name.startsWith('partial-'))) {
    const path = join(cache, name);
    if (Date.now() - statSync(path).mtimeMs > partialMsMax) rmSync(path, { recursive: true, force: true });
  }
}
