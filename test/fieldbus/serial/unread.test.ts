import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { computeChecksum } from '../../../src/fieldbus/serial/checksum.ts';
import { excerptOf } from '../../../src/fieldbus/serial/excerpt.ts';
import { sentence } from '../../../src/simulator/nmea-sensor.ts';
import { profileRig } from '../../config/profile/profile-rig.ts';
import { createRig, sensor, text } from './rig.ts';

describe('an excerpt', () => {
  for (const [bytes, expected] of [
    ['S S 12.345 lb', '"S S 12.345 lb"'],
    ['a\r\n\t"\\', '"a\\r\\n\\t\\"\\\\"'],
    ['Tür 12345', '"T\\xfcr 12345"'],
    ['x'.repeat(41), `"${'x'.repeat(40)}…"`],
    ['\x42\x4d\x00\x24\x00\x0b', '42 4d 00 24 00 0b'],
    ['\xff'.repeat(17), `${'ff '.repeat(15)}ff…`],
    ['', '""'],
  ] as const) {
    it(`of ${JSON.stringify(bytes.slice(0, 20))} is ${expected}`, () =>
      assert.equal(excerptOf(text(bytes)), expected));
  }

  it('is short, printable ASCII for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        assert.match(excerptOf(bytes), /^[\x20-\x7e…]{2,170}$/);
      }),
    );
  });
});

async function askedOf(name: string, answer: string): Promise<{ reason: string | null; failures: object }> {
  const rig = profileRig(name);
  rig.answerWith(() => answer);
  rig.reader.opened();
  await rig.clock.advanceAsync(4000);
  const { state, reason, failures } = rig.reader.status();
  assert.equal(state, 'failing');
  return { reason, failures };
}

describe('a polled sensor with unexpected answers', () => {
  for (const [answer, shown] of [
    ['S S 12.345 lb\r\n', 'S S 12.345 lb'],
    ['S S     12.3 oz\r\n', 'S S     12.3 oz'],
    ['S S   12,345 kg\r\n', 'S S   12,345 kg'],
    ['S S   12.345 kg \r\n', 'S S   12.345 kg '],
    ['ES?\r\n', 'ES?'],
  ]) {
    it(`is quoted: ${shown}`, async () => {
      const { reason, failures } = await askedOf('mt-sics', answer!);
      assert.equal(
        reason,
        `it answers "${shown}", which no message of the profile takes; set the sensor to what the profile reads (unit, mode), or name the profile that fits it`,
      );
      assert.ok('unknown' in failures && 'timeout' in failures);
    });
  }

  it('is read where the unit is one of the profile’s', async () => {
    for (const [answer, weight] of [
      ['S S   12.345 kg\r\n', 12.345],
      ['S D    -12.34 g\n', -0.012_34],
      ['S S -   12.34 kg\r\n', -12.34],
      ['S S +   12.34 kg\r\n', 12.34],
      ['S D  +12.5 g\r\n', 0.0125],
      ['S D - 1.5 t\r\n', -1500],
    ] as const) {
      const rig = profileRig('mt-sics');
      rig.answerWith(() => answer);
      rig.reader.opened();
      await rig.clock.advanceAsync(800);
      assert.equal(rig.samples[0]?.values['weight'], weight);
      assert.equal(rig.reader.status().reason, null);
    }
  });

  it('does not report the echo of an adapter', async () => {
    const { reason } = await askedOf('mt-sics', 'SI\r\n');
    assert.equal(reason, 'no answer in time');
  });

  it('is silent where nothing comes', async () => {
    const rig = profileRig('mt-sics');
    rig.reader.opened();
    await rig.clock.advanceAsync(4000);
    assert.equal(rig.reader.status().reason, 'no answer in time');
  });

  it('belongs to its protocol where it has no profile', async () => {
    const own = { request: '?', messages: [{ pattern: '^(?<x>\\d+)$', fields: [{ name: 'x' }] }] };
    const rig = createRig(sensor(own));
    rig.answerWith(() => 'OL\r\n');
    rig.reader.opened();
    await rig.clock.advanceAsync(900);
    assert.equal(
      rig.reader.status().reason,
      'it answers "OL", which no message of its protocol takes; set the sensor to what its protocol reads (unit, mode), or write the protocol as the sensor has it',
    );
  });

  it('is good again, and shows it, once it answers correctly', async () => {
    const rig = profileRig('mt-sics');
    rig.answerWith(() => 'S S 12.345 lb\r\n');
    rig.reader.opened();
    await rig.clock.advanceAsync(3000);
    rig.answerWith(() => 'S S 12.345 kg\r\n');
    await rig.clock.advanceAsync(15_000);
    const { state, reason } = rig.reader.status();
    assert.deepEqual({ state, reason }, { state: 'good', reason: null });
  });
});

describe('an IEC 62056-21 meter that is not of mode C', () => {
  const readout = '0.0.0(12345678)\r\n1.8.0(012345.678*kWh)\r\n!\r\n';
  async function reasonOf(answers: (sent: string) => string | undefined): Promise<string | null> {
    const rig = profileRig('iec-62056-21');
    rig.answerWith(answers);
    rig.reader.opened();
    await rig.clock.advanceAsync(240_000);
    return rig.reader.status().reason;
  }

  it('is named: mode B', async () => {
    const reason = await reasonOf((sent) => (sent.startsWith('/?') ? '/ISKBMT172-0001\r\n' : undefined));
    assert.match(reason ?? '', /^it answers "\/ISKBMT172-0001": that is a meter of mode B/);
  });

  it('is named: no block check', async () => {
    const reason = await reasonOf((sent) =>
      sent.startsWith('/?') ? '/ISK5MT172-0001\r\n' : `\x02${readout}\x03`,
    );
    assert.match(
      reason ?? '',
      /^it answers "\\x020\.0\.0\(12345678\).*: that is a readout without block check/,
    );
  });

  it('is quoted: a readout without STX and ETX', async () => {
    const reason = await reasonOf((sent) => (sent.startsWith('/?') ? '/ISK5MT172-0001\r\n' : readout));
    assert.match(reason ?? '', /^it answers "0\.0\.0\(12345678\).*: that is a readout without block check/);
  });

  it('is quoted: a damaged block', async () => {
    const check = computeChecksum('xor', text(`${readout}\x03`), 'binary-big');
    const damaged = `\x02${readout.replace('678*', '679*')}\x03${Buffer.from(check).toString('latin1')}`;
    const reason = await reasonOf((sent) => (sent.startsWith('/?') ? '/ISK5MT172-0001\r\n' : damaged));
    assert.match(
      reason ?? '',
      /^it answers "\\x020\.0\.0.*" with a wrong check sum; check the line's wiring, termination/,
    );
  });

  it('is read where it is', async () => {
    const check = computeChecksum('xor', text(`${readout}\x03`), 'binary-big');
    const good = `\x02${readout}\x03${Buffer.from(check).toString('latin1')}`;
    assert.equal(await reasonOf((sent) => (sent.startsWith('/?') ? '/ISK5MT172-0001\r\n' : good)), null);
  });
});

describe('a free-running sensor with unexpected frames', () => {
  const bare = (content: string): string => `$${content}\r\n`;

  async function heard(name: string, telegram: string, settings = {}) {
    const rig = profileRig(name, settings);
    rig.reader.opened();
    for (let turn = 0; turn < 15; turn++) {
      await rig.clock.advanceAsync(1000);
      rig.say(telegram);
    }
    return { ...rig.reader.status(), values: rig.samples.at(-1)?.values };
  }

  it('is reported without a check sum, not with a wrong one', async () => {
    const { state, reason } = await heard('nmea-0183', bare('WIMWV,214.8,R,4.5,M,A'));
    assert.equal(state, 'failing');
    assert.match(
      reason ?? '',
      /^it sends "\$WIMWV,214\.8,R,4\.5,M,A" without a check sum, which the profile asks for/,
    );
    const wrong = await heard('nmea-0183', sentence('WIMWV,214.8,R,4.5,M,A').replace('4.5', '9.5'));
    assert.match(wrong.reason ?? '', /with a wrong check sum/);
  });

  it('is read without a check sum if so configured, and a wrong one still counts', async () => {
    const settings = { settings: { checksum: 'nmea-0183-optional' } };
    for (const telegram of [bare('WIMWV,214.8,R,4.5,M,A'), sentence('WIMWV,214.8,R,4.5,M,A')]) {
      const { values, state } = await heard('nmea-0183', telegram, settings);
      assert.deepEqual({ values, state }, { values: { wind_angle: 214.8, wind_speed: 4.5 }, state: 'good' });
    }
    const wrong = await heard('nmea-0183', sentence('WIMWV,214.8,R,4.5,M,A').replace('4.5', '9.5'), settings);
    assert.match(wrong.reason ?? '', /with a wrong check sum/);
  });

  it('is read without a status, as senders of NMEA 0183 before version 2 have it', async () => {
    for (const [content, values] of [
      ['WIMWV,214.8,R,4.5,M', { wind_angle: 214.8, wind_speed: 4.5 }],
      ['GPGLL,4916.45,N,12311.12,W', { latitude: 49.274_166_67, longitude: -123.185_333_33 }],
      ['GPGLL,4916.45,N,12311.12,W,225444', { latitude: 49.274_166_67, longitude: -123.185_333_33 }],
    ] as const) {
      const heardValues = await heard('nmea-0183', sentence(content));
      assert.deepEqual(heardValues.values, values, content);
    }
    for (const content of ['WIMWV,214.8,R,4.5,M,V', 'GPGLL,4916.45,N,12311.12,W,225444,V', 'WIMWV,,R,,M']) {
      const { values } = await heard('nmea-0183', sentence(content));
      assert.deepEqual(values, {}, content);
    }
  });

  it('is named by its frames: models of Plantower', async () => {
    const frame = (length: number): string => {
      const head = Uint8Array.from([0x42, 0x4d, 0, length, ...Array.from({ length: length - 2 }, () => 1)]);
      const sum = computeChecksum('sum16', head, 'binary-big');
      return Buffer.concat([head, sum]).toString('latin1');
    };
    for (const [name, length, is] of [
      ['pms5003', 0x24, 'a PMS5003ST; use profile pms5003st'],
      ['pms5003', 0x14, 'a PMS2003 or PMS3003; use profile pms3003'],
      ['pms5003t', 0x24, 'a PMS5003ST; use profile pms5003st'],
      ['pms5003st', 0x1c, 'a PMS5003 or PMS5003T; use profile pms5003 or pms5003t'],
      ['pms3003', 0x24, 'a PMS5003ST; use profile pms5003st'],
    ] as const) {
      const { state, reason } = await heard(name, frame(length));
      assert.equal(state, 'failing');
      assert.ok(reason?.startsWith('it sends 42 4d 00 ') && reason.endsWith(`: that is ${is}`), `${reason}`);
    }
  });

  it('is reported without a frame if its header differs (SDS198)', async () => {
    const other = '\xaa\xcf\x05\x00\x0a\x00\x01\x02\x12\xab';
    const { state, reason } = await heard('sds011', other);
    assert.equal(state, 'failing');
    assert.match(reason ?? '', /^it sends aa cf 05 .*: that is an SDS198/);
  });

  it('shows the bytes that come at another baud rate', async () => {
    const { state, reason } = await heard('sds011', '\x00\xf8\x80\x00\xe6\x1e\x98');
    assert.equal(state, 'failing');
    assert.equal(
      reason,
      "it sends 00 f8 80 00 e6 1e 98, which is no frame of the profile; check the line's baud rate, parity and data bits, or name the profile that fits it",
    );
  });

  it('shows the bytes of the line if others are on it', async () => {
    const rig = createRig(sensor({ messages: [{ pattern: '^A(?<x>\\d)', fields: [{ name: 'x' }] }] }), {
      isAlone: () => false,
    });
    rig.reader.opened();
    for (let turn = 0; turn < 4; turn++) {
      await rig.clock.advanceAsync(1000);
      rig.say('B5\r\n');
    }
    assert.match(
      rig.reader.status().reason ?? '',
      /^the line brings "B5", which no message of its protocol takes; set the sensor/,
    );
  });

  it('is silent once nothing comes any more', async () => {
    const rig = profileRig('sds011');
    rig.reader.opened();
    rig.say('\x00\xf8\x80');
    await rig.clock.advanceAsync(11_000);
    assert.match(rig.reader.status().reason ?? '', /^it sends 00 f8 80/);
    await rig.clock.advanceAsync(120_000);
    assert.equal(rig.reader.status().reason, 'silent: pm2_5, pm10');
  });
});

describe('a frame of another model with the same length', () => {
  const pms = (...words: number[]): string => {
    const body = Buffer.alloc(30);
    body.set([0x42, 0x4d, 0, 0x1c]);
    words.forEach((word, index) => body.writeUInt16BE(word & 0xffff, 4 + 2 * index));
    return Buffer.concat([body, computeChecksum('sum16', body, 'binary-big')]).toString('latin1');
  };
  const counts = ['count_0_3', 'count_0_5', 'count_1_0', 'count_2_5', 'count_5_0', 'count_10'];
  const masses = { pm1_0: 11, pm2_5: 17, pm10: 19 };

  it('gives no counts that contradict each other: a PMS5003T at 21.3 °C and 45.5 %', async () => {
    for (const [temperature, humidity] of [
      [213, 455],
      [-37, 884],
      [350, 300],
    ] as const) {
      const rig = profileRig('pms5003');
      const frame = pms(11, 17, 19, 11, 17, 19, 2310, 655, 118, 9, temperature, humidity, 0x9a00);
      const { values, quality, status } = await rig.hear(frame);
      assert.deepEqual(values, masses);
      assert.deepEqual(quality, Object.fromEntries(counts.map((name) => [name, 'invalid'])));
      assert.equal(status.state, 'partial');
      assert.match(status.reason ?? '', /counts it too.*PMS5003T.*use profile pms5003t/);
    }
  });

  it('is found out by one count alone', async () => {
    const rig = profileRig('pms5003', { only: ['count_10'] });
    const { values, quality } = await rig.hear(pms(0, 0, 0, 0, 0, 0, 2310, 655, 118, 9, 213, 455, 0));
    assert.deepEqual({ values, quality }, { values: {}, quality: { count_10: 'invalid' } });
  });

  it('is plausible if the counts fall, or are equal', async () => {
    for (const words of [
      [2310, 655, 118, 9, 2, 1],
      [5, 5, 5, 5, 5, 5],
      [0, 0, 0, 0, 0, 0],
    ]) {
      const { values, quality } = await profileRig('pms5003').hear(
        pms(11, 17, 19, 11, 17, 19, ...words, 0x9700),
      );
      assert.deepEqual(quality, {});
      assert.deepEqual(Object.values(values), [11, 17, 19, ...words]);
    }
  });

  it('is implausible the other way round: a PMS5003 read as a PMS5003T', async () => {
    const frame = pms(11, 17, 19, 11, 17, 19, 2310, 655, 118, 9, 2, 0, 0x9700);
    const { quality } = await profileRig('pms5003t').hear(frame);
    assert.deepEqual(quality, { humidity: 'implausible' });
  });
});
