import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { MerestoneError } from '../../base/error.ts';

/** What stays the same when a USB adapter is pulled out and put back. */
export interface AdapterIdentity {
  vendorId: string;
  productId: string;
  /** Null for adapters without one (CH340): those are known by their USB port. */
  serial: string | null;
  /** Adapters with several lines have one interface for each. */
  interface: string;
  /** USB bus and ports on the path, e.g. `1-1.4:1.0`. */
  socket: string;
}

export interface Roots {
  sys: string;
  dev: string;
}

/** The USB adapter that now has a tty name; null for other ttys (on-board UART, PTY). */
export function identifyAdapter(tty: string, sysRoot: string): AdapterIdentity | null {
  const link = join(sysRoot, 'class/tty', tty, 'device');
  if (!existsSync(link)) return null;
  let folder = realpathSync(link);
  while (!existsSync(join(folder, 'bInterfaceNumber'))) {
    if (folder === dirname(folder)) return null;
    folder = dirname(folder);
  }
  const device = dirname(folder);
  const read = (name: string): string | null => {
    const path = join(device, name);
    return existsSync(path) ? readFileSync(path, 'utf8').trim() : null;
  };
  return {
    vendorId: read('idVendor') ?? '',
    productId: read('idProduct') ?? '',
    serial: read('serial'),
    interface: readFileSync(join(folder, 'bInterfaceNumber'), 'utf8').trim(),
    socket: basename(folder),
  };
}

export function isSameAdapter(a: AdapterIdentity, b: AdapterIdentity): boolean {
  const sameModel = a.vendorId === b.vendorId && a.productId === b.productId;
  if (!sameModel || a.interface !== b.interface) return false;
  return a.serial === null && b.serial === null ? a.socket === b.socket : a.serial === b.serial;
}

/**
 * Finds the path to open for a configured port, over replugging: a link in /dev/serial follows by
 * itself; for a plain name such as /dev/ttyUSB0 it searches the adapter that was first opened under
 * it, and takes no other one that got the name meanwhile.
 */
export class AdapterLocator {
  readonly #port: string;
  readonly #roots: Roots;
  #known: AdapterIdentity | null = null;

  constructor(port: string, roots: Roots) {
    this.#port = port;
    this.#roots = roots;
  }

  /** Throws PortUnavailable if the adapter is absent. */
  locate(): string {
    const known = this.#known;
    const present = existsSync(this.#port);
    if (known === null) {
      if (present) return this.#port;
      throw new MerestoneError('PortUnavailable', `${this.#port} is not there`, {
        hint: 'plug the adapter in, or look in /dev/serial/by-id for its name',
        retryable: true,
      });
    }
    const named = present ? identifyAdapter(basename(realpathSync(this.#port)), this.#roots.sys) : null;
    if (named && isSameAdapter(named, known)) return this.#port;
    const tty = readdirSync(join(this.#roots.sys, 'class/tty')).find((name) => {
      const other = identifyAdapter(name, this.#roots.sys);
      return other !== null && isSameAdapter(other, known);
    });
    if (tty !== undefined) return join(this.#roots.dev, tty);
    const which =
      known.serial === null ? `in USB socket ${known.socket}` : `with serial number ${known.serial}`;
    throw new MerestoneError('PortUnavailable', `the adapter ${which} is not plugged in`, {
      hint: 'put it back: it is found again under any name',
      retryable: true,
    });
  }

  /** Remembers the adapter behind a path that was opened. Returns whether it is a USB adapter. */
  remember(path: string): boolean {
    const identity = identifyAdapter(basename(realpathSync(path)), this.#roots.sys);
    this.#known ??= identity;
    return identity !== null;
  }
}
