import { attacks, attackNames, type AttackName } from './attacks.ts';

/** The brokers that are really run, by the heading of their column. */
export const columns = {
  mosquitto: 'Mosquitto 2.0.11',
  mosquittoSubject: 'Mosquitto 2.0.11, `--by subject`',
  rabbitmq: 'RabbitMQ 3.10.8',
  nats: 'NATS 2.9.10',
} as const;

export type Column = keyof typeof columns;

/** Attacks that a broker does not refuse; it refuses all others. docs/brokers.md says what to do about each. */
const open: Record<Column, readonly AttackName[]> = {
  mosquitto: ['sameCommonName', 'forged'],
  mosquittoSubject: ['forged'],
  rabbitmq: ['clientIdKick', 'forged'],
  nats: ['clientIdKick', 'forged', 'revoked'],
};

export function isRefusedBy(column: Column, attack: AttackName): boolean {
  return !open[column].includes(attack);
}

/** The table of docs/brokers.md. */
export function matrixTable(): string {
  const names = Object.keys(columns) as Column[];
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    row(['attack', ...names.map((name) => columns[name])]),
    row(['---', ...names.map(() => '---')]),
    ...attackNames.map((attack) =>
      row([
        attacks[attack].title,
        ...names.map((name) => (isRefusedBy(name, attack) ? 'refused' : '**not refused**')),
      ]),
    ),
  ].join('\n');
}
