import { systemClock } from '../../src/base/clock.ts';
import { createLogger, formatJson } from '../../src/base/logger.ts';
import { keepDoor } from '../../src/silo/process/server.ts';

/**
 * `merestone silo` with another silo behind its door: SOCKET GATEWAY-UID ENTRY PATIENCE (JSON). Its log is on its
 * standard output; SIGTERM ends it.
 */
const [listen, gatewayUid, entry, patience] = process.argv.slice(2) as [string, string, string, string];
const logger = createLogger((record) => process.stdout.write(formatJson(record, Date.now())), 'info');
const rogue = { entry: new URL(entry), patience: JSON.parse(patience) };
const door = await keepDoor(
  { listen, gatewayUid: () => Number(gatewayUid) },
  { clock: systemClock, logger, rogue },
);
logger.info('listening');
process.once('SIGTERM', () => void door.close());
