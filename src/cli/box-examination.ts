import { accessSync, constants, existsSync, lstatSync, readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import { isLoopback } from '../base/loopback.ts';
import { isAnswered } from '../base/socket-probe.ts';
import type { GatewayOptions } from '../config/options.ts';

/**
 * Obstacles of this box to a valid configuration: folders that can't be written, sockets and ports in use. The check
 * writes, opens and binds nothing. It gives warnings, not faults, because `check` may run on another box or as another
 * user than the daemon, and a port may be free again when the daemon starts.
 */
export async function examineBox({ stateDir, control, http, silos }: GatewayOptions): Promise<string[]> {
  const folders: [key: string, folder: string][] = [['stateDir', stateDir]];
  for (const { name, spool, keyDirectory } of silos) {
    folders.push(
      [`silo '${name}': stateDir`, spool.directory],
      [`silo '${name}': spool.keyDir`, keyDirectory],
    );
  }
  folders.push(['control.socket', dirname(control.socket)]);
  if (http !== undefined && 'socket' in http) folders.push(['http.listen', dirname(http.socket)]);
  // A folder under several keys is reported once, under the first.
  const told = new Map<string, string>();
  for (const [key, folder] of folders) {
    const found = folderFault(folder);
    if (found !== undefined && !told.has(found.folder)) told.set(found.folder, `${key}: ${found.text}`);
  }
  const warnings = [...told.values(), ...socketFault('control.socket', control.socket)];
  // The port is then in use by our own daemon.
  const isRunning = await isAnswered(control.socket);
  if (http === undefined || isRunning) return warnings;
  if ('socket' in http) {
    const taken = (await isAnswered(http.socket)) ? [takenText(http.socket)] : [];
    return [...warnings, ...socketFault('http.listen', http.socket), ...taken];
  }
  return [
    ...warnings,
    ...addressFault(http),
    ...(isTaken(http) ? [takenText(`${http.host}:${http.port}`)] : []),
  ];
}

function takenText(where: string): string {
  return `http.listen: another program listens at ${where}; end it, or choose another address ('ss -ltnp' says which it is)`;
}

/** Checks the folder, or the nearest existing one above it, in which it would have to be made. */
function folderFault(folder: string): { folder: string; text: string } | undefined {
  const nearest = nearestThere(folder);
  const subject = nearest === folder ? folder : `${folder} cannot be made: ${nearest}`;
  if (!statSync(nearest).isDirectory()) {
    return { folder: nearest, text: `${subject} is no folder; move it away, or name another folder` };
  }
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const text =
      code === 'EROFS'
        ? `${subject} is on a disk that is read-only; mount it to be written, or name a folder elsewhere`
        : `${subject} may not be written by this user (${code}); chown it to the daemon's user, or ask as that one`;
    return { folder: nearest, text };
  }
}

function nearestThere(path: string): string {
  const parent = dirname(path);
  return parent === path || existsSync(path) ? path : nearestThere(parent);
}

function socketFault(key: string, path: string): string[] {
  let found;
  try {
    found = lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return []; // a file in place of a folder: reported above
  }
  if (found === undefined || found.isSocket()) return [];
  return [`${key}: ${path} is something else than a socket; move it away, or choose another path`];
}

function addressFault({ host }: { host: string }): string[] {
  if (isIP(host) === 0 || isLoopback(host) || isEveryAddress(host)) return [];
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  if (own.some(({ address }) => address === host)) return [];
  return [
    `http.listen: this box has no address ${host} now; correct it, or bring its network up before the daemon`,
  ];
}

function isEveryAddress(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** Whether a process listens there, by the kernel's tables (proc(5)): a try would have to listen itself. */
function isTaken({ host, port }: { host: string; port: number }): boolean {
  if (port === 0) return false;
  const wanted = host === 'localhost' ? ['127.0.0.1', '::1'] : [host];
  return listeners().some(
    (each) =>
      each.port === port &&
      (isEveryAddress(each.host) || wanted.some((name) => isEveryAddress(name) || name === each.host)),
  );
}

/** State of a socket that listens, `TCP_LISTEN` in the kernel's tcp_states.h. */
const listenState = '0A';

function listeners(): { host: string; port: number }[] {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => {
    if (!existsSync(table)) return [];
    const lines = readFileSync(table, 'utf8').trimEnd().split('\n').slice(1);
    return lines.flatMap((line) => {
      const [, local = '', , state] = line.trim().split(/\s+/);
      const [address = '', port = ''] = local.split(':');
      return state === listenState ? [{ host: hostOf(address), port: parseInt(port, 16) }] : [];
    });
  });
}

/** Words of 32 bits in the machine's own order, which is little-endian on x64 and arm64. */
function hostOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  for (let word = 0; word < bytes.length; word += 4) bytes.subarray(word, word + 4).reverse();
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.every((byte) => byte === 0)) return '::';
  if (bytes.subarray(0, 15).every((byte) => byte === 0) && bytes[15] === 1) return '::1';
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes.readUInt16BE(10) === 0xffff;
  return mapped ? bytes.subarray(12).join('.') : bytes.toString('hex');
}
