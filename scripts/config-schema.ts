import { writeFileSync } from 'node:fs';
import { configJsonSchema } from '../src/config/config-schema.ts';

// Regenerates config/merestone.schema.json after a change of the configuration schema; a test compares the two.
const file = new URL('../config/merestone.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
