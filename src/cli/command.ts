import type { CommandModule } from 'yargs';

/** What every command understands. */
export interface GlobalArguments {
  /** Path of the configuration file. */
  config: string;
  /** Standard output is one JSON document, or one a line for streams. */
  json: boolean;
}

/**
 * A command file's default export. Its handler writes results to standard output and everything else to
 * standard error, and throws a MerestoneError, whose exit code becomes the process's, or sets
 * `process.exitCode` itself.
 */
export type Command<Arguments = object> = CommandModule<GlobalArguments, GlobalArguments & Arguments>;
