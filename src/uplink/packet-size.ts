import type { IPublishPacket } from 'mqtt';

type PublishProperties = NonNullable<IPublishPacket['properties']>;

/** Bytes of the whole PUBLISH packet (QoS 1) on the wire, as a broker's maximum packet size counts them [MQTT5 3.3]. */
export function publishPacketBytes(
  topic: string,
  payloadBytes: number,
  properties: PublishProperties | undefined,
): number {
  const packetIdBytes = 2;
  const remaining = stringBytes(topic) + packetIdBytes + propertiesBytes(properties) + payloadBytes;
  return 1 + varintBytes(remaining) + remaining;
}

/** Only the properties that an uplink sends. MQTT 3.1.1 has none, and no maximum packet size either. */
function propertiesBytes(properties: PublishProperties = {}): number {
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
