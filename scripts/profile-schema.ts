import { writeFileSync } from 'node:fs';
import { profileJsonSchema } from '../src/config/profile/profile-schema.ts';

// Writes config/profile.schema.json anew after a change of the profile schema; a test holds the two together.
const file = new URL('../config/profile.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(profileJsonSchema(), null, 2)}\n`);
