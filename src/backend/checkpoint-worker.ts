/** Writes the state's log back into its file in a thread of its own: the disk's sync may take its time there. */
import { parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';

/** A log of some megabytes is written back in less. */
const everyMs = 1000;

const database = new Database((workerData as { file: string }).file, { fileMustExist: true, timeout: 1000 });
database.pragma('synchronous = NORMAL');
const checkpoints = setInterval(() => database.pragma('wal_checkpoint(PASSIVE)'), everyMs);
parentPort!.once('message', () => {
  clearInterval(checkpoints);
  database.close();
});
