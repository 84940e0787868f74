import type { ModbusClient } from './modbus-client.ts';

/** A device's own identification. */
export interface Identification {
  /** Objects of 43/14 by id: 0 vendor, 1 product code, 2 revision (Modbus V1.1b3 §6.21); text as Latin-1. */
  objects: ReadonlyMap<number, string>;
  /** The answer to Report Server ID (§6.13), whose content the vendor defines. */
  serverId: Uint8Array | null;
}

/** §6.21 lets a device spread its objects over several answers; none has more than a few. */
const answersMax = 16;
const moreFollows = 0xff;

/** Asks a unit for its identification: first by 43/14, then by 17. Null if it answers neither. */
export async function identify(
  client: ModbusClient,
  unitId: number,
  timeoutMs: number,
): Promise<Identification | null> {
  const objects = new Map<number, string>();
  let objectId = 0;
  for (let answers = 0; answers < answersMax; answers += 1) {
    const request = { functionCode: 43, readCode: 1, objectId } as const;
    const outcome = await client.transact({ unitId, request, timeoutMs });
    const page = outcome.kind === 'data' ? parseObjects(outcome.data) : null;
    if (page === null) break;
    for (const [id, text] of page.objects) objects.set(id, text);
    if (page.next === null || page.next <= objectId) break;
    objectId = page.next;
  }
  if (objects.size > 0) return { objects, serverId: null };
  const outcome = await client.transact({ unitId, request: { functionCode: 17 }, timeoutMs });
  return outcome.kind === 'data' ? { objects, serverId: outcome.data } : null;
}

/** The answer after its function code: MEI type, read code, conformity, more, next object, count, objects. */
export function parseObjects(data: Uint8Array): { objects: Map<number, string>; next: number | null } {
  const objects = new Map<number, string>();
  let at = 6;
  for (let count = data[5]!; count > 0; count -= 1) {
    const [id, length] = [data[at]!, data[at + 1]!];
    objects.set(id, Buffer.from(data.subarray(at + 2, at + 2 + length)).toString('latin1'));
    at += 2 + length;
  }
  return { objects, next: data[3] === moreFollows ? data[4]! : null };
}
