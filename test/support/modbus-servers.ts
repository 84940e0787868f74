import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** An independent Modbus server, as a process of its own. */
export interface ForeignServer {
  /** Of a TCP server, where it listens on 127.0.0.1. */
  port: number;
  close(): Promise<void>;
}

const support = new URL('.', import.meta.url).pathname;

/** pymodbus as Debian has it, which is not in every python3's path. */
export function startPymodbus(...parameters: string[]): Promise<ForeignServer> {
  return start('/usr/bin/python3', [join(support, 'pymodbus-server.py'), ...parameters]);
}

let built: string | null = null;

/** The server of libmodbus-server.c, compiled on first use. */
export function startLibmodbus(...parameters: string[]): Promise<ForeignServer> {
  built ??= buildLibmodbusServer();
  return start(built, parameters);
}

function buildLibmodbusServer(): string {
  const folder = mkdtempSync(join(tmpdir(), 'merestone-libmodbus-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, 'server');
  const flags = execFileSync('pkg-config', ['--cflags', '--libs', 'libmodbus'], { encoding: 'utf8' });
  execFileSync('gcc', [
    '-O1',
    '-o',
    program,
    join(support, 'libmodbus-server.c'),
    ...flags.trim().split(/\s+/),
  ]);
  return program;
}

async function start(command: string, parameters: string[]): Promise<ForeignServer> {
  const child = spawn(command, parameters, { stdio: ['ignore', 'pipe', 'pipe'] });
  const said: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const ready = new Promise<number>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      const match = /^ready ?(\d*)$/.exec(line);
      if (match) resolve(Number(match[1]));
    });
    child.once('error', reject);
    void ended.then(() => reject(new Error(`${command} ended: ${said.join('')}`)));
  });
  return { port: await ready, close: () => stop(child, ended) };
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill('SIGKILL');
  await ended;
}
