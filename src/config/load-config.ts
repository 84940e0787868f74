import { deepFreeze } from '../base/deep-freeze.ts';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { z } from 'zod';
import { MerestoneError } from '../base/error.ts';
import type { DeviceOptions } from '../fieldbus/options.ts';
import { overloads } from '../fieldbus/overload.ts';
import type { Expansion } from './profile/expansion.ts';
import { deviceOptions, widthFault } from './device-options.ts';
import type { Element } from './element.ts';
import { faultAt, schemaFaults } from './yaml/schema-faults.ts';
import { formatFault } from './fault-line.ts';
import { interpret } from './interpret.ts';
import type { ConfigFault, GatewayOptions } from './options.ts';
import { expandProfiles } from './profile-expansion.ts';
import { relationFaults, type Sections } from './relations.ts';
import {
  type Config,
  configSchema,
  controlSchema,
  defaultControlSocket,
  defaultStateDir,
  elementSchemas,
  stateDirSchema,
} from './config-schema.ts';
import { parseSource, type Path, type Source } from './yaml/yaml-document.ts';
import { optionWarnings } from './warnings.ts';

/**
 * The room `config`: from the YAML file to the options that the rooms declare. `loadConfig` is the only way in; the
 * daemon (through `config-reader.ts`, in a process of its own), `check` and the other commands call it.
 *
 * 1. `yaml/` parses and remembers places, so that each fault is one line `FILE:LINE:COLUMN: what; what to do`.
 * 2. The schemas check each element by itself, `relations.ts` the elements against each other, `profile/` expands.
 * 3. `interpret.ts` makes options: paths absolute, times in ms, sizes in bytes; the result is frozen.
 *
 * A file with one fault yields no options at all. Nothing here reads a certificate or opens a port.
 */
export type LoadResult =
  | {
      options: GatewayOptions;
      /** Settings that may be unintended, one line each; one about a place in the file begins with that place. */
      warnings: string[];
      /**
       * A fault at the value of `path`, for a check that looks outside the file; `text` is `what is wrong; what to do`.
       */
      faultAt: (path: Path, text: string) => ConfigFault;
    }
  | { faults: ConfigFault[] };

/** A thousand devices with a hundred points each stay under this. */
const fileBytesMax = 4_000_000;
/** Enough to see what is wrong; more would scroll the first ones away. */
const faultsMax = 200;

/** Profiles that come with Merestone, then the user's own. */
const profileDirectoriesDefault = [
  path.join(import.meta.dirname, '../../config/profiles'),
  '/etc/merestone/profiles.d',
];

/**
 * The configuration in `file`, interpreted and frozen, or everything that is wrong with it, in the order of
 * the file. Throws FileNotFound, FileUnreadable or Io where the file itself cannot be read.
 */
export function loadConfig(file: string, profileDirectories?: readonly string[]): LoadResult {
  const absolute = path.resolve(file);
  return parseConfig(absolute, readConfig(absolute), profileDirectories);
}

/** The same for a text that is at hand; `file` is absolute, and relative paths count from its folder. */
export function parseConfig(
  file: string,
  text: string | Buffer,
  profileDirectories: readonly string[] = profileDirectoriesDefault,
): LoadResult {
  const source = parseSource(file, text);
  if (source.faults.length > 0) return { faults: source.faults };
  const value = withoutExtensions(source.value);
  const parsed = configSchema.safeParse(value, { error: () => '' });
  const issues = parsed.error?.issues ?? [];
  const sections = sectionsOf(file, value, issues);
  const { expansions, faults: profileFaults, warnings } = expandProfiles(sections, profileDirectories);
  const related = [...relationFaults(sections), ...profileFaults];
  const faults = [
    ...schemaFaults(file, source, configSchema, issues),
    ...related.map((fault) => faultAt(file, source, fault.path, fault.text)),
  ];
  if (parsed.success && faults.length === 0) {
    const devices = interpretDevices(file, source, parsed.data, expansions);
    for (const [index, device] of devices.entries()) {
      const fault = widthFault(device);
      if (fault) faults.push(faultAt(file, source, ['devices', index, 'registersMax'], fault));
    }
    const options = deepFreeze(interpret(file, parsed.data, devices));
    if (faults.length === 0) faults.push(...overloadFaults(options));
    if (faults.length === 0) {
      const placed = warnings.map(({ path: at, text: what }) => formatFault(faultAt(file, source, at, what)));
      return {
        options,
        warnings: [...placed, ...optionWarnings(options)],
        faultAt: (at, text) => faultAt(file, source, at, text),
      };
    }
  }
  faults.sort((a, b) => a.line - b.line || a.column - b.column);
  return { faults: faults.slice(0, faultsMax) };
}

/** Polling that the line can't carry even if every device answers at once. */
function overloadFaults({ file: own, buses, devices }: GatewayOptions): ConfigFault[] {
  return overloads(buses, devices).map(({ place, message, hint }) => {
    const [, file = own, line = '1', column = '1'] = /^(.*):(\d+):(\d+)$/.exec(place ?? '') ?? [];
    return { file, line: Number(line), column: Number(column), message, hint };
  });
}

/** Keys of the top level that begin with `x-` hold anchors and notes, and mean nothing by themselves. */
function withoutExtensions(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('x-')));
}

function interpretDevices(
  file: string,
  source: Source,
  { silos, devices }: Config,
  expansions: ReadonlyMap<number, Expansion>,
): DeviceOptions[] {
  return devices.map((device, index) =>
    deviceOptions(device, {
      silo: device.silo ?? silos[0]!.name,
      expansion: expansions.get(index),
      placeOf: (point) => {
        const at = point === undefined ? ['devices', index] : ['devices', index, 'points', point];
        const { line, column } = source.placeOf(at);
        return `${file}:${line}:${column}`;
      },
    }),
  );
}

/** Where the daemon of this configuration is reached, even if the file has faults by now. */
export function findControlSocket(file: string): string {
  const absolute = path.resolve(file);
  const { value } = parseSource(absolute, readConfig(absolute));
  return commonPaths(absolute, value).controlSocket;
}

/** The elements that their schema accepts: a faulty device hides no fault of another. */
function sectionsOf(file: string, value: unknown, issues: readonly z.core.$ZodIssue[]): Sections {
  const section = <Name extends keyof typeof elementSchemas>(name: Name) => {
    const raw: unknown = (value as Partial<Config> | null)?.[name];
    const elements: unknown[] = Array.isArray(raw) ? raw : [];
    const unsound = new Set(issues.filter(({ path: at }) => at[0] === name).map(({ path: at }) => at[1]));
    const sound = elements.flatMap((each, index) =>
      unsound.has(index) ? [] : [{ index, value: elementSchemas[name].parse(each) }],
    ) as Element<z.output<(typeof elementSchemas)[Name]>>[];
    const names = elements
      .map((each) => (each as { name?: unknown } | null)?.name)
      .filter((each) => typeof each === 'string');
    return { sound, names: new Set(names) };
  };
  const [silos, buses, devices] = [section('silos'), section('buses'), section('devices')];
  return {
    silos: silos.sound,
    buses: buses.sound,
    devices: devices.sound,
    siloNames: silos.names,
    busNames: buses.names,
    paths: commonPaths(file, value),
  };
}

/** As far as they are valid; the defaults replace the rest. */
function commonPaths(file: string, value: unknown): Sections['paths'] {
  const resolve = (text: string): string => path.resolve(path.dirname(file), text);
  const { stateDir, control } = (value ?? {}) as { stateDir?: unknown; control?: unknown };
  const { socket } = controlSchema.catch({ socket: defaultControlSocket }).parse(control ?? {});
  const common = stateDirSchema.catch(defaultStateDir).parse(stateDir);
  return { resolve, stateDir: resolve(common), controlSocket: resolve(socket) };
}

function readConfig(file: string): Buffer {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) {
      throw new MerestoneError('FileNotFound', 'is no regular file', {
        subject: file,
        hint: 'name a YAML file',
      });
    }
    if (stat.size > fileBytesMax) {
      throw new MerestoneError('ConfigInvalid', `has ${stat.size} bytes`, {
        subject: file,
        hint: `keep a configuration under ${fileBytesMax} bytes`,
      });
    }
    return readFileSync(file);
  } catch (error) {
    throw error instanceof MerestoneError ? error : unreadable(file, error as NodeJS.ErrnoException);
  }
}

function unreadable(file: string, error: NodeJS.ErrnoException): MerestoneError {
  const details = { subject: file, cause: error };
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
    return new MerestoneError('FileNotFound', 'there is no such file', {
      ...details,
      hint: 'name the configuration with --config FILE',
    });
  }
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new MerestoneError('FileUnreadable', 'may not be read', {
      ...details,
      hint: 'run as a user with that permission, or correct its mode',
    });
  }
  return new MerestoneError('Io', `cannot be read: ${error.message}`, { ...details, hint: 'check the disk' });
}
