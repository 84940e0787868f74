import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const exampleFolder: string = path.join(import.meta.dirname, '../../config');

/** The files of config/ that are configurations: they name the schema for editors. */
export const exampleNames: string[] = readdirSync(exampleFolder)
  .filter((name) => name.endsWith('.yaml'))
  .filter((name) =>
    readFileSync(path.join(exampleFolder, name), 'utf8').includes('=./merestone.schema.json'),
  );
