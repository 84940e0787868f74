import type { ShareEvent } from './silo-use.ts';

export type ShareListener = (silo: string, event: ShareEvent) => void;

/**
 * One word for all the buses of a silo: 'reached' when the first one holds it, 'cleared' when none does any more.
 * Gives a listener for each bus.
 */
export function joinShareEvents(tell: ShareListener): () => ShareListener {
  const holding = new Map<string, number>();
  return () => (silo, event) => {
    const before = holding.get(silo) ?? 0;
    const after = before + (event.state === 'reached' ? 1 : -1);
    holding.set(silo, after);
    if ((before === 0) !== (after === 0)) tell(silo, event);
  };
}
