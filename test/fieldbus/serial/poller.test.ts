import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { computeChecksum } from '../../../src/fieldbus/serial/checksum.ts';
import { createRig, sensor } from './rig.ts';

const scale = {
  request: 'SI\r\n',
  messages: [
    {
      pattern: '^S (?<stability>[SD]) +(?<weight>-?[\\d.]+) g',
      fields: [
        { name: 'weight', unit: 'g' },
        { name: 'stable', group: 'stability', enum: { S: 1, D: 0 } },
      ],
    },
  ],
};

const iec = {
  framing: { by: 'start-end', start: '\x02', end: '\x03', trailer: 1 },
  checksum: { kind: 'xor', from: 1 },
  request: [
    {
      send: '/?!\r\n',
      framing: { by: 'line' },
      checksum: 'none',
      expect: '^/[A-Za-z]{3}(?<baud>[0-6])',
    },
    {
      send: '\x060{baud}0\r\n',
      thenBaudRate: { group: 'baud', rates: { 0: 300, 5: 9600 } },
    },
  ],
  messages: [{ fields: [{ name: 'energy', pattern: '1\\.8\\.0\\(([\\d.]+)\\*kWh\\)', unit: 'kWh' }] }],
};

function dataBlock(content: string): string {
  const check = computeChecksum('xor', Buffer.from(`${content}\x03`, 'latin1'), 'binary-big');
  return `\x02${content}\x03${Buffer.from(check).toString('latin1')}`;
}

describe('a polled sensor', () => {
  it('is asked once an interval, and its answer becomes a sample', async () => {
    const { clock, reader, samples, sent, answerWith } = createRig(sensor(scale, 1000));
    answerWith(() => 'S S     100.25 g\r\n');
    reader.opened();
    await clock.advanceAsync(3500);
    assert.deepEqual(sent, ['SI\r\n', 'SI\r\n', 'SI\r\n', 'SI\r\n']);
    assert.deepEqual(
      samples.map(({ values }) => values),
      [1, 2, 3, 4].map(() => ({ weight: 100.25, stable: 1 })),
    );
    assert.equal(Math.round(reader.status().answerMs ?? 0), 67, '200 ms, less 4 characters at 300 baud');
    assert.equal(samples[1]!.monotonicMs - samples[0]!.monotonicMs, 1000);
  });

  it('is late, with a load above 1, if its dialogue takes longer than its interval', async () => {
    const { clock, reader, samples, answerWith } = createRig(sensor(scale, 1000, 5000));
    answerWith(() => 'S S     100.25 g\r\n', 2500);
    reader.opened();
    await clock.advanceAsync(60_000);
    assert.ok(samples.length < 25, `${samples.length} samples`);
    assert.ok(reader.status().usualLatenessMs > 1000, `${reader.status().usualLatenessMs} ms`);
    assert.ok(Math.abs(reader.demand() - 2.5) < 0.2, `${reader.demand()}`);
  });

  it('waits on after frames that match no message, such as echoes of adapters', async () => {
    const { clock, reader, samples, answerWith } = createRig(sensor(scale, 1000));
    answerWith((sent) => `${sent}S D      -3.5 g\r\n`);
    reader.opened();
    await clock.advanceAsync(900);
    assert.deepEqual(
      samples.map(({ values }) => values),
      [{ weight: -3.5, stable: 0 }],
    );
  });

  it('times out, and is then asked in growing pauses', async () => {
    const { clock, reader, samples, sent, answerWith } = createRig(sensor(scale, 1000));
    reader.opened();
    await clock.advanceAsync(60_000);
    assert.ok(sent.length > 5 && sent.length < 15, `${sent.length} times in a minute`);
    assert.deepEqual(samples[0]?.quality, { weight: 'timeout', stable: 'timeout' });
    assert.equal(reader.status().state, 'failing');
    answerWith(() => 'S S     100.25 g\r\n');
    await clock.advanceAsync(11_000);
    assert.deepEqual(samples.at(-1)?.values, { weight: 100.25, stable: 1 });
    assert.equal(reader.status().state, 'good');
  });

  it('does not take a late answer for the next one', async () => {
    const { clock, reader, samples, say } = createRig(sensor(scale, 1000));
    reader.opened();
    await clock.advanceAsync(700);
    say('S S     999.0 g\r\n');
    await clock.advanceAsync(1200);
    assert.deepEqual(
      samples.map(({ quality }) => quality?.['weight']),
      ['timeout', 'timeout'],
    );
  });

  it('marks the points of a damaged answer', async () => {
    const { clock, reader, samples, answerWith } = createRig(sensor({ ...scale, checksum: 'sum8' }, 1000));
    answerWith(() => 'S S     100.25 g?\r\n');
    reader.opened();
    await clock.advanceAsync(900);
    assert.deepEqual(samples[0]?.values, {});
    assert.deepEqual(samples[0]?.quality, { weight: 'crc', stable: 'crc' });
    assert.equal(reader.status().failures['crc'], 1);
  });

  it('speaks IEC 62056-21 mode C: the answer chooses the baud rate, and the end restores it', async () => {
    const { clock, reader, samples, sent, rates, answerWith } = createRig(sensor(iec, 60_000, 2000));
    answerWith((said) =>
      said.startsWith('/') ? '/ABB5\\@V4.50\r\n' : dataBlock('F.F(0000)\r\n1.8.0(012345.678*kWh)\r\n!\r\n'),
    );
    reader.opened();
    await clock.advanceAsync(5000);
    assert.deepEqual(sent, ['/?!\r\n', '\x06050\r\n']);
    assert.deepEqual(rates, [9600, 300]);
    assert.deepEqual(samples[0]?.values, { energy: 12345.678 });
  });

  it('changes to no rate that the profile does not have, for any answer', async () => {
    const open = {
      ...iec,
      request: [{ ...iec.request[0], expect: '^/[A-Za-z]{3}(?<baud>.)' }, iec.request[1]],
    };
    for (const named of ['3', '9', 'A', '\xff', '_']) {
      const { clock, reader, rates, samples, answerWith } = createRig(sensor(open, 60_000, 2000));
      answerWith((said) =>
        said.startsWith('/') ? `/ABB${named}\\@V4.50\r\n` : dataBlock('1.8.0(012345.678*kWh)\r\n!\r\n'),
      );
      reader.opened();
      await clock.advanceAsync(5000);
      assert.deepEqual(rates, []);
      assert.deepEqual(samples[0]?.values, { energy: 12345.678 });
    }
  });

  it('restores the baud rate when the dialogue fails', async () => {
    const { clock, reader, rates, answerWith } = createRig(sensor(iec, 60_000, 2000));
    answerWith((said) => (said.startsWith('/') ? '/ABB5\\@V4.50\r\n' : undefined));
    reader.opened();
    await clock.advanceAsync(20_000);
    assert.deepEqual(rates, [9600, 300]);
  });

  it('reads a long telegram, because only silence times out', async () => {
    const { clock, reader, samples, sent, say } = createRig(sensor(iec, 60_000, 2000));
    reader.opened();
    await clock.advanceAsync(10);
    say('/ABB0\\@V4.50\r\n');
    await clock.advanceAsync(200);
    assert.equal(sent.length, 2);
    const telegram = dataBlock('1.8.0(012345.678*kWh)\r\n!\r\n');
    for (const character of telegram) {
      await clock.advanceAsync(500);
      say(character);
    }
    await clock.advanceAsync(100);
    assert.deepEqual(samples[0]?.values, { energy: 12345.678 });
  });

  it('ends the dialogue with a sensor that never stops sending', async () => {
    const { clock, reader, samples, say } = createRig(
      sensor({ ...scale, framing: { by: 'line', bytesMax: 16 } }, 1000),
    );
    reader.opened();
    for (let turn = 0; turn < 30; turn++) {
      await clock.advanceAsync(100);
      say('blah\r\n');
    }
    assert.equal(samples[0]?.quality?.['weight'], 'timeout');
  });

  it('waits as long as an answer says, but no longer than the sensor needs (SDI-12)', async () => {
    const sdi12 = {
      request: [
        { send: '0M!', expect: '^0(?<seconds>\\d{3})\\d$' },
        { expect: '^0$', timeout: { secondsOf: 'seconds' }, optional: true },
        { send: '0D0!', expect: '^0[+-]' },
      ],
      messages: [{ pattern: '^0(?<level>[+-][\\d.]+)', fields: [{ name: 'level', unit: 'm' }] }],
    };
    const { clock, reader, samples, sent, answerWith, say } = createRig(sensor(sdi12, 60_000));
    answerWith((said) => (said === '0M!' ? '00101\r\n' : '0+3.14\r\n'));
    reader.opened();
    await clock.advanceAsync(2000);
    assert.deepEqual(sent, ['0M!']);
    say('0\r\n');
    await clock.advanceAsync(400);
    assert.deepEqual(sent, ['0M!', '0D0!']);
    assert.deepEqual(samples[0]?.values, { level: 3.14 });
    await clock.advanceAsync(60_000);
    assert.deepEqual(sent.slice(2), ['0M!']);
    await clock.advanceAsync(12_000);
    assert.deepEqual(
      sent.slice(2),
      ['0M!', '0D0!'],
      'without a service request it asks when the time is over',
    );
    assert.deepEqual(samples[1]?.values, { level: 3.14 });
  });

  it('takes bytes after an answer for a step that only listens', async () => {
    const eager = {
      request: [
        { send: '0M!', expect: '^0(?<seconds>\\d{3})\\d$' },
        { expect: '^0$', timeout: { secondsOf: 'seconds' }, optional: true },
        { send: '0D0!', expect: '^0[+-]' },
      ],
      messages: [{ pattern: '^0(?<level>[+-][\\d.]+)', fields: [{ name: 'level' }] }],
    };
    const { clock, reader, samples, answerWith } = createRig(sensor(eager, 60_000));
    answerWith((said) => (said === '0M!' ? '\0\x7f\r\n09991\r\n0\r\n' : '0+3.14\r\n'));
    reader.opened();
    await clock.advanceAsync(2000);
    assert.deepEqual(samples[0]?.values, { level: 3.14 });
  });

  it('counts noise', async () => {
    const framed = {
      framing: { by: 'start-end', start: '<', end: '>' },
      request: '?',
      messages: [{ pattern: '<(?<x>\\d+)>', fields: [{ name: 'x' }] }],
    };
    const { clock, reader, samples, answerWith } = createRig(sensor(framed));
    answerWith(() => '\0\xff<12>');
    reader.opened();
    await clock.advanceAsync(500);
    assert.deepEqual(samples[0]?.values, { x: 12 });
    assert.equal(reader.status().failures['noise'], 1);
    assert.equal(reader.status().state, 'good');
  });

  it('is offline at once when the port is lost, and asked again when it is back', async () => {
    const { clock, reader, samples, answerWith } = createRig(sensor(scale, 1000));
    reader.opened();
    await clock.advanceAsync(100);
    reader.lost();
    assert.deepEqual(
      samples.map(({ quality }) => quality),
      [{ weight: 'offline', stable: 'offline' }],
    );
    await clock.advanceAsync(10_000);
    assert.ok(samples.length < 6, 'ever more rarely');
    answerWith(() => 'S S     100.25 g\r\n');
    reader.opened();
    await clock.advanceAsync(500);
    assert.deepEqual(samples.at(-1)?.values, { weight: 100.25, stable: 1 });
    reader.stop();
    await clock.advanceAsync(5000);
    assert.equal(clock.timers, 0);
  });
});
