import type { KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Origin } from '../../messages/topic.ts';
import { readLines } from '../evidence-reader.ts';
import { monthKind, publicKeysName } from '../evidence.ts';
import { headsName } from './gateway-tree.ts';
import { readHeads } from './head-file.ts';
import { HeadList } from './head-list.ts';
import { isEdge, RightEdge } from './merkle-tree.ts';
import { rawKey } from './signed-note.ts';
import { TreeCheck } from './tree-check.ts';
import { gatewayOf, originOf } from './tree-head.ts';

export interface EvidenceCheckOptions {
  folder: string;
  tenant: string;
  /** How the origins of its trees begin. */
  log: string;
  /** A file of heads from elsewhere. */
  heads: string | undefined;
  /** The only keys that may have signed; undefined: those that `heads` names, or else the folder. */
  keys: readonly KeyObject[] | undefined;
  /** Months before this one (2026-09) were removed on purpose. */
  removedBefore?: string | undefined;
}

/** What the heads say of one gateway's lines. */
export interface TreeReport {
  gateway: string;
  lines: number;
  /** Of these, under a signed head. */
  signed: number;
  /** Of these, in files that were removed on purpose. */
  removed: number;
}

/** What is left to see where there is nothing from elsewhere. */
const unseen = [
  'without --heads: lines that were cut off together with their heads, a gateway’s folder that was removed, and a folder that was set back as a whole',
];

/** Holds a tenant's evidence against its signed heads: those that lie in it, and those that were kept elsewhere. */
export class EvidenceCheck {
  readonly faults: string[] = [];
  readonly trees: TreeReport[] = [];
  readonly cannotSee: string[];
  readonly #options: EvidenceCheckOptions;
  readonly #elsewhere = new Map<string, HeadList>();
  readonly #keys: readonly KeyObject[];

  /** Throws FileNotFound. */
  constructor(options: EvidenceCheckOptions) {
    const { heads, keys, folder } = options;
    this.#options = options;
    const named = heads === undefined ? [] : this.#readElsewhere(heads);
    const own = keysIn(join(folder, publicKeysName));
    this.#keys = keys ?? (heads === undefined ? own : named);
    this.cannotSee = heads === undefined ? [...unseen] : [];
    if (heads === undefined && keys === undefined && own.length > 0) {
      this.cannotSee.push('without --heads and --key: whether the key that signed is the backend’s');
    }
    this.#compareKeys(own);
    for (const [gateway, list] of this.#elsewhere) this.#judge(gateway, list);
  }

  /** Gateways of which heads were kept elsewhere. */
  get gateways(): string[] {
    return [...this.#elsewhere.keys()];
  }

  /** The check of one gateway's lines, which is to be given to `end`. */
  begin(gateway: string): TreeCheck {
    const { folder, tenant } = this.#options;
    const own = this.#readOwn(join(folder, tenant, gateway, headsName), gateway);
    const elsewhere = this.#elsewhere.get(gateway)?.heads ?? [];
    if (elsewhere.length > 0 && own.length === 0 && existsSync(join(folder, tenant, gateway))) {
      this.faults.push(`${tenant}/${gateway}: its own heads are gone from the folder`);
    }
    const heads = [...elsewhere, ...own].sort((a, b) => a.head.size - b.head.size);
    return new TreeCheck(`${tenant}/${gateway}`, heads, this.#beginOf({ tenant, gateway }));
  }

  /** How far the tree was before the first file that is there, where those before it may be gone. */
  #beginOf(origin: Origin): RightEdge | undefined {
    const { folder, removedBefore } = this.#options;
    if (removedBefore === undefined || !existsSync(join(folder, origin.tenant, origin.gateway)))
      return undefined;
    const [first] = readLines(folder, origin);
    if (first?.kind !== 'line' || !('finding' in first.line)) return undefined;
    const { kind, previous, lines, roots } = first.line.finding;
    const isRemoved = kind === monthKind && typeof previous === 'string' && previous < removedBefore;
    if (!isRemoved || !Array.isArray(roots)) return undefined;
    const hashes = roots.map((root) => Buffer.from(String(root), 'base64'));
    return isEdge(Number(lines), hashes) ? new RightEdge(Number(lines), hashes) : undefined;
  }

  end(gateway: string, check: TreeCheck): void {
    check.end();
    this.faults.push(...check.faults);
    this.trees.push({ gateway, lines: check.lines, signed: check.signed, removed: check.removed });
  }

  #readElsewhere(path: string): KeyObject[] {
    const keys: KeyObject[] = [];
    for (const record of readHeads(path)) {
      if (record.kind === 'key') keys.push(record.publicKey);
      if (record.kind !== 'head') continue;
      const gateway = this.#gatewayOf(record.head.origin);
      if (gateway === undefined) continue;
      const list = this.#elsewhere.get(gateway) ?? new HeadList();
      this.#elsewhere.set(gateway, list);
      list.add(record);
    }
    return distinct(keys);
  }

  #readOwn(path: string, gateway: string) {
    if (!existsSync(path)) return [];
    const list = new HeadList();
    for (const record of readHeads(path)) {
      if (record.kind === 'head' && this.#gatewayOf(record.head.origin) === gateway) list.add(record);
    }
    this.#judge(gateway, list);
    return list.heads;
  }

  #judge(gateway: string, list: HeadList): void {
    const who = `${this.#options.tenant}/${gateway}`;
    this.faults.push(...list.faults.map((fault) => `${who}: ${fault}`));
    const [first, ...more] = list.removeUnsigned(this.#keys);
    if (first === undefined) return;
    const others = more.length === 0 ? '' : ` and ${more.length} more`;
    this.faults.push(`${who}: a head is not signed by the backend’s key (${first}${others})`);
  }

  #compareKeys(own: readonly KeyObject[]): void {
    const trusted = new Set(this.#keys.map(hex));
    const { folder, heads, keys } = this.#options;
    if (heads === undefined && keys === undefined) return;
    if (own.every((key) => trusted.has(hex(key)))) return;
    this.faults.push(`${join(folder, publicKeysName)} names a key that is not the backend’s`);
  }

  #gatewayOf(origin: string): string | undefined {
    const { log, tenant } = this.#options;
    const place = gatewayOf(origin);
    if (place === undefined || place.tenant !== tenant || origin !== originOf(log, place)) return undefined;
    return place.gateway;
  }
}

function keysIn(path: string): KeyObject[] {
  if (!existsSync(path)) return [];
  return distinct(
    [...readHeads(path)].flatMap((record) => (record.kind === 'key' ? [record.publicKey] : [])),
  );
}

function distinct(keys: readonly KeyObject[]): KeyObject[] {
  return [...new Map(keys.map((key) => [hex(key), key])).values()];
}

function hex(key: KeyObject): string {
  return rawKey(key).toString('hex');
}
