import type { ShareEvent } from './silo-use.ts';

export type ShareListener = (silo: string, event: ShareEvent) => void;

/**
 * Joins the events of a silo's buses: 'reached' when it is limited on the first bus, 'cleared' when on none any more.
 * Returns a listener for each bus.
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
