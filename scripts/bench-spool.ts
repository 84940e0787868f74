/**
 * Measures the spool beside a table with a row per reading and a table with a plain zstd blob per batch, on
 * one disk in one run; then how long a large spool takes to open after a kill, and what memory a long
 * backlog takes.
 *
 *   node scripts/bench-spool.ts [--ticks 300] [--gigabytes 1] [--millions 10] [--directory /var/tmp]
 *
 * A tick is one second of a plant of 100 devices with 100 points each: one batch of 10,000 readings, one
 * commit with synchronous=FULL. What the medium writes is counted on a loop device, which needs root; what
 * is stored, by the length of the files. The exit code does not depend on the figures.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import Database from 'better-sqlite3';
import type { EncodedSample, Spool } from '../src/spool/spool.ts';
import { makeDisk, whyNoDisk } from '../test/support/mount.ts';
import { openTestSpool, testSample } from '../test/support/spool.ts';

const { values: settings } = parseArgs({
  options: {
    ticks: { type: 'string', default: '300' },
    gigabytes: { type: 'string', default: '1' },
    millions: { type: 'string', default: '10' },
    directory: { type: 'string', default: tmpdir() },
    /** Task of a child process: `fill` a spool in the directory and die, or `backlog`. */
    child: { type: 'string' },
  },
});
const ticks = Number(settings.ticks);
const devices = 100;
const points = 100;
const readings = ticks * devices * points;
const bytesMax = 4_000_000_000;

/** A minute of the plant, repeated: making it is not measured. */
interface PlantSample extends EncodedSample {
  device: string;
  values: Record<string, number>;
}

function plantSecond(second: number): PlantSample[] {
  return Array.from({ length: devices }, (_, device) => {
    const ts = 1_763_842_123_456 + second * 1000;
    const values = Object.fromEntries(
      Array.from({ length: points }, (_, point) => {
        const level = 230 + 5 * Math.sin(second / 50 + device + point) + Math.random() * 0.4;
        return [`voltage_${point}`, Math.round(level * 10) / 10];
      }),
    );
    const name = `meter-${device}`;
    return { device: name, values, ts, json: JSON.stringify({ device: name, ts, values }) };
  });
}
let minute: PlantSample[][] = [];

interface Candidate {
  name: string;
  open(directory: string): Promise<Store>;
}

interface Store {
  put(samples: PlantSample[]): void;
  /** Takes the oldest out as an uplink would: read, made ready to send, deleted. */
  take(): void;
  payloadBytes(): number;
  close(): void;
}

function openDatabase(directory: string, schema: string): Database.Database {
  const database = new Database(join(directory, 'bench.sqlite'));
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.exec(schema);
  return database;
}

const zstdLevel1 = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

const rowPerReading: Candidate = {
  name: 'a row per reading',
  open: async (directory) => {
    const database = openDatabase(
      directory,
      'CREATE TABLE reading (device TEXT, point TEXT, ts INTEGER, value REAL)',
    );
    const insert = database.prepare('INSERT INTO reading VALUES (?, ?, ?, ?)');
    const oldest = database.prepare('SELECT rowid, * FROM reading ORDER BY rowid LIMIT ?');
    const remove = database.prepare('DELETE FROM reading WHERE rowid <= ?');
    return {
      put: database.transaction((samples: PlantSample[]) => {
        for (const { device, ts, values } of samples) {
          for (const [point, value] of Object.entries(values)) insert.run(device, point, ts, value);
        }
      }),
      take: () => {
        const rows = oldest.all(devices * points) as { rowid: number }[];
        JSON.stringify(rows);
        remove.run(rows.at(-1)!.rowid);
      },
      payloadBytes: () => 0,
      close: () => database.close(),
    };
  },
};

const plainBlob: Candidate = {
  name: 'a plain blob per batch',
  open: async (directory) => {
    const database = openDatabase(directory, 'CREATE TABLE batch (id INTEGER PRIMARY KEY, payload BLOB)');
    const insert = database.prepare('INSERT INTO batch (payload) VALUES (?)');
    const oldest = database.prepare('SELECT id, payload FROM batch ORDER BY id LIMIT 1');
    const remove = database.prepare('DELETE FROM batch WHERE id = ?');
    let payloadBytes = 0;
    return {
      put: (samples) => {
        const json = Buffer.from(`{"samples":[${samples.map((each) => each.json).join(',')}]}`);
        const payload = zstdCompressSync(json, zstdLevel1);
        payloadBytes += payload.length;
        insert.run(payload);
      },
      take: () => {
        const { id, payload } = oldest.get() as { id: number; payload: Buffer };
        zstdDecompressSync(payload);
        remove.run(id);
      },
      payloadBytes: () => payloadBytes,
      close: () => database.close(),
    };
  },
};

const ours: Candidate = {
  name: 'the spool',
  open: async (directory) => {
    const spool = await openTestSpool(directory, { bytesMax });
    return {
      put: (samples) => spool.enqueue(samples),
      take: () => spool.settle({ acked: spool.lease(1, 'fifo').map(({ key }) => key) }),
      payloadBytes: () => 0,
      close: () => spool.close(),
    };
  },
};

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Room for the table with a row per reading. */
const diskBytes = 2_000_000_000;

async function measure(candidate: Candidate, drains: boolean): Promise<void> {
  using disk = makeBenchDisk();
  const store = await candidate.open(disk.directory);
  for (const samples of minute) store.put(samples); // one-time work is not measured
  if (drains) for (const _ of minute) store.take();
  const payloadBefore = store.payloadBytes();
  const written = disk.bytesWritten();
  const stored = disk.bytesStored();
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (let tick = 0; tick < ticks; tick += 1) {
    store.put(minute[tick % minute.length]!);
    if (drains) store.take();
  }
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const payload = store.payloadBytes() - payloadBefore;
  const perReading = (bytes: number): string => (bytes / readings).toFixed(2).padStart(10);
  const figures = [
    ((user + system) / readings).toFixed(3).padStart(10),
    (readings / seconds / 1000).toFixed(0).padStart(10),
    whyNoDisk('ext4') === undefined ? perReading(disk.bytesWritten() - written) : '-'.padStart(10),
    drains ? '-'.padStart(10) : perReading(disk.bytesStored() - stored),
    payload === 0 ? '-'.padStart(10) : perReading(payload),
  ];
  store.close();
  say(`${candidate.name.padEnd(24)}${(drains ? 'in and out' : 'in').padEnd(10)}${figures.join('')}`);
}

interface Ground extends Disposable {
  directory: string;
  /** By the medium, the file system's own writes included. */
  bytesWritten(): number;
  bytesStored(): number;
}

/** A disk of its own if possible, so that each byte that reaches the medium is counted. */
function makeBenchDisk(): Ground {
  const cleanUps: (() => void)[] = [];
  const context = { after: (done: () => void): number => cleanUps.push(done) };
  const disk = whyNoDisk('ext4') === undefined ? makeDisk(context, 'ext4', diskBytes) : undefined;
  const directory = mkdtempSync(join(disk?.path ?? settings.directory, 'merestone-bench-'));
  const sizeOf = (file: string): number => statSync(join(directory, file)).size;
  return {
    directory,
    bytesWritten: () => disk?.bytesWritten() ?? 0,
    bytesStored: () => readdirSync(directory).reduce((sum, file) => sum + sizeOf(file), 0),
    [Symbol.dispose]: () => {
      rmSync(directory, { recursive: true });
      for (const cleanUp of cleanUps) cleanUp();
    },
  };
}

const collectGarbage = (() => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
})();

function residentMegabytes(): number {
  collectGarbage();
  return process.memoryUsage.rss() / 1e6;
}

/** Batches of 20 kB that no zstd makes smaller, twenty a commit. */
function fill(spool: Spool, bytes: number): void {
  const batch = (): EncodedSample[] => [testSample(Date.now(), 15_000)];
  for (let done = 0; done < bytes; done = spool.status().bytes) {
    spool.enqueueAll(Array.from({ length: 20 }, batch));
  }
}

async function measureOpening(): Promise<void> {
  const directory = mkdtempSync(join(settings.directory, 'merestone-bench-'));
  try {
    runChild('fill', directory, '--gigabytes', settings.gigabytes);
    const start = performance.now();
    const spool = await openTestSpool(directory, { bytesMax });
    const milliseconds = performance.now() - start;
    const { bytes, batches } = spool.status();
    spool.close();
    say(
      `opens after a kill in ${milliseconds.toFixed(0)} ms: ${(bytes / 1e9).toFixed(2)} GB, ${batches} batches`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** In a process of its own, whose heap nothing else has grown, and that is limited as a silo's is. */
async function measureMemory(directory: string): Promise<void> {
  const samples = Number(settings.millions) * 1e6;
  const spool = await openTestSpool(directory, { bytesMax });
  const batch = Array.from({ length: 500 }, (_, index) => testSample(index));
  const megabytes: string[] = [];
  for (let stored = 0; stored < samples; stored += batch.length) {
    if (stored % (samples / 10) === 0) megabytes.push(residentMegabytes().toFixed(1));
    spool.enqueue(batch);
  }
  megabytes.push(residentMegabytes().toFixed(1));
  spool.settle({ released: spool.lease(200, 'live-first').map(({ key }) => key) });
  megabytes.push(residentMegabytes().toFixed(1));
  spool.close();
  const what = `RSS in MB from empty to ${settings.millions} million samples, then with 200 batches leased`;
  say(`${what}: ${megabytes.join(' ')}`);
}

function runChild(child: string, directory: string, ...more: string[]): void {
  const script = fileURLToPath(import.meta.url);
  const words = [
    '--max-old-space-size=128',
    '--max-semi-space-size=1',
    script,
    '--child',
    child,
    '--directory',
    directory,
    ...more,
  ];
  spawnSync(process.execPath, words, { stdio: 'inherit' });
}

switch (settings.child) {
  case undefined: {
    minute = Array.from({ length: 60 }, (_, second) => plantSecond(second));
    say(`${readings / 1e6} million readings a line, 10,000 a commit, synchronous=FULL`);
    say(`${''.padEnd(34)}${'CPU µs/r  k read/s  written/r  stored/r payload/r'.padStart(50)}`);
    for (const drains of [false, true]) {
      for (const candidate of [rowPerReading, plainBlob, ours]) await measure(candidate, drains);
    }
    await measureOpening();
    const directory = mkdtempSync(join(settings.directory, 'merestone-bench-'));
    runChild('backlog', directory, '--millions', settings.millions);
    rmSync(directory, { recursive: true });
    break;
  }
  case 'fill':
    fill(await openTestSpool(settings.directory, { bytesMax }), Number(settings.gigabytes) * 1e9);
    process.kill(process.pid, 'SIGKILL');
    break;
  default:
    await measureMemory(settings.directory);
}
