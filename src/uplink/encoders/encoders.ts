import type { OwnedOrigin } from '../../messages/topic.ts';
import type { UplinkOptions } from '../options.ts';
import type { Encoder } from './encoder.ts';
import { JsonEncoder } from './json-encoder.ts';

/** Every encoding: a new one is a file with its encoder, and a line here. */
const encoders: Record<
  UplinkOptions['encoding'],
  new (
    origin: OwnedOrigin,
    options: UplinkOptions,
  ) => Encoder
> = {
  json: JsonEncoder,
};

export function createEncoder(origin: OwnedOrigin, options: UplinkOptions): Encoder {
  return new encoders[options.encoding](origin, options);
}
