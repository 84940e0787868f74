import type { Cancel, Clock } from '../../base/clock.ts';
import { offlineReason, type Port } from '../port/port.ts';
import type { ModbusClient, Outcome, StrayListener, Transaction } from './client.ts';
import { encodeMbap, takeMbapFrame } from './mbap.ts';
import { parseAnswer, type Request } from './pdu.ts';

/**
 * A connection may be half open where so many requests in a row go unanswered, all to units that did answer on it:
 * it is made anew. A unit that was never heard says nothing about the connection.
 */
const silentRequestsMax = 3;

interface Pending {
  unitId: number;
  request: Request;
  sentAt: number;
  cancel: Cancel;
  settle(outcome: Outcome): void;
}

export interface TcpDependencies {
  clock: Clock;
  onStray: StrayListener;
}

/**
 * Modbus TCP over a port, up to `pipeline` requests in flight. Transaction ids tell the answers apart;
 * one is used again only after 65,535 others, so a late answer finds nobody waiting for it.
 */
export function createTcpClient(port: Port, pipeline: number, dependencies: TcpDependencies): ModbusClient {
  const { clock, onStray } = dependencies;
  const pending = new Map<number, Pending>();
  let lastId = 0;
  let silent = 0;
  const heard = new Set<number>();
  let rest: Uint8Array = new Uint8Array(0);

  const finish = (transactionId: number, outcome: Outcome): void => {
    const transaction = pending.get(transactionId);
    if (!transaction) return;
    pending.delete(transactionId);
    transaction.cancel();
    transaction.settle(outcome);
  };

  const accept = (transactionId: number, unitId: number, pdu: Uint8Array): void => {
    silent = 0;
    heard.add(unitId);
    const transaction = pending.get(transactionId);
    if (!transaction) return onStray(unitId, 'late');
    if (unitId !== transaction.unitId) return finish(transactionId, { kind: 'fault', fault: 'wrong-unit' });
    const answer = parseAnswer(transaction.request, pdu);
    const answerMs = clock.monotonicMs() - transaction.sentAt;
    finish(transactionId, answer.kind === 'fault' ? answer : { ...answer, answerMs });
  };

  const take = (): void => {
    const chunk = port.read();
    port.onReadable(take);
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    while (start < bytes.length) {
      const frame = takeMbapFrame(bytes, start);
      if (frame.kind === 'damaged') {
        for (const transactionId of pending.keys()) finish(transactionId, { kind: 'fault', fault: 'crc' });
        port.reset('what comes is not Modbus TCP');
        return;
      }
      if (frame.kind === 'incomplete') break;
      accept(frame.transactionId, frame.unitId, frame.pdu);
      start = frame.next;
    }
    rest = bytes.subarray(start);
  };

  const expire = (transactionId: number, unitId: number): void => {
    finish(transactionId, { kind: 'fault', fault: 'timeout' });
    if (heard.has(unitId)) silent += 1;
    if (silent >= silentRequestsMax) port.reset(`no answer to ${silentRequestsMax} requests in a row`);
  };

  port.onState((state) => {
    rest = new Uint8Array(0);
    silent = 0;
    heard.clear();
    if (state.kind === 'open') return;
    const reason = offlineReason(state);
    for (const transactionId of pending.keys()) finish(transactionId, { kind: 'offline', reason });
  });
  port.onReadable(take);

  return {
    concurrency: pipeline,
    transact: ({ unitId, request, timeoutMs }: Transaction) =>
      new Promise((settle) => {
        lastId = (lastId + 1) & 0xffff;
        const transactionId = lastId;
        const cancel = clock.after(timeoutMs, () => expire(transactionId, unitId));
        pending.set(transactionId, { unitId, request, sentAt: clock.monotonicMs(), cancel, settle });
        try {
          port.write(encodeMbap(transactionId, unitId, request));
        } catch {
          finish(transactionId, { kind: 'offline', reason: offlineReason(port.state) });
        }
      }),
  };
}
