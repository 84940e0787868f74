/** Writes the state's log back into its file in a thread of its own: the disk's sync may take its time there. */
import { parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { systemClock, type Cancel } from '../base/clock.ts';

/** A log of some megabytes is written back in less. */
const everyMs = 1000;

const database = new Database((workerData as { file: string }).file, { fileMustExist: true, timeout: 1000 });
database.pragma('synchronous = NORMAL');
let cancel: Cancel;
const next = (): void => {
  cancel = systemClock.after(everyMs, () => {
    database.pragma('wal_checkpoint(PASSIVE)');
    next();
  });
};
next();
parentPort!.once('message', () => {
  cancel();
  database.close();
});
