import path from 'node:path';
import { type Element, type RelationFault, repeated } from './element.ts';
import { keyDirectory, siloDirectory } from './interpret.ts';
import type { SiloConfig } from './silo-schema.ts';

/** What silos share with the rest of the file; absolute. */
export interface CommonPaths {
  stateDir: string;
  controlSocket: string;
  /** A path of the file → absolute. */
  resolve: (text: string) => string;
}

type Silo = Element<SiloConfig>;

/** sun_path of Linux has 108 bytes, the last one NUL (unix(7)). */
const socketPathBytesMax = 107;

/** Two silos must not share a key, certificate, socket or folder: either could then reach the other's data. */
export function siloFaults(silos: readonly Silo[], paths: CommonPaths): RelationFault[] {
  const { resolve } = paths;
  return [
    ...repeated(silos, ({ name }) => name).map(({ index, value, first }) => ({
      path: ['silos', index, 'name'],
      text: `silo '${value.name}' is named twice (also silos[${first.index}]); give each its own name`,
    })),
    ...repeated(silos, ({ identity }) => resolve(identity.privateKey)).map(({ index, first }) => ({
      path: ['silos', index, 'identity', 'privateKey'],
      text: `silo '${first.value.name}' has the same private key; give each silo its own: a shared key separates nothing`,
    })),
    ...repeated(silos, ({ identity }) => resolve(identity.certificate)).map(({ index, first }) => ({
      path: ['silos', index, 'identity', 'certificate'],
      text: `silo '${first.value.name}' has the same certificate; give each silo its own, or make them one silo`,
    })),
    ...silos.flatMap((silo) => socketFaults(silo, paths)),
    ...repeated(silos, ({ socket }) => socket && resolve(socket)).map(({ index, first }) => ({
      path: ['silos', index, 'socket'],
      text: `silo '${first.value.name}' has the same socket; give each its own: one socket cannot serve two silos`,
    })),
    ...repeated(silos, ({ spool }) => spool.keyDir && resolve(spool.keyDir)).map(({ index, first }) => ({
      path: ['silos', index, 'spool', 'keyDir'],
      text: `silo '${first.value.name}' has the same folder of keys; give each its own: a shared key separates nothing`,
    })),
    ...floorFaults(silos, paths),
    ...keyFaults(silos, paths),
  ];
}

function socketFaults({ index, value }: Silo, { resolve, controlSocket }: CommonPaths): RelationFault[] {
  const { socket, isolation } = value;
  if (socket === undefined) return [];
  const at = (text: string): RelationFault[] => [{ path: ['silos', index, 'socket'], text }];
  if (isolation === 'thread') {
    return at("'socket' is for isolation: process, and this silo is a thread; write both, or remove it");
  }
  const absolute = resolve(socket);
  if (absolute === controlSocket) return at("this is the daemon's own control socket; name another");
  const bytes = Buffer.byteLength(absolute);
  if (bytes <= socketPathBytesMax) return [];
  return at(`a socket's path has ${socketPathBytesMax} bytes at most, and this one ${bytes}; shorten it`);
}

/** Two silos with one state folder, or one within the other's. */
function floorFaults(silos: readonly Silo[], { stateDir, resolve }: CommonPaths): RelationFault[] {
  const floors = silos.map((silo) => ({ ...silo, floor: siloDirectory(silo.value, stateDir, resolve) }));
  return floors.flatMap((later, position) =>
    floors.slice(0, position).flatMap((earlier): RelationFault[] => {
      const blamed = later.value.stateDir === undefined ? earlier : later;
      const other = blamed === later ? earlier : later;
      // Two silos of one name have one folder, and are reported for their name.
      if (blamed.value.stateDir === undefined) return [];
      const relation = relationOf(blamed.floor, other.floor);
      if (relation === undefined) return [];
      const whose = `the state folder of silo '${other.value.name}' (${other.floor})`;
      const text = `this ${relation} ${whose}; give each its own: a shared folder separates nothing`;
      return [{ path: ['silos', blamed.index, 'stateDir'], text }];
    }),
  );
}

/** A copy of a folder of spools must not contain their keys. */
function keyFaults(silos: readonly Silo[], { stateDir, resolve }: CommonPaths): RelationFault[] {
  return silos.flatMap((silo) => {
    if (silo.value.spool.keyDir === undefined) return [];
    const folder = keyDirectory(silo.value, stateDir, resolve);
    const holder = silos.find(({ value }) => isWithin(folder, siloDirectory(value, stateDir, resolve)));
    if (holder === undefined) return [];
    const text = `this is in the state folder of silo '${holder.value.name}', beside what the key protects; name another place`;
    return [{ path: ['silos', silo.index, 'spool', 'keyDir'], text }];
  });
}

function relationOf(own: string, other: string): string | undefined {
  if (own === other) return 'is';
  if (isWithin(own, other)) return 'lies within';
  return isWithin(other, own) ? 'holds' : undefined;
}

function isWithin(inner: string, outer: string): boolean {
  const way = path.relative(outer, inner);
  return way !== '..' && !way.startsWith(`..${path.sep}`);
}
