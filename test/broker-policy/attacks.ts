import type { IClientOptions } from 'mqtt';
import type { Holder } from '../support/pki.ts';
import { until } from '../support/until.ts';
import type { Tenants } from './tenants.ts';
import { Party } from './party.ts';

/** A running broker and the holder of every certificate. */
export interface Environment extends Tenants {
  port: number;
  ca: string;
  protocolVersion: 4 | 5;
}

/** One way to another tenant’s data or connection. */
interface Attack {
  title: string;
  /** True if the broker stopped it. */
  isRefused(environment: Environment): Promise<boolean>;
}

const victimRoot = 't/acme/acme_gw-0001';
const globexRoot = 't/globex/globex_gw-0001';
const victimId = 'acme_gw-0001';
let marks = 0;
/** A payload that no one else has sent. */
const mark = (): string => `mark-${(marks += 1)}`;

async function enter(
  environment: Environment,
  who: Holder,
  clientId: string,
  options: IClientOptions = {},
): Promise<Party> {
  const party = await Party.connect(environment, who, { clientId, ...options });
  if (party === undefined) throw new Error(`${clientId} was not let in`);
  return party;
}

/** The backend, subscribed to all topics: the broker let through what reaches it. */
async function listen(environment: Environment): Promise<Party> {
  const backend = await enter(environment, environment.backend, 'backend');
  if (!(await backend.subscribe('t/+/+/+'))) throw new Error('the backend may not listen');
  return backend;
}

/** True if what `act` publishes to `topic`, given the payload to use, does not reach the backend. */
async function keepsOut(
  environment: Environment,
  topic: string,
  act: (payload: string, backend: Party) => Promise<void>,
): Promise<boolean> {
  using backend = await listen(environment);
  const forged = mark();
  await act(forged, backend);
  // A later message on the same path shows that the forged one is not still under way.
  using follower = await enter(environment, environment.acme2, 'acme_gw-0002');
  const last = mark();
  await follower.publish('t/acme/acme_gw-0002/event', last);
  await backend.receives(`t/acme/acme_gw-0002/event ${last}`);
  return !backend.arrived.includes(`${topic} ${forged}`);
}

/** True if the holder cannot publish to `topic`, connected or not. */
function cannotWrite(
  environment: Environment,
  who: Holder,
  topic: string,
  options: IClientOptions = {},
): Promise<boolean> {
  return keepsOut(environment, topic, async (payload) => {
    using thief = await Party.connect(environment, who, { clientId: 'thief', ...options });
    await thief?.publish(topic, payload);
  });
}

/** True if none of these subscriptions brings globex what acme publishes, retained or not. */
async function cannotRead(environment: Environment, filters: readonly string[]): Promise<boolean> {
  const [kept, fresh] = [mark(), mark()];
  using victim = await enter(environment, environment.acme1, victimId);
  await victim.publish(`${victimRoot}/status`, kept, true);
  using backend = await listen(environment);
  for (const filter of filters) {
    using thief = await enter(environment, environment.globex1, 'globex_gw-0001');
    await thief.subscribe(filter);
    await victim.publish(`${victimRoot}/telemetry`, fresh);
    await backend.receives(`${victimRoot}/telemetry ${fresh}`);
    await stillHears(thief);
    if (thief.arrived.some((line) => line.endsWith(` ${kept}`) || line.endsWith(` ${fresh}`))) return false;
  }
  return true;
}

/** Waits for its own canary to come back, behind which nothing older can be; false if the broker ended its connection. */
async function stillHears(thief: Party): Promise<boolean> {
  if (thief.ended || !(await thief.subscribe(`${globexRoot}/canary`))) return false;
  const last = mark();
  await thief.publish(`${globexRoot}/canary`, last);
  await until(() => thief.ended || thief.arrived.includes(`${globexRoot}/canary ${last}`), 'the canary');
  return !thief.ended;
}

const isKeptOut = async (environment: Environment, who: Holder): Promise<boolean> => {
  using thief = await Party.connect(environment, who, { clientId: 'thief' });
  return thief === undefined;
};

/** By the order of the table in docs/brokers.md. */
export const attacks = {
  anotherTenant: {
    title: "publish to another tenant's topic",
    isRefused: (environment) => cannotWrite(environment, environment.globex1, `${victimRoot}/telemetry`),
  },
  anotherGateway: {
    title: "publish to another gateway's topic of the same tenant",
    isRefused: (environment) => cannotWrite(environment, environment.acme2, `${victimRoot}/telemetry`),
  },
  ownRootElse: {
    title: 'publish below the own root, but to no topic of ours',
    isRefused: (environment) => cannotWrite(environment, environment.globex1, `${globexRoot}/command`),
  },
  userName: {
    title: 'claim the user name of another, without a password, with an empty one and with a guessed one',
    isRefused: async (environment) => {
      for (const username of [victimId, `CN=${victimId},O=acme`]) {
        for (const password of [undefined, '', 'guest']) {
          const claim = password === undefined ? { username } : { username, password };
          if (!(await cannotWrite(environment, environment.globex1, `${victimRoot}/telemetry`, claim)))
            return false;
        }
      }
      return true;
    },
  },
  clientIdWrite: {
    title: "publish to another's topic under its client id",
    isRefused: (environment) =>
      cannotWrite(environment, environment.globex1, `${victimRoot}/telemetry`, { clientId: victimId }),
  },
  clientIdKick: {
    title: "end another's session by connecting with its client id",
    isRefused: async (environment) => {
      using victim = await enter(environment, environment.acme1, victimId);
      using _thief = await Party.connect(environment, environment.globex1, { clientId: victimId });
      // A broker that ends it does so before or right after it lets the thief in.
      for (let tries = 20; tries > 0 && !victim.ended; tries -= 1) {
        await victim.publish(`${victimRoot}/event`, mark());
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return !victim.ended;
    },
  },
  clientIdInherit: {
    title: "take over the backend's sleeping session, and read what waits in it",
    isRefused: async (environment) => {
      const session: IClientOptions = {
        clean: false,
        ...(environment.protocolVersion === 5 && { properties: { sessionExpiryInterval: 600 } }),
      };
      const clientId = 'backend';
      const sleeper = await enter(environment, environment.backend, clientId, session);
      await sleeper.subscribe('t/+/+/telemetry');
      await sleeper.leave();
      using victim = await enter(environment, environment.acme1, victimId);
      const waiting = mark();
      await victim.publish(`${victimRoot}/telemetry`, waiting);
      let refused = true;
      {
        using thief = await Party.connect(environment, environment.globex1, { clientId, ...session });
        if (thief !== undefined && (await stillHears(thief))) {
          const fresh = mark();
          await victim.publish(`${victimRoot}/telemetry`, fresh);
          await stillHears(thief);
        }
        refused = !(thief?.arrived ?? []).some((line) => line.startsWith(victimRoot));
      }
      (await enter(environment, environment.backend, clientId, { clean: true })).client.end(true);
      return refused;
    },
  },
  wildcards: {
    title: "subscribe to another's topics, by name and by wildcards; read what they retain",
    isRefused: (environment) =>
      cannotRead(environment, [
        `${victimRoot}/telemetry`,
        `${victimRoot}/status`,
        `${victimRoot}/#`,
        't/+/+/telemetry',
        't/+/acme_gw-0001/status',
        't/#',
        '+/#',
        '#',
      ]),
  },
  shared: {
    title: "take a share of another's messages ($share)",
    isRefused: (environment) =>
      cannotRead(environment, [
        `$share/thieves/${victimRoot}/telemetry`,
        '$share/thieves/t/#',
        '$share/thieves/#',
      ]),
  },
  inside: {
    title: "look into the broker's own topics",
    isRefused: (environment) =>
      cannotRead(environment, [
        '$SYS/#',
        '$MQTT/#',
        '$MQTT/sub/#',
        '$MQTT/msgs/#',
        '$MQTT/rmsgs/#',
        '$JS/#',
        'amq/topic/#',
      ]),
  },
  will: {
    title: "leave a will on another's topic, and vanish",
    isRefused: (environment) =>
      keepsOut(environment, `${victimRoot}/status`, async (payload, backend) => {
        const will = {
          topic: `${victimRoot}/status`,
          payload: Buffer.from(payload),
          qos: 1 as const,
          retain: true,
        };
        using thief = await Party.connect(environment, environment.globex1, { clientId: 'thief', will });
        thief?.cut();
        // Its own will is allowed, and comes the same way; when it is there, the other one would be.
        const last = mark();
        const ownWill = {
          topic: `${globexRoot}/status`,
          payload: Buffer.from(last),
          qos: 1 as const,
          retain: true,
        };
        using second = await enter(environment, environment.globex1, 'globex_gw-0001', { will: ownWill });
        second.cut();
        await backend.receives(`${globexRoot}/status ${last}`);
      }),
  },
  retained: {
    title: "leave a retained message on another's topic",
    isRefused: async (environment) => {
      const forged = mark();
      {
        using thief = await Party.connect(environment, environment.globex1, { clientId: 'thief' });
        await thief?.publish(`${victimRoot}/meta`, forged, true);
      }
      using backend = await enter(environment, environment.backend, 'backend');
      await backend.subscribe(`${victimRoot}/meta`);
      using victim = await enter(environment, environment.acme1, victimId);
      const last = mark();
      await victim.publish(`${victimRoot}/meta`, last);
      await backend.receives(`${victimRoot}/meta ${last}`);
      return !backend.arrived.some((line) => line.endsWith(` ${forged}`));
    },
  },
  backendWrites: {
    title: "write to a gateway's topic as the backend",
    isRefused: async (environment) => {
      using backend = await listen(environment);
      const forged = mark();
      await backend.publish(`${victimRoot}/telemetry`, forged);
      if (backend.ended) return true;
      using follower = await enter(environment, environment.acme2, 'acme_gw-0002');
      const last = mark();
      await follower.publish('t/acme/acme_gw-0002/event', last);
      await until(
        () => backend.ended || backend.arrived.some((line) => line.endsWith(` ${last}`)),
        'the message behind it',
      );
      return !backend.arrived.some((line) => line.endsWith(` ${forged}`));
    },
  },
  unlisted: {
    title: 'come with a good certificate that the policy does not name',
    isRefused: (environment) => cannotWrite(environment, environment.acmeUnlisted, `${victimRoot}/telemetry`),
  },
  sameCommonName: {
    title: "come with another tenant's certificate of the same CN",
    isRefused: (environment) =>
      cannotWrite(environment, environment.sameCommonName, `${victimRoot}/telemetry`),
  },
  otherUser: {
    title: "come with another's name, by a CA that the broker does not trust",
    isRefused: (environment) => isKeptOut(environment, environment.otherUser),
  },
  forged: {
    title: "come with another's name, by one's own tenant's CA, which the broker trusts",
    isRefused: (environment) => cannotWrite(environment, environment.forged, `${victimRoot}/telemetry`),
  },
  forgedConstrained: {
    title: "… by one's own tenant's CA, held to its tenant by name constraints",
    isRefused: (environment) =>
      cannotWrite(environment, environment.forgedConstrained, `${victimRoot}/telemetry`),
  },
  expired: {
    title: 'come with a certificate past its time',
    isRefused: (environment) => isKeptOut(environment, environment.expired),
  },
  revoked: {
    title: 'come with a certificate on the revocation list',
    isRefused: (environment) => isKeptOut(environment, environment.revoked),
  },
} as const satisfies Record<string, Attack>;

export type AttackName = keyof typeof attacks;
export const attackNames = Object.keys(attacks) as AttackName[];

/** What has to work for the rest to mean anything: every topic of every gateway arrives, and its canary. */
export async function reachesOwnTopics(environment: Environment, who: Holder, root: string): Promise<void> {
  using backend = await listen(environment);
  using gateway = await enter(environment, who, root.split('/')[2]!);
  if (!(await gateway.subscribe(`${root}/canary`))) throw new Error('it may not listen to its own canary');
  for (const channel of ['telemetry', 'status', 'meta', 'event', 'checkpoint', 'canary']) {
    const payload = mark();
    await gateway.publish(`${root}/${channel}`, payload, ['status', 'meta', 'checkpoint'].includes(channel));
    await backend.receives(`${root}/${channel} ${payload}`);
    if (channel === 'canary') await gateway.receives(`${root}/canary ${payload}`);
  }
}
