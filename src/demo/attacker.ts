import { readFile } from 'node:fs/promises';
import mqtt from 'mqtt';
import { systemClock } from '../base/clock.ts';
import { encodeBatch } from '../messages/telemetry.ts';
import { topicOf } from '../messages/topic.ts';
import { tenants } from './tenants.ts';
import type { Environment } from './environment.ts';

/** A local broker answers in milliseconds. */
const answerWithinMs = 5000;

/** `refused`: the broker closed the connection without an acknowledgement. `unanswered`: it was not there. */
export type Attempt = 'refused' | 'accepted' | 'unanswered';

/**
 * Attacks the tenants' isolation: with the first tenant's own certificate, it publishes a well-formed batch in the
 * second tenant's name to the second tenant's topic.
 */
export async function attack(environment: Environment): Promise<Attempt> {
  const [attacker, victim] = tenants;
  const { certificate, privateKey } = environment.pem(attacker.gateway);
  const client = mqtt.connect(`mqtts://localhost:${environment.broker.port}`, {
    protocolVersion: 4,
    clientId: 'attacker',
    cert: await readFile(certificate),
    key: await readFile(privateKey),
    ca: await readFile(environment.ca),
    reconnectPeriod: 0,
  });
  const forged = { device: 'forged', ts: systemClock.wallMs(), values: { power_total: -1 } };
  const key = { ...victim, epoch: '00000000000000000000000000', seq: 1 };
  const payload = encodeBatch(key, [JSON.stringify(forged)]);
  const answer = await new Promise<Attempt>((resolve) => {
    const cancel = systemClock.after(answerWithinMs, () => resolve('unanswered'));
    let sent = false;
    client.on('error', () => {});
    client.on('connect', () => {
      sent = true;
      client.publish(topicOf(victim, 'telemetry'), payload, { qos: 1 }, (error) => {
        if (!error) resolve('accepted');
      });
    });
    client.on('close', () => {
      cancel();
      resolve(sent ? 'refused' : 'unanswered');
    });
  });
  await client.endAsync(true);
  return answer;
}
