import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

/** Cells of one unit by table and zero-based address. */
export interface ForeignUnit {
  holding?: Record<number, number[]>;
  input?: Record<number, number[]>;
  coil?: Record<number, number[]>;
  discrete?: Record<number, number[]>;
}

/** A Modbus server that others wrote, as a process. */
export interface ForeignServer extends AsyncDisposable {
  /** Of a TCP server; 0 for a serial one. */
  port: number;
  close(): Promise<void>;
}

/** pymodbus over TCP, or over a serial line where `device` is given. */
export async function startPymodbus(
  units: Record<number, ForeignUnit>,
  device?: string,
): Promise<ForeignServer> {
  const port = device === undefined ? await freePort() : 0;
  const where = device === undefined ? ['tcp', String(port)] : ['rtu', device];
  const script = join(import.meta.dirname, 'pymodbus-server.py');
  // Debian's own Python: the packages that apt brings are its alone.
  const child = spawn('/usr/bin/python3', [script, ...where], { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(JSON.stringify(units));
  const server = { port, ...closing(child) };
  if (port !== 0) await listening(port, child);
  return server;
}

/** libmodbus over a serial line: see libmodbus-server.c for what its registers hold. `folder` takes the program. */
export async function startLibmodbus(folder: string, device: string, unitId: number): Promise<ForeignServer> {
  const program = join(folder, 'libmodbus-server');
  const flags = execFileSync('pkg-config', ['--cflags', '--libs', 'libmodbus'], { encoding: 'utf8' });
  const source = join(import.meta.dirname, 'libmodbus-server.c');
  // pkg-config names the folder that holds modbus.h itself; the source names it as the package does.
  execFileSync('gcc', ['-O1', '-Wall', '-o', program, source, ...flags.trim().split(/\s+/)]);
  const child = spawn(program, [device, String(unitId)], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return { port: 0, ...closing(child) };
}

function closing(child: ChildProcess): Pick<ForeignServer, 'close'> & AsyncDisposable {
  const close = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };
  return { close, [Symbol.asyncDispose]: close };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 300 && child.exitCode === null; tries += 1) {
    const socket = connect(port, '127.0.0.1');
    const [event] = await Promise.race([
      once(socket, 'connect').then(() => ['connect']),
      once(socket, 'close').then(() => ['close']),
    ]).catch(() => ['close']);
    socket.destroy();
    if (event === 'connect') return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('pymodbus did not come up');
}
