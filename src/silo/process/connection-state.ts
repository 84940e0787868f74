/** Where a connection of the gateway is in its life. */
export type ConnectionState =
  /** The gateway has not sent `start` yet: there is no isolate. */
  | 'waiting'
  | 'running'
  /** The gateway said `stop`. */
  | 'ending'
  /** The process was told to end, and waits for the gateway's last sample. */
  | 'leaving'
  /** The process was told to end, and the isolate to stop. */
  | 'stopping'
  /** The gateway is gone; the isolate stops. */
  | 'abandoned'
  /** The isolate is gone; what was said is still being sent. */
  | 'finishing'
  /** Both are gone. */
  | 'over';

export type ConnectionEvent =
  | 'start'
  | 'stop'
  /** The process is told to end. */
  | 'leave'
  /** The gateway did not say `stop` in time. */
  | 'silence'
  | 'disconnected'
  | 'isolate-ended';

export type ConnectionAction =
  | 'begin'
  | 'say-leaving'
  | 'say-stopped'
  | 'await-stop'
  | 'stop'
  /** Ends the isolate if it does not stop in time. */
  | 'limit'
  | 'finish'
  | 'report-end';

type Transition = readonly [ConnectionState, ...ConnectionAction[]];

/** What is not listed changes nothing. */
const transitions: Readonly<Record<ConnectionState, Partial<Record<ConnectionEvent, Transition>>>> = {
  waiting: {
    start: ['running', 'begin'],
    leave: ['finishing', 'say-leaving', 'say-stopped', 'finish'],
    disconnected: ['over', 'report-end'],
  },
  running: {
    stop: ['ending', 'stop'],
    leave: ['leaving', 'say-leaving', 'await-stop', 'limit'],
    disconnected: ['abandoned', 'stop', 'limit'],
    'isolate-ended': ['finishing', 'finish'],
  },
  ending: {
    leave: ['stopping', 'say-leaving', 'limit'],
    disconnected: ['abandoned', 'limit'],
    'isolate-ended': ['finishing', 'finish'],
  },
  leaving: {
    stop: ['stopping', 'stop'],
    silence: ['stopping', 'stop'],
    disconnected: ['abandoned', 'stop'],
    'isolate-ended': ['finishing', 'finish'],
  },
  stopping: { disconnected: ['abandoned'], 'isolate-ended': ['finishing', 'finish'] },
  abandoned: { 'isolate-ended': ['over', 'report-end'] },
  finishing: { disconnected: ['over', 'report-end'] },
  over: {},
};

export const connectionStates = Object.keys(transitions) as ConnectionState[];

/** The next state, and what to do on the way there. */
export function transition(state: ConnectionState, event: ConnectionEvent): Transition {
  return transitions[state][event] ?? [state];
}

/** Whether the isolate still takes what is recorded: after `stop` it reaches no log. */
export function takesRecords(state: ConnectionState): boolean {
  return state === 'running' || state === 'leaving';
}
