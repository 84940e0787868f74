import { type ErrorCode, MerestoneError } from '../base/error.ts';
import type { DeviceDescription } from '../reading/point.ts';
import type { Sample } from '../reading/sample.ts';

/**
 * The control socket speaks JSON, one document a line, both ways. Each request has an `id`, and every line
 * that answers it carries the same. A subscription answers with `result` once, then with `item`s until the
 * client hangs up; `lost` counts those that a slow reader missed.
 */
export interface ControlRequest {
  id: number;
  method: string;
  params?: unknown;
}

export type ControlReply =
  | { id: number | null; result: unknown }
  | { id: number | null; error: ControlError }
  | { id: number; item: unknown }
  | { id: number; lost: number };

export interface ControlError {
  code: ErrorCode;
  message: string;
  hint?: string;
  subject?: string;
  /** Where a configuration was refused. */
  faults?: ControlFault[];
}

/** One thing wrong in a file, with its place, counted from 1. */
export interface ControlFault {
  file: string;
  line: number;
  column: number;
  message: string;
  hint: string;
}

/** What became of a silo's quarantined batches: how many are back in line; null, and the reason, where it did nothing. */
export interface RetryResult {
  silo: string;
  batches: number | null;
  reason: string | null;
}

/** What `tail` shows: a sample, and which silo's device took it. */
export interface TailItem {
  silo: string;
  sample: Sample;
}

/** Which samples to show; absent: all. */
export interface TailFilter {
  silos?: string[];
  devices?: string[];
}

/** The devices of a silo, with their points and units. */
export interface SiloDevices {
  silo: string;
  devices: DeviceDescription[];
}

export function controlError(error: unknown): ControlError {
  if (!(error instanceof MerestoneError)) {
    return { code: 'Internal', message: error instanceof Error ? error.message : String(error) };
  }
  const { code, message, hint, subject } = error;
  const { faults } = error as { faults?: ControlFault[] };
  return {
    code,
    message,
    ...(hint !== undefined && { hint }),
    ...(subject !== undefined && { subject }),
    ...(faults !== undefined && { faults }),
  };
}
