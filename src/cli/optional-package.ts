import { MerestoneError } from '../base/error.ts';

/**
 * Imports a module by `load` that needs an optional package. Throws PackageMissing if that is not installed.
 */
export async function withPackage<T>(name: string, what: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!isMissing(error, name)) throw error;
    throw new MerestoneError(
      'PackageMissing',
      `${what} needs the npm package '${name}', which is not installed`,
      {
        hint: `in the folder of Merestone: npm install --omit=dev --no-save ${name}`,
        cause: error,
      },
    );
  }
}

function isMissing(error: unknown, name: string): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ERR_MODULE_NOT_FOUND' && message.includes(`'${name}'`);
}
