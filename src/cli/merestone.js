#!/usr/bin/env node
// Plain JavaScript, so that a Node too old for the rest can still read why it is refused.
import { lack } from './needs.cjs';

const missing = lack();
if (missing !== undefined) {
  process.stderr.write(`merestone: ${missing}; run ./scripts/merestone, which finds the right one\n`);
  process.exit(69);
}
import('./main.ts').catch((error) => {
  process.stderr.write(`merestone: ${error instanceof Error ? error.stack : error}\n`);
  process.exitCode = 70;
});
