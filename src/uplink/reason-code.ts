import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Of the packet parser, which has no types for them. */
const constants = require('mqtt-packet/constants.js') as Record<
  'MQTT5_PUBACK_PUBREC_CODES' | 'MQTT5_DISCONNECT_CODES',
  Record<number, string>
>;

/** MQTT 5 reason codes that a broker may answer with, in words [MQTT5 2.4]. */
const words: Record<number, string> = {
  0x00: 'normal disconnection',
  0x80: 'unspecified error',
  0x81: 'malformed packet',
  0x82: 'protocol error',
  0x83: 'against a rule of this broker',
  0x84: 'protocol version not supported',
  0x85: 'client identifier not valid',
  0x86: 'bad user name or password',
  0x87: 'not authorized',
  0x88: 'server unavailable',
  0x89: 'server busy',
  0x8a: 'banned',
  0x8b: 'server shutting down',
  0x8c: 'bad authentication method',
  0x8d: 'keep alive timeout',
  0x8e: 'session taken over',
  0x90: 'topic name invalid',
  0x91: 'packet identifier in use',
  0x93: 'receive maximum exceeded',
  0x95: 'packet too large',
  0x96: 'message rate too high',
  0x97: 'quota exceeded',
  0x98: 'administrative action',
  0x99: 'payload format invalid',
  0x9a: 'retained messages not supported',
  0x9b: 'QoS not supported',
  0x9c: 'use another server',
  0x9d: 'server moved',
  0x9f: 'connection rate exceeded',
  0xa0: 'maximum connect time',
};

export const success = 0x00;
export const noMatchingSubscribers = 0x10;
export const packetTooLarge = 0x95;

// A broker may answer by any of them: Mosquitto does with 0x95 where a PUBLISH is over its `message_size_limit`, which
// MQTT knows of DISCONNECT alone [MQTT5 3.4.2.1]. The parser would take that for no MQTT, and end session after session.
for (const table of [constants.MQTT5_PUBACK_PUBREC_CODES, constants.MQTT5_DISCONNECT_CODES]) {
  for (const [code, text] of Object.entries(words)) table[Number(code)] ??= text;
}

/** `not authorized (0x87)`. */
export function describeReasonCode(reasonCode: number): string {
  const hex = `0x${reasonCode.toString(16).padStart(2, '0')}`;
  return `${words[reasonCode] ?? 'no reason that MQTT knows'} (${hex})`;
}
