import { sign } from 'node:crypto';
import { readElement, readElements, Tag } from '../../src/identity/der.ts';
import { der, type Holder } from './pki.ts';

/** Numbers of the parts of a version 3 certificate's inside (RFC 5280 §4.1), as `rewrite` gives them. */
export const Part = {
  Version: 0,
  Serial: 1,
  Algorithm: 2,
  Issuer: 3,
  Validity: 4,
  Subject: 5,
  Extensions: 7,
};

/** The certificate with the parts of its inside changed, and signed again by `signer` without any check. */
export function rewrite(original: Buffer, signer: Holder, change: (parts: Buffer[]) => Buffer[]): Buffer {
  const [tbs, algorithm] = readElements(readElement(original, Tag.Sequence).content);
  const parts = readElements(tbs!.content).map(({ encoding }) => encoding);
  const changed = der(0x30, ...change(parts));
  const signature = sign('sha256', changed, signer.privateKeyPem);
  return der(0x30, changed, algorithm!.encoding, der(0x03, Buffer.from([0]), signature));
}

/** The same for its extensions, DER each. */
export function rewriteExtensions(
  original: Buffer,
  signer: Holder,
  change: (extensions: Buffer[]) => Buffer[],
): Buffer {
  return rewrite(original, signer, (parts) => {
    const [list] = readElements(readElements(parts[Part.Extensions]!)[0]!.content);
    const extensions = readElements(list!.content).map(({ encoding }) => encoding);
    return parts.with(Part.Extensions, der(0xa3, der(0x30, ...change(extensions))));
  });
}

/** With the extension 2.5.29.`number` in place of what it had of that name, or beside what it has. */
export function withExtension(original: Buffer, signer: Holder, number: number, value: Buffer): Buffer {
  const id = der(0x06, Buffer.from([0x55, 0x1d, number]));
  return rewriteExtensions(original, signer, (extensions) => [
    ...extensions.filter((each) => !readElement(each, Tag.Sequence).content.subarray(0, 5).equals(id)),
    der(0x30, id, ...(number === 30 ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value)),
  ]);
}
