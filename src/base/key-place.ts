/**
 * Where the key is that opens a spool, seen from the spool: in a systemd credential, on another disk, on the same
 * disk, or in the spool's own folder still.
 */
export const spoolKeyPlaces = ['credential', 'other-disk', 'same-disk', 'spool-folder'] as const;

export type SpoolKeyPlace = (typeof spoolKeyPlaces)[number];

/** What it means, and what to do; undefined if nothing needs to be done. */
export function meaningOfKeyPlace(place: SpoolKeyPlace): string | undefined {
  switch (place) {
    case 'spool-folder':
      return "the key to the spool is in the spool's own folder: a copy of that folder opens it; start the daemon, which moves the key";
    case 'same-disk':
      return 'the key to the spool is a file on the same disk: a copy of the whole disk opens it; seal it with scripts/seal-key where systemd runs Merestone, or give spool.keyDir on another disk (docs/identity.md)';
    case 'credential':
    case 'other-disk':
      return undefined;
  }
}
