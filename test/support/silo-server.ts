import { systemClock } from '../../src/base/clock.ts';
import { createLogger, formatJson } from '../../src/base/logger.ts';
import { serve } from '../../src/silo/process/server.ts';

/**
 * `merestone silo` with another silo behind its socket: SOCKET GATEWAY-UID ENTRY THRESHOLDS (JSON). Its log is on its
 * standard output; SIGTERM ends it.
 */
const [listen, gatewayUid, entry, thresholds] = process.argv.slice(2) as [string, string, string, string];
const logger = createLogger((record) => process.stdout.write(formatJson(record, Date.now())), 'info');
const rogue = { entry: new URL(entry), thresholds: JSON.parse(thresholds) };
const server = await serve(
  { listen, gatewayUid: () => Number(gatewayUid) },
  { clock: systemClock, logger, rogue },
);
logger.info('listening');
process.once('SIGTERM', () => void server.close());
