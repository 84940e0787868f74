import type { Judgement, Verdict } from '../status/verdict/verdict.ts';
import type { Style } from './output.ts';

type Paint = (style: Style, text: string) => string;

const styles: Record<Verdict, Style> = { good: 'green', degraded: 'yellow', failing: 'red' };

const headlines: Record<Verdict, string> = {
  good: 'every device gives values, and every batch is accepted',
  degraded: 'it works, and something wants attention',
  failing: 'data is missing or goes nowhere',
};

/** Lines: the verdict, and for each fault what is wrong and what to do. */
export function printVerdict({ verdict, findings }: Judgement, paint: Paint): string[] {
  const lines = [`${paint(styles[verdict], verdict)}: ${headlines[verdict]}`];
  for (const { verdict: weight, who, what, remedy } of findings) {
    lines.push(
      `  ${paint(styles[weight], weight.padEnd(8))}  ${who} ${what}`,
      `            ${paint('dim', remedy)}`,
    );
  }
  return lines;
}
