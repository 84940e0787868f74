/*
 * Every bound of every document of the stream, each with its reason. The schemas, config/asyncapi.yaml and
 * the consumer take them from here, and so does the gateway, which never makes what these refuse.
 */

/** Levels of objects and lists. A batch has 4 and an audit entry 4; more leaves room for members to come. */
export const depthMax = 16;

/** Digits in a row within a number: a double that is written out has at most 24, an exponent 3. */
export const digitsMax = 64;

/** One document: its bytes, the members or items of one object or list, and those of all of them. */
export interface DocumentLimits {
  bytesMax: number;
  itemsMax: number;
  elementsMax: number;
}

/** Values and qualities of a batch: each becomes a row, and 20,000 rows are 5 MB of output and 50 ms of one core. */
export const batchRowsMax = 20_000;
/** As `batch.samplesMax` may be at most. */
export const batchSamplesMax = 10_000;
/** Values of a sample: as many as a device may have points. */
export const samplePointsMax = 2000;
/** Characters of a text that a device answers: 125 registers, or 32 names of bits. */
export const valueTextMax = 4096;

/** Devices that a configuration may have. */
export const metaDevicesMax = 1000;
/** Points of all devices of a gateway: each is kept in memory with its unit. */
export const metaPointsMax = 20_000;
/** As a configuration may have it. */
export const unitTextMax = 32;

/** Names of devices, points and profiles: they become parts of file names and columns. */
export const nameTextMax = 256;
/** Reasons and other words for people, and versions; the gateway cuts longer ones. */
export const wordsTextMax = 2048;
/** A compact JWS over a checkpoint: 400 bytes of claims, and a chain of ten RSA certificates. */
export const checkpointBytesMax = 64 * 1024;
/** The signer's certificate and the CAs above it. */
export const certificatesMax = 10;
/** A compact JWS over an event, of which the longest is an audit entry with 100 changed keys. */
export const proofBytesMax = 256 * 1024;

export const documentLimits = {
  /** `batch.bytesMax` is at most 8 MB. This holds for the unpacked bytes, too. */
  telemetry: {
    bytesMax: 8 * 1024 * 1024,
    itemsMax: batchSamplesMax,
    elementsMax: 8 * batchSamplesMax + 2 * batchRowsMax,
  },
  meta: {
    bytesMax: 8 * 1024 * 1024,
    itemsMax: samplePointsMax,
    elementsMax: 8 * metaDevicesMax + 6 * metaPointsMax,
  },
  /** An event with its proof, which has the event in it. */
  event: { bytesMax: 512 * 1024, itemsMax: 1024, elementsMax: 4096 },
  checkpoint: { bytesMax: checkpointBytesMax, itemsMax: 64, elementsMax: 256 },
  status: { bytesMax: 16 * 1024, itemsMax: 64, elementsMax: 256 },
  /** A nonce of the gateway's own. */
  canary: { bytesMax: 1024, itemsMax: 0, elementsMax: 0 },
} as const satisfies Record<string, DocumentLimits>;

/** A PUBLISH with the longest payload, a topic and properties, of which we need no more than these. */
export const packetBytesMax = documentLimits.telemetry.bytesMax + 64 * 1024;
