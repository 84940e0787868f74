import { formatBytes } from '../../base/quantity.ts';
import type { QuotaName, QuotaStatus } from '../status.ts';

interface QuotaText {
  name: string;
  show: (value: number) => string;
  consequence: string;
  remedy: string;
}

const words: Record<QuotaName, QuotaText> = {
  'samples-per-second': {
    name: 'samples a second',
    show: (value) => Math.round(value).toLocaleString('en'),
    consequence: 'what is over it is dropped',
    remedy: "read less often ('every'), or raise quota.samplesPerSecond",
  },
  'uplink-bytes-per-day': {
    name: 'bytes sent today (UTC)',
    show: formatBytes,
    consequence: 'batches wait on disk until tomorrow',
    remedy: "read less often ('every'), compress, or raise quota.uplinkBytesPerDay",
  },
  'spool-bytes': {
    name: 'spool',
    show: formatBytes,
    consequence: 'it gives up data, see spool.whenFull',
    remedy: 'bring the uplink back, or raise spool.bytesMax if the disk has room',
  },
  'bus-share': {
    name: 'share of a bus',
    show: percent,
    consequence: 'its devices are read less often',
    remedy: "read them less often ('every'), or raise quota.busShare",
  },
  'cpu-share': {
    name: 'share of a core',
    show: percent,
    consequence: 'the backlog waits, then samples are dropped',
    remedy: "read less often ('every'), or raise quota.cpuShare",
  },
};

/** A daemon of another version may have quotas that this one does not know. */
export function quotaText(quota: QuotaStatus['quota']): QuotaText {
  if (Object.hasOwn(words, quota)) return words[quota];
  return {
    name: quota,
    show: String,
    consequence: 'it limits the silo',
    remedy: 'raise it, or use less',
  };
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
