import type { UplinkOptions } from './options.ts';
import { type OwnedOrigin, topicOf } from '../messages/topic.ts';
import type { Message } from './session.ts';
import type { PublishRequest } from './uplink.ts';

/** The MQTT message that a request becomes. */
export function messageOf(
  request: PublishRequest,
  origin: OwnedOrigin,
  protocol: UplinkOptions['protocol'],
): Message {
  const { channel, payload, retain = false, contentType, contentEncoding } = request;
  const topic = topicOf(origin, channel);
  if (protocol === '3.1.1') return { topic, payload, retain };
  const userProperties = {
    ...request.userProperties,
    ...(contentEncoding !== undefined && { 'content-encoding': contentEncoding }),
  };
  const properties = {
    // UTF-8, unless compressed [MQTT5 3.3.2.3.2].
    ...(contentEncoding === undefined && { payloadFormatIndicator: true }),
    ...(contentType !== undefined && { contentType }),
    // mqtt.js would never send a packet with an empty set of them, and not say so.
    ...(Object.keys(userProperties).length > 0 && { userProperties }),
  };
  return { topic, payload, retain, properties };
}

/** Bytes of the whole PUBLISH packet (MQTT 5, QoS 1), as a broker's maximum packet size counts them [MQTT5 3.3]. */
export function packetBytes({ topic, payload, properties }: Omit<Message, 'retain'>): number {
  const packetIdBytes = 2;
  const remaining = stringBytes(topic) + packetIdBytes + propertiesBytes(properties) + payload.length;
  return 1 + varintBytes(remaining) + remaining;
}

/** Of the properties that an uplink sends. */
function propertiesBytes(properties: Message['properties'] = {}): number {
  const { payloadFormatIndicator, contentType, userProperties = {} } = properties;
  let bytes = 0;
  if (payloadFormatIndicator !== undefined) bytes += 2;
  if (contentType !== undefined) bytes += 1 + stringBytes(contentType);
  for (const [name, value] of Object.entries(userProperties)) {
    bytes += 1 + stringBytes(name) + stringBytes(String(value));
  }
  return varintBytes(bytes) + bytes;
}

function stringBytes(text: string): number {
  return 2 + Buffer.byteLength(text);
}

function varintBytes(value: number): number {
  if (value < 128) return 1;
  if (value < 16_384) return 2;
  return value < 2_097_152 ? 3 : 4;
}
