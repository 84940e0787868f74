import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { it } from 'node:test';
import fc from 'fast-check';
import type { IPublishPacket } from 'mqtt';
import { packetBytes } from '../../src/uplink/mqtt-message.ts';

const mqttPacket = createRequire(createRequire(import.meta.url).resolve('mqtt'))('mqtt-packet') as {
  generate(packet: IPublishPacket, options: { protocolVersion: number }): Buffer;
};

it('counts the bytes of a PUBLISH packet as mqtt.js writes them', () => {
  const text = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' });
  const properties = fc.record(
    {
      payloadFormatIndicator: fc.constant(true),
      contentType: text,
      userProperties: fc.dictionary(fc.stringMatching(/^[a-z]{1,20}$/), text, { minKeys: 1, maxKeys: 5 }),
    },
    { requiredKeys: [] },
  );
  // Around each length at which a variable byte integer grows.
  const sizes = fc.oneof(
    ...[0, 100, 128, 16_300, 16_384, 2_097_100].map((size) => fc.integer({ min: size, max: size + 80 })),
  );
  fc.assert(
    fc.property(text, sizes, fc.option(properties, { nil: undefined }), (topic, size, properties) => {
      const payload = Buffer.alloc(size);
      const packet = {
        cmd: 'publish',
        topic,
        payload,
        qos: 1,
        messageId: 7,
        dup: false,
        retain: false,
      } as const;
      const written = mqttPacket.generate(
        { ...packet, ...(properties && { properties }) },
        { protocolVersion: 5 },
      );
      assert.equal(packetBytes({ topic, payload, ...(properties && { properties }) }), written.length);
    }),
  );
});
