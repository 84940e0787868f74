import { isDeepStrictEqual } from 'node:util';
import { MerestoneError } from '../base/error.ts';
import type { CheckpointClaims } from '../messages/checkpoint.ts';
import { decodeClaims, decodeEvent, decodeProof } from '../messages/decoding.ts';
import type { EventProof, StreamEvent } from '../messages/event.ts';
import { checkpointBytesMax, proofBytesMax } from '../messages/document-limits.ts';
import type { Origin } from '../messages/topic.ts';
import { verifySigned, type Signed, type Signer, type Statement, type VouchFor } from './signature.ts';

/*
 * What a gateway states under its signature. Both functions take the origin that the topic names and
 * throw SignatureRefused, StreamInvalid or StreamForeign with the reason.
 */

export function verifyCheckpoint(
  origin: Origin,
  jws: Uint8Array | string,
  vouchFor: VouchFor,
  arrivedAt?: number,
): Promise<Signed<CheckpointClaims>> {
  const decode = (payload: Uint8Array): CheckpointClaims => decodeClaims(origin, payload);
  return verifySigned(
    jws,
    { decode, bytesMax: checkpointBytesMax, signedAt: ({ at }) => at },
    vouchFor,
    arrivedAt,
  );
}

/**
 * An event, and who signed it: no one if it brings no proof or `vouchFor` is not given. Undefined where
 * its kind is unknown. A proof that is not good, or about something else, refuses the event.
 */
export async function verifyEvent(
  origin: Origin,
  message: Uint8Array,
  vouchFor: VouchFor | undefined,
  arrivedAt?: number,
): Promise<{ event: StreamEvent; signer: Signer | undefined; clockWrong: boolean } | undefined> {
  const document = decodeEvent(origin, message);
  if (document === undefined) return undefined;
  const { proof, ...event } = document;
  if (proof === undefined || vouchFor === undefined) return { event, signer: undefined, clockWrong: false };
  const statement: Statement<EventProof> = {
    decode: (payload) => decodeProof(origin, payload),
    bytesMax: proofBytesMax,
    signedAt: ({ signedAt }) => signedAt,
  };
  const { claims, signer, clockWrong } = await verifySigned(proof, statement, vouchFor, arrivedAt);
  const { signedAt: _signedAt, ...proven } = claims;
  if (isDeepStrictEqual(proven, event)) return { event, signer, clockWrong };
  throw new MerestoneError('SignatureRefused', 'its proof is about something else');
}
