import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ReadlineParser, SerialPort } from 'serialport';
import { sentence, startNmeaSensor } from '../../src/simulator/nmea-sensor.ts';
import { openPtyPair } from '../../src/simulator/pty.ts';

describe('simulated NMEA 0183 sensor', () => {
  it('makes the check sum of a well-known sentence', () => {
    const body = 'GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,';
    assert.equal(sentence(body), `$${body}*47\r\n`);
  });

  it('sends wind, weather and position, each with a valid check sum', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'merestone-test-'));
    const pair = await openPtyPair(directory, 'wind');
    const port = new SerialPort({ path: pair.gatewayEnd, baudRate: 4800 });
    await once(port, 'open');
    const sensor = await startNmeaSensor(pair.deviceEnd, 100);
    const kinds = new Set<string>();
    for await (const line of port.pipe(new ReadlineParser({ delimiter: '\r\n' })) as AsyncIterable<string>) {
      const body = /^\$(.*)\*/.exec(line)?.[1] ?? '';
      assert.equal(`${line}\r\n`, sentence(body));
      assert.ok(line.length <= 80, 'NMEA 0183 allows 82 characters, CR LF included');
      kinds.add(body.slice(0, 5));
      if (kinds.size === 4) break;
    }
    assert.deepEqual([...kinds].sort(), ['GPGGA', 'GPRMC', 'WIMWV', 'WIXDR']);
    await sensor.close();
    await new Promise((resolve) => port.close(resolve));
    await pair.close();
    await rm(directory, { recursive: true });
  });
});
