import { dataBytes, type Request } from './pdu.ts';

/** A request whose answer may still come: an RTU answer says neither which request nor which register it is for. */
export interface Unanswered {
  functionCode: number;
  /** Data bytes that its answer would carry; 0 where it can't be known. */
  byteCount: number;
  /** When it was sent, monotonic ms; it also names the request. */
  askedAtMs: number;
  /** When it was given up. */
  givenUpAtMs: number;
}

/** By unit id. Belongs to the line, not to the port: a request from before a reopening may be answered after it. */
export type LateAnswers = Map<number, readonly Unanswered[]>;

/** No device answers after this long: it has forgotten, or was reset. */
const forgottenAfterMs = 10_000;

export function noteUnanswered(
  list: readonly Unanswered[],
  request: Request,
  askedAtMs: number,
  now: number,
): Unanswered[] {
  return [...stillPossible(list, now), { ...shapeOf(request), askedAtMs, givenUpAtMs: now }];
}

export function stillPossible(list: readonly Unanswered[], now: number): Unanswered[] {
  return list.filter(({ givenUpAtMs }) => now - givenUpAtMs < forgottenAfterMs);
}

function shapeOf(request: Request): { functionCode: number; byteCount: number } {
  const { functionCode } = request;
  if (functionCode === 17 || functionCode === 43) return { functionCode, byteCount: 0 };
  return { functionCode, byteCount: dataBytes(functionCode, request.quantity) };
}

/** Whether the answer to `request` can be told from every late one. */
export function isDistinct(list: readonly Unanswered[], request: Request): boolean {
  const shape = shapeOf(request);
  return !list.some(
    (other) => other.functionCode === shape.functionCode && other.byteCount === shape.byteCount,
  );
}

/**
 * The answers that may still come after an exception from the unit of `request`, the last one sent. A device answers in
 * order, but an exception does not tell its request: it settles the first that it can belong to, and all before that
 * one. The others, `request` included, stay open.
 */
export function afterException(
  list: readonly Unanswered[],
  request: Request,
  askedAtMs: number,
  now: number,
): Unanswered[] {
  const first = list.findIndex(({ functionCode }) => functionCode === request.functionCode);
  return noteUnanswered(list.slice(first + 1), request, askedAtMs, now);
}

/** Whether a late exception could be taken for the answer to `request`. */
export function isExceptionAmbiguous(list: readonly Unanswered[], request: Request): boolean {
  return list.some(({ functionCode }) => functionCode === request.functionCode);
}

/**
 * A request to the same place whose answer has a length that no late one has: once it is answered, all
 * before it are settled, because a device answers in order. Null for requests without a length of their own.
 */
export function distinctRequest(list: readonly Unanswered[], request: Request): Request | null {
  if (request.functionCode === 17 || request.functionCode === 43) return null;
  const step = request.functionCode <= 2 ? 8 : 1;
  const quantityMax = Math.min(request.functionCode <= 2 ? 2000 : 125, 0x10000 - request.address);
  for (let change = 1; change <= list.length + 1; change += 1) {
    for (const quantity of [request.quantity - change * step, request.quantity + change * step]) {
      const other = { ...request, quantity };
      if (quantity >= 1 && quantity <= quantityMax && isDistinct(list, other)) return other;
    }
  }
  return null;
}
