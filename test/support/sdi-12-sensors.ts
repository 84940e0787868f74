import { SerialPort } from 'serialport';
import { openPtyPair } from '../../src/simulator/pty.ts';

/** Two SDI-12 sensors on one real serial line, behind an adapter that passes text on. */
export interface Sdi12Sensors extends AsyncDisposable {
  /** Path for the gateway. */
  port: string;
  /**
   * Sets what sensor 0 announces from now on; it never has values then. Sensor 1 is quick and counts its measurements.
   */
  announce(seconds: number): void;
}

export async function startSdi12Sensors(directory: string): Promise<Sdi12Sensors> {
  const pair = await openPtyPair(directory, 'sdi-12');
  const farEnd = new SerialPort({ path: pair.deviceEnd, baudRate: 9600, autoOpen: false });
  await new Promise<void>((resolve, reject) => farEnd.open((error) => (error ? reject(error) : resolve())));
  farEnd.on('error', () => {});
  let announced = 0;
  let requests = 0;
  const answers: Record<string, () => string> = {
    '0M': () => `0${String(announced).padStart(3, '0')}1`,
    '0D0': () => (announced === 0 ? '0+1.5' : '0'),
    '1M': () => {
      requests = (requests + 1) % 65_536;
      return '10002';
    },
    '1D0': () => `1+${requests}+2.5`,
  };
  let heard = '';
  farEnd.on('data', (bytes: Buffer) => {
    const commands = (heard + bytes.toString('latin1')).split('!');
    heard = commands.pop()!;
    for (const command of commands) {
      const answer = Object.hasOwn(answers, command) ? answers[command]!() : undefined;
      if (answer !== undefined) farEnd.write(`${answer}\r\n`);
    }
  });
  return {
    port: pair.gatewayEnd,
    announce: (seconds) => {
      announced = seconds;
    },
    [Symbol.asyncDispose]: async () => {
      await new Promise<void>((resolve) => (farEnd.isOpen ? farEnd.close(() => resolve()) : resolve()));
      await pair.close();
    },
  };
}
