import { dirname, join, normalize } from 'node:path';

/** Which rooms of `src/` a room may import from; its own files are always open to it. */
export const mayImport: Record<string, readonly string[]> = {
  base: [],
  reading: ['base'],
  status: ['base', 'reading'],
  messages: ['base', 'reading'],
  fieldbus: ['base', 'reading', 'status'],
  identity: ['base', 'messages'],
  audit: ['base', 'messages', 'identity'],
  spool: ['base', 'reading', 'status', 'messages'],
  uplink: ['base', 'reading', 'status', 'messages'],
  silo: ['base', 'reading', 'status', 'messages', 'identity', 'audit', 'spool', 'uplink'],
  config: ['base', 'reading', 'fieldbus', 'identity', 'spool', 'uplink', 'silo'],
  admin: ['base', 'reading', 'status'],
  gateway: ['base', 'reading', 'status', 'messages', 'fieldbus', 'silo', 'config', 'admin'],
  backend: ['base', 'reading', 'messages'],
  'broker-policy': ['base', 'messages'],
  simulator: ['base', 'reading', 'messages'],
  demo: ['base', 'reading', 'status', 'messages', 'admin', 'backend', 'simulator'],
};

/** Rooms whose code runs in a silo's isolate. */
const siloRooms = new Set(['identity', 'audit', 'spool', 'uplink', 'silo']);

const importPattern = /(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)'(\.[^']+)'/g;

/**
 * Imports against the allowed direction, as `src/a/x.ts imports src/b/y.ts`. `sources` maps paths
 * (from the project's root, `src/…`) to texts. `cli` may import every room, and no room may import it.
 */
export function importViolations(sources: ReadonlyMap<string, string>): string[] {
  const violations: string[] = [];
  for (const [path, text] of sources) {
    const room = roomOf(path);
    if (room === 'cli') continue;
    const allowed = mayImport[room];
    for (const match of text.matchAll(importPattern)) {
      const target = normalize(join(dirname(path), match[1]!));
      if (!target.startsWith('src/')) continue;
      const targetRoom = roomOf(target);
      if (targetRoom !== room && !allowed?.includes(targetRoom)) violations.push(`${path} imports ${target}`);
    }
  }
  return violations;
}

/**
 * Imports that would give the main thread a tenant's key: files of `gateway`, `fieldbus`, `admin` and of `silo` outside
 * of the isolate that import code (not types) of the silo's rooms, other than `silo/host` and `silo/process`.
 */
export function isolationViolations(sources: ReadonlyMap<string, string>): string[] {
  const isOutside = (path: string): boolean =>
    /^src\/silo\/(host|process)\//.test(path) || path === 'src/silo/loss-count.ts';
  const codeImport = /\bimport\s+(?!type\b)[^;]*?\bfrom\s+'(\.[^']+)'/g;
  const violations: string[] = [];
  for (const [path, text] of sources) {
    if (!['gateway', 'fieldbus', 'admin'].includes(roomOf(path)) && !isOutside(path)) continue;
    for (const match of text.matchAll(codeImport)) {
      const target = normalize(join(dirname(path), match[1]!));
      if (siloRooms.has(roomOf(target)) && !isOutside(target)) violations.push(`${path} imports ${target}`);
    }
  }
  return violations;
}

function roomOf(path: string): string {
  return path.split('/')[1] ?? '';
}

/** Where timers may be set without the clock: the clock itself, and commands that do not run for weeks. */
const timersAllowed = [
  'src/base/clock.ts',
  'src/base/socket-probe.ts',
  'src/cli/',
  'src/demo/',
  'src/admin/control-client.ts',
  'src/silo/process/refused-connections.ts',
  'src/simulator/',
  'src/uplink/canary.ts',
];

/** Promises that the `void` operator discards, and timers whose callback has no error handler. */
export function ownerViolations(sources: ReadonlyMap<string, string>): string[] {
  const violations: string[] = [];
  for (const [path, text] of sources) {
    for (const [index, line] of text.split('\n').entries()) {
      const code = line.replace(/^\s*(\/\/|\*|\/\*).*$/, '');
      const place = `${path}:${index + 1}`;
      if (/(^|[^:|<]\s)void [\w(]/.test(code) && !/=> void;|: void/.test(code)) {
        violations.push(`${place} throws a promise away`);
      }
      const isTimer = /(^|[^.\w])(setTimeout|setInterval|setImmediate)\(/.test(code);
      if (isTimer && !timersAllowed.some((allowed) => path.startsWith(allowed))) {
        violations.push(`${place} sets a timer past the clock`);
      }
    }
  }
  return violations;
}

/** Tests draw from test/support/random.ts, so that a failure can be repeated. */
export function chanceViolations(sources: ReadonlyMap<string, string>): string[] {
  return [...sources]
    .filter(([path]) => path !== 'test/support/random.ts')
    .flatMap(([path, text]) =>
      text
        .split('\n')
        .flatMap((line, index) =>
          /\bMath\.random\b/.test(line) ? [`${path}:${index + 1} draws without a seed`] : [],
        ),
    );
}
