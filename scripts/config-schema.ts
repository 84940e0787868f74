import { writeFileSync } from 'node:fs';
import { configJsonSchema } from '../src/config/config-schema.ts';

// Writes config/merestone.schema.json anew after a change of the configuration schema; a test holds the two together.
const file = new URL('../config/merestone.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
