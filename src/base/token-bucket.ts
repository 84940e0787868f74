/**
 * A token bucket in bytes. A message larger than what is there goes out all the same and leaves a debt that the
 * next ones wait for: so the rate holds over time whatever the size of a message. Pure; the caller keeps the value.
 */
export interface TokenBucket {
  readonly bytesPerSecond: number;
  /** Below zero: a debt. */
  readonly bytes: number;
  readonly atMs: number;
}

/** What may go at once after a silence: one second's worth. */
const burstSeconds = 1;

export function openBucket(bytesPerSecond: number, nowMs: number): TokenBucket {
  return { bytesPerSecond, bytes: bytesPerSecond * burstSeconds, atMs: nowMs };
}

/** How long the next message has to wait; 0: it may go now. */
export function waitMs(bucket: TokenBucket, nowMs: number): number {
  const { bytes, bytesPerSecond } = refill(bucket, nowMs);
  return bytes > 0 ? 0 : Math.ceil(((1 - bytes) / bytesPerSecond) * 1000);
}

export function spend(bucket: TokenBucket, bytes: number, nowMs: number): TokenBucket {
  const filled = refill(bucket, nowMs);
  return { ...filled, bytes: filled.bytes - bytes };
}

function refill(bucket: TokenBucket, nowMs: number): TokenBucket {
  const gained = (Math.max(0, nowMs - bucket.atMs) / 1000) * bucket.bytesPerSecond;
  const bytes = Math.min(bucket.bytes + gained, bucket.bytesPerSecond * burstSeconds);
  return { ...bucket, bytes, atMs: Math.max(nowMs, bucket.atMs) };
}
