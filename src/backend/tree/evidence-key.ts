import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { MerestoneError } from '../../base/error.ts';

/** The key that signs tree heads: the one in `path`, made at the first use. Throws FileUnreadable. */
export function evidenceKey(path: string): KeyObject {
  try {
    if (!existsSync(path)) {
      const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
      writeFileSync(path, pem, { mode: 0o600, flag: 'wx', flush: true });
      chmodSync(path, 0o600);
    }
    const key = createPrivateKey(readFileSync(path));
    if (key.asymmetricKeyType === 'ed25519') return key;
    throw new Error(`it is ${key.asymmetricKeyType}, not Ed25519`);
  } catch (cause) {
    throw new MerestoneError('FileUnreadable', `no key for the evidence: ${(cause as Error).message}`, {
      subject: path,
      hint: 'give an Ed25519 key as --evidence-key (openssl genpkey -algorithm ed25519), or a place where one can be made',
      cause,
    });
  }
}
