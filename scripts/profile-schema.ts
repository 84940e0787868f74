import { writeFileSync } from 'node:fs';
import { profileJsonSchema } from '../src/config/profile/profile-schema.ts';

// Regenerates config/profile.schema.json after a change of the profile schema; a test compares the two.
const file = new URL('../config/profile.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(profileJsonSchema(), null, 2)}\n`);
