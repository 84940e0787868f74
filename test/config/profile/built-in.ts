import { fileURLToPath } from 'node:url';

/** The folder of the profiles that ship with the program. */
export const builtInProfiles = fileURLToPath(new URL('../../../config/profiles', import.meta.url));
