export const registerTypes = [
  'bool',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'float32',
  'float64',
  'string',
  'bits',
  'bcd16',
  'bcd32',
] as const;
export type RegisterType = (typeof registerTypes)[number];

export type Order = 'big' | 'little';

/** The public description of a point (`meta` topic, `status`, consumer rows). */
export interface PointDescription {
  name: string;
  type: RegisterType;
  /** A code of RFC 8428's SenML units registry where one exists. */
  unit?: string;
  /** The plausible range, in the unit; an integer beyond 2^53 is a decimal string. */
  min?: number | string;
  max?: number | string;
}

/** The public description of a device. It names no bus: the data's owner need not know the wiring. */
export interface DeviceDescription {
  name: string;
  profile?: string;
  /** SHA-256 of the profile's text, hex. */
  profileSha256?: string;
  points: PointDescription[];
}
