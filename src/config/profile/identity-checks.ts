import type { FrameIdentity, IdentityCheck, IdentityExpectation } from '../../fieldbus/options.ts';
import type { IdentifyCheckShape } from './modbus-schema.ts';
import { withSettings } from './profile.ts';
import { defined } from './protocol-schema.ts';
import type { ProfileShape } from './profile-schema.ts';

/** What a Modbus device of the profile is asked; codes first, because one is enough. */
export function identityChecks({ identify }: ProfileShape): IdentityCheck[] {
  const checks = Array.isArray(identify) ? identify.map(checkOf) : [];
  const isMeasured = ({ expects }: IdentityCheck): boolean => 'between' in expects;
  return [...checks.filter((check) => !isMeasured(check)), ...checks.filter(isMeasured)];
}

/** What the frames of a serial sensor of the profile tell. */
export function frameIdentity(
  { identify }: ProfileShape,
  settings: Readonly<Record<string, string>>,
): FrameIdentity | undefined {
  if (Array.isArray(identify)) return undefined;
  const shape = typeof identify === 'string' ? { pattern: identify, others: [] } : identify;
  return withSettings(shape, settings) as FrameIdentity;
}

function checkOf({ equals, oneOf, matches, between, ...asked }: IdentifyCheckShape): IdentityCheck {
  const expects = expectationOf({ equals, oneOf, matches, between });
  if ('object' in asked) return { by: 'object', object: asked.object, expects };
  return { by: 'registers', ...defined(asked), expects };
}

function expectationOf({
  equals,
  oneOf,
  matches,
  between,
}: Pick<IdentifyCheckShape, 'equals' | 'oneOf' | 'matches' | 'between'>): IdentityExpectation {
  if (matches !== undefined) return { matches };
  if (between !== undefined) return { between };
  return { oneOf: oneOf ?? [equals!] };
}
