/**
 * The lifecycle of the connection to the broker. `reason` outlives the next attempt, so the status keeps saying what
 * was wrong until it is right.
 */
export type ConnectionState =
  /** TCP, TLS, CONNECT. */
  | { kind: 'connecting'; failures: number; reason: string | null }
  /** There is a session; it is not yet proved that it may write its own topics. */
  | { kind: 'proving'; failures: number; reason: string | null }
  | { kind: 'online'; failures: number; sinceMs: number }
  /** A pause before the next attempt. */
  | { kind: 'waiting'; failures: number; reason: string }
  /** What is in flight may settle; then the session is left in good order. */
  | { kind: 'ending'; next: 'connecting' | 'closed' }
  | { kind: 'ending'; next: 'held'; reason: string }
  /** No session is wanted until the credentials are renewed. */
  | { kind: 'held'; reason: string }
  | { kind: 'closed' };

export type ConnectionEvent =
  | { kind: 'connected' }
  | { kind: 'proved'; atMs: number }
  /** `useless`: nothing of the backlog was taken in this session. */
  | { kind: 'lost'; atMs: number; reason: string; useless?: boolean }
  | { kind: 'paused' }
  | { kind: 'renewed' }
  | { kind: 'held'; reason: string }
  | { kind: 'stopped' };

/** A session that lasted this long was a good one: the next failure is the first of a new series. */
export const stableMs = 10_000;

/** Of a session in which nothing was taken, this long: a site may have nothing to send. */
export const idleMs = 600_000;

/**
 * A session that ended sooner counts with the failures before it, up to this many: two gateways with one certificate
 * must not end each other’s session as fast as they can connect, and a broker that restarts twice is back soon.
 */
export const unstableFailuresMax = 4;

/** The state that follows; the same object where `event` means nothing in `state`. */
export function transition(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  switch (event.kind) {
    case 'connected':
      return state.kind === 'connecting' ? { ...state, kind: 'proving' } : state;
    case 'proved':
      if (state.kind !== 'proving') return state;
      return { kind: 'online', failures: state.failures, sinceMs: event.atMs };
    case 'lost':
      return afterLoss(state, event);
    case 'paused':
      return state.kind === 'waiting' ? { ...state, kind: 'connecting' } : state;
    case 'renewed':
      return afterRenewal(state);
    case 'held':
      return afterHold(state, event.reason);
    case 'stopped':
      if (state.kind === 'closed') return state;
      return holdsSession(state) ? { kind: 'ending', next: 'closed' } : { kind: 'closed' };
  }
}

function afterLoss(
  state: ConnectionState,
  { atMs, reason, useless }: ConnectionEvent & { kind: 'lost' },
): ConnectionState {
  switch (state.kind) {
    case 'connecting':
    case 'proving':
      return { kind: 'waiting', failures: state.failures + 1, reason };
    case 'online': {
      return { kind: 'waiting', failures: failuresAfter(state, atMs, useless === true), reason };
    }
    case 'ending':
      return afterEnding(state);
    case 'held':
    case 'waiting':
    case 'closed':
      return state;
  }
}

/** A session that took nothing is no better than none, unless it lasted so long that there was nothing to take. */
function failuresAfter(
  { failures, sinceMs }: ConnectionState & { kind: 'online' },
  atMs: number,
  useless: boolean,
): number {
  const lastedMs = atMs - sinceMs;
  if (lastedMs >= (useless ? idleMs : stableMs)) return 1;
  return useless ? failures + 1 : Math.min(failures + 1, unstableFailuresMax);
}

/** New credentials: they may cure what was wrong, so nothing waits. */
function afterRenewal(state: ConnectionState): ConnectionState {
  switch (state.kind) {
    case 'connecting':
    case 'waiting':
      return { kind: 'connecting', failures: 0, reason: state.reason };
    case 'held':
      return { kind: 'connecting', failures: 0, reason: null };
    case 'proving':
    case 'online':
      return { kind: 'ending', next: 'connecting' };
    case 'ending':
      return state.next === 'held' ? { kind: 'ending', next: 'connecting' } : state;
    case 'closed':
      return state;
  }
}

function afterHold(state: ConnectionState, reason: string): ConnectionState {
  switch (state.kind) {
    case 'connecting':
    case 'waiting':
      return { kind: 'held', reason };
    case 'proving':
    case 'online':
      return { kind: 'ending', next: 'held', reason };
    case 'ending':
      return state.next === 'connecting' ? { kind: 'ending', next: 'held', reason } : state;
    case 'held':
    case 'closed':
      return state;
  }
}

function afterEnding(state: ConnectionState & { kind: 'ending' }): ConnectionState {
  switch (state.next) {
    case 'closed':
      return { kind: 'closed' };
    case 'held':
      return { kind: 'held', reason: state.reason };
    case 'connecting':
      return { kind: 'connecting', failures: 0, reason: null };
  }
}

function holdsSession(state: ConnectionState): boolean {
  return state.kind === 'proving' || state.kind === 'online' || state.kind === 'ending';
}
