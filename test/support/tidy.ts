/** Words of this tree that a newcomer would have to look up, and the plain one for each. */

/** Words that no name may have as a part: `gateKeeper`, `#warden` and `old-seat.ts` are found. */
export const namesToAvoid: Readonly<Record<string, string>> = {
  adrift: 'disk',
  allowance: 'TokenBucket, Throttle or daily bytes',
  allowances: 'TokenBucket, Throttle or daily bytes',
  audience: 'backend',
  cast: 'tenants',
  condemn: 'terminate, or mark damaged',
  condemned: 'terminated, or marked damaged',
  contender: 'candidate',
  dial: 'connect',
  door: 'server',
  doorkeeper: 'server',
  draft: 'transaction, or temporary',
  envelope: 'telemetryMessage',
  gate: 'host',
  gathering: 'sampler',
  ground: 'disk',
  handover: 'sampleQueue',
  hurry: 'abort',
  intruder: 'attacker',
  knock: 'connect',
  lanes: 'leases',
  legacy: 'newEpoch',
  mad: 'faulty',
  outbox: 'eventQueue or sampleBuffer',
  pace: 'schedule',
  patience: 'limits or timeout',
  plague: 'fault',
  plagues: 'faults',
  portrait: 'siloStatus',
  possessed: 'faulty',
  ration: 'TokenBucket or Throttle',
  scene: 'model',
  seat: 'supervisor',
  slave: 'unit or server',
  stage: 'environment',
  stages: 'environments',
  stranger: 'peer',
  tricks: 'attacks',
  wall: 'isolation',
  walls: 'isolations',
  warden: 'watchdog',
  wish: 'candidate',
};

/** Names with such a part that say what they mean, each with its reason. */
export const namesAllowed: Readonly<Record<string, string>> = {
  SiloStranger: 'a published error code (702)',
  wallMs: 'wall clock, in milliseconds',
  lastWallMs: 'wall clock, in milliseconds',
  sinceWallMs: 'wall clock, in milliseconds',
  setWall: 'sets the wall clock of a test',
  WallClock: 'the clock on the wall',
};

/** Words that no comment, text, title or page may have. */
export const wordsToAvoid: Readonly<Record<string, string>> = {
  adrift: 'missing from its disk',
  audience: 'backend',
  condemn: 'terminate, or mark damaged',
  condemned: 'marked damaged',
  contender: 'candidate',
  contenders: 'candidates',
  doorkeeper: 'server',
  doorkeepers: 'servers',
  envelope: 'telemetry message',
  envelopes: 'telemetry messages',
  intruder: 'attacker',
  outbox: 'event queue or sample buffer',
  patience: 'limit or timeout',
  plague: 'fault',
  plagues: 'faults',
  portrait: 'silo status',
  possessed: 'faulty',
  seat: 'supervisor',
  seats: 'supervisors',
  slave: 'unit or server',
  wardens: 'watchdogs',
  'such as is': 'if present',
};

export interface Finding {
  path: string;
  found: string;
  instead: string;
}

function partsOf(name: string): string[] {
  return name.match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g) ?? [];
}

/** A declaration, a member, a private name; any name of several words is found wherever it stands. */
const declared =
  /\b(?:const|let|function|class|interface|type)\s+([\w$]+)|#([a-z]\w*)|^\s+(?:(?:readonly|static|async|get|set)\s+)*([\w$]+)\??[:(]|[({,]\s*([\w$]+)\??(?=\s*[:,)}=])|\b([a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*)\b/gm;

function withoutComments(source: string): string {
  return source.replaceAll(/\/\*.*?\*\//gs, '').replaceAll(/(?<![:'"`\\/])\/\/ .*/g, '');
}

function namesOf(source: string): Set<string> {
  const names = withoutComments(source).matchAll(declared);
  return new Set([...names].map((match) => match.slice(1).find((name) => name !== undefined)!));
}

function findingOf(path: string, name: string): Finding | undefined {
  if (name in namesAllowed) return undefined;
  const part = partsOf(name).find((word) => Object.hasOwn(namesToAvoid, word.toLowerCase()));
  if (part === undefined) return undefined;
  return { path, found: name, instead: namesToAvoid[part.toLowerCase()]! };
}

/** Names of files, types, functions and variables with a part that is to be avoided. */
export function nameFindings(sources: ReadonlyMap<string, string>): Finding[] {
  return [...sources].flatMap(([path, source]) => {
    const own = path.split('/').at(-1)!.replace(/\..*/, '');
    const names = path.endsWith('.ts') ? [own, ...namesOf(source)] : [own];
    return names.map((name) => findingOf(path, name)).filter((finding) => finding !== undefined);
  });
}

/** Words of prose that are to be avoided, each once a file. */
export function wordFindings(sources: ReadonlyMap<string, string>): Finding[] {
  const words = new RegExp(`(?<![\\w-])(?:${Object.keys(wordsToAvoid).join('|')})(?![\\w-])`, 'gi');
  return [...sources].flatMap(([path, source]) => {
    const found = new Set((source.match(words) ?? []).map((word) => word.toLowerCase()));
    return [...found].map((word) => ({ path, found: word, instead: wordsToAvoid[word]! }));
  });
}
