import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { computeChecksum } from '../../../src/fieldbus/serial/checksum.ts';
import { profileRig } from './profile-rig.ts';

/** With its CRC over all from '/' to '!'. */
function telegram(header: string, ...lines: string[]): string {
  const content = `${[header, '', ...lines].join('\r\n')}\r\n!`;
  const crc = computeChecksum('crc16-arc', Buffer.from(content, 'latin1'), 'hex');
  return `${content}${Buffer.from(crc).toString('latin1')}\r\n`;
}

const power = ['1-0:1.7.0(00.244*kW)', '1-0:2.7.0(00.000*kW)'];
const belgian = (...channels: string[]): string =>
  telegram('/FLU5\\253769484_A', '0-0:96.1.4(50217)', '0-0:1.0.0(230611142000S)', ...power, ...channels);
const at = (day: string, hour = '12'): string => `23${day}${hour}0000S`;

describe('a P1 telegram', () => {
  const meters: [string, string, Record<string, number>, string[]][] = [
    [
      'Belgian gas under 24.2.3',
      belgian(
        '0-1:24.1.0(003)',
        '0-1:96.1.1(37464C4F)',
        '0-1:24.4.0(1)',
        `0-1:24.2.3(${at('0611')})(00112.384*m3)`,
      ),
      { gas: 112.384 },
      [],
    ],
    [
      'Dutch gas under 24.2.1, an hour old',
      belgian('0-1:24.1.0(003)', '0-1:96.1.0(32)', `0-1:24.2.1(${at('0611', '13')})(00112.384*m3)`),
      { gas: 112.384 },
      [],
    ],
    [
      'water on channel 1 and gas on channel 2',
      belgian(
        '0-1:24.1.0(007)',
        `0-1:24.2.1(${at('0611')})(00872.234*m3)`,
        '0-2:24.1.0(003)',
        `0-2:24.2.3(${at('0611')})(00112.384*m3)`,
      ),
      { gas: 112.384, water: 872.234 },
      [],
    ],
    [
      'heat on channel 3, gas on channel 4, in another order of lines',
      belgian(
        `0-3:24.2.1(${at('0611')})(0012.345*GJ)`,
        `0-4:24.2.1(${at('0611')})(00001.500*m3)`,
        '0-3:24.1.0(012)',
        '0-4:24.1.0(003)',
      ),
      { gas: 1.5, heat_energy: 12_345_000_000 },
      [],
    ],
    [
      'warm water, and heat by an outlet meter',
      belgian(
        '0-1:24.1.0(006)',
        `0-1:24.2.1(${at('0611')})(00007.000*m3)`,
        '0-2:24.1.0(004)',
        `0-2:24.2.1(${at('0611')})(00000.500*GJ)`,
      ),
      { hot_water: 7, heat_energy: 500_000_000 },
      [],
    ],
    [
      'a dead meter of 2017 on channel 1, the new one on channel 2',
      belgian(
        '0-1:24.1.0(003)',
        '0-1:24.2.1(170102161005W)(00000.107*m3)',
        '0-2:24.1.0(003)',
        `0-2:24.2.3(${at('0611')})(00002.000*m3)`,
      ),
      { gas: 2 },
      [],
    ],
    [
      'a dead meter behind the new one',
      belgian(
        '0-1:24.1.0(003)',
        `0-1:24.2.3(${at('0611')})(00002.000*m3)`,
        '0-2:24.1.0(003)',
        '0-2:24.2.1(170102161005W)(00000.107*m3)',
      ),
      { gas: 2 },
      [],
    ],
    [
      'nothing but a dead meter',
      belgian('0-1:24.1.0(003)', '0-1:24.2.1(170102161005W)(00000.107*m3)'),
      {},
      ['gas'],
    ],
    [
      'a water meter that died, while gas lives',
      belgian(
        '0-1:24.1.0(003)',
        `0-1:24.2.3(${at('0611')})(00002.000*m3)`,
        '0-2:24.1.0(007)',
        '0-2:24.2.1(230609120000S)(00872.234*m3)',
      ),
      { gas: 2 },
      ['water'],
    ],
    [
      'a channel without a meter, which has no real time',
      belgian('0-1:24.1.0(003)', '0-1:24.2.1(632525252525S)(00000.000*m3)'),
      {},
      ['gas'],
    ],
    [
      'a meter whose clock is ahead',
      belgian('0-1:24.1.0(003)', '0-1:24.2.1(240611120000S)(00002.000*m3)'),
      { gas: 2 },
      [],
    ],
    [
      'a day less a second, and half a year of summer time, are no age',
      belgian('0-1:24.1.0(003)', '0-1:24.2.1(230610132001W)(00002.000*m3)'),
      { gas: 2 },
      [],
    ],
    [
      'a channel that says nothing of its kind',
      belgian('0-1:24.2.3(230611140000S)(00112.384*m3)'),
      { gas: 112.384 },
      [],
    ],
    [
      'water alone',
      belgian('0-1:24.1.0(007)', `0-1:24.2.1(${at('0611')})(00872.234*m3)`),
      { water: 872.234 },
      [],
    ],
    [
      'an e-meter on the M-Bus',
      belgian('0-1:24.1.0(002)', `0-1:24.2.1(${at('0611')})(00001.000*kWh)`),
      {},
      [],
    ],
  ];
  for (const [title, text, expected, stale] of meters) {
    it(`has the value of each meter that is alive: ${title}`, async () => {
      const { values, quality } = await profileRig('dsmr-p1').hear(text);
      const { power_import, power_export, ...rest } = values;
      assert.deepEqual([power_import, power_export], [244, 0]);
      assert.deepEqual(rest, expected);
      assert.deepEqual(quality, Object.fromEntries(stale.map((name) => [name, 'stale'])));
    });
  }

  it('says that a meter may be gone, and is otherwise well', async () => {
    const dead = belgian('0-1:24.1.0(003)', '0-1:24.2.1(170102161005W)(00000.107*m3)');
    const { status } = await profileRig('dsmr-p1').hear(dead);
    assert.equal(status.state, 'partial');
    assert.equal(status.reason, 'gas: the last reading is old; the meter that sent it may be gone');
  });

  it('has the gas of the channel that is set, and never water', async () => {
    const text = belgian(
      '0-1:24.1.0(003)',
      `0-1:24.2.3(${at('0611')})(00001.000*m3)`,
      '0-2:24.1.0(007)',
      `0-2:24.2.1(${at('0611')})(00002.000*m3)`,
      '0-3:24.1.0(003)',
      `0-3:24.2.3(${at('0611')})(00003.000*m3)`,
    );
    for (const [gasChannel, gas] of [
      ['1', 1],
      ['2', undefined],
      ['3', 3],
      ['1-4', 1],
    ] as const) {
      const { values } = await profileRig('dsmr-p1', { settings: { gasChannel } }).hear(text);
      assert.equal(values['gas'], gas, gasChannel);
    }
  });

  it('has the totals of a meter without tariffs, and misses no tariff', async () => {
    const rig = profileRig('dsmr-p1');
    const swedish = telegram(
      '/ADN9 6534',
      '0-0:1.0.0(210505121542W)',
      '1-0:1.8.0(00002893.371*kWh)',
      '1-0:2.8.0(00000000.000*kWh)',
      '1-0:3.8.0(00000120.500*kVArh)',
      '1-0:4.8.0(00000001.250*kvarh)',
      '1-0:1.7.0(0001.250*kW)',
      '1-0:2.7.0(0000.000*kW)',
      '1-0:3.7.0(0000.120*kVAr)',
      '1-0:4.7.0(0000.000*kVAr)',
      '1-0:32.7.0(230.1*V)',
    );
    const { values, quality } = await rig.hear(swedish);
    assert.deepEqual(quality, {});
    assert.deepEqual(values, {
      energy_import: 2893.371,
      energy_export: 0,
      reactive_energy_import: 120.5,
      reactive_energy_export: 1.25,
      power_import: 1250,
      power_export: 0,
      reactive_power_import: 120,
      reactive_power_export: 0,
      voltage_l1: 230.1,
    });
    for (let turn = 0; turn < 9; turn++) {
      await rig.clock.advanceAsync(10_000);
      rig.say(swedish);
    }
    assert.equal(rig.reader.status().state, 'good');
    assert.ok(rig.samples.every((sample) => sample.quality === undefined));
  });

  it('still owes what it once had', async () => {
    const rig = profileRig('dsmr-p1');
    const dutch = telegram('/ISk5\\2MT382-1000', '1-0:1.8.1(000004.426*kWh)', ...power);
    await rig.hear(dutch);
    for (let turn = 0; turn < 5; turn++) {
      await rig.clock.advanceAsync(10_000);
      rig.say(telegram('/ISk5\\2MT382-1000', ...power));
    }
    assert.ok(rig.samples.some(({ quality }) => quality?.['energy_import_t1'] === 'stale'));
  });

  it('brings no noise with the line end behind it', async () => {
    const rig = profileRig('dsmr-p1');
    await rig.hear(belgian());
    for (let turn = 0; turn < 5; turn++) {
      await rig.clock.advanceAsync(1000);
      rig.say(belgian());
    }
    assert.deepEqual(rig.reader.status().failures, {});
  });

  it('is named where it cannot be read: encrypted', async () => {
    const body = Array.from({ length: 300 }, (_, index) => String.fromCharCode((index * 37) % 256));
    const encrypted = `\xdb\x08SAG\x05\x00\x11\x22\x33\x82\x01\x6d\x30${body.join('')}`;
    const rig = profileRig('dsmr-p1');
    rig.reader.opened();
    for (let turn = 0; turn < 4; turn++) {
      await rig.clock.advanceAsync(10_000);
      rig.say(encrypted);
    }
    await rig.clock.advanceAsync(100_000);
    rig.say(encrypted);
    await rig.clock.advanceAsync(60_000);
    const { state, reason } = rig.reader.status();
    assert.equal(state, 'failing');
    assert.match(reason ?? '', /^it sends .*: that is an encrypted telegram \(DLMS, 0xDB\).*grid operator/);
  });

  it('is named where it cannot be read: without CRC', async () => {
    const bare = `/KMP5 KA6U001585575011\r\n\r\n${power.join('\r\n')}\r\n!\r\n`;
    const rig = profileRig('dsmr-p1');
    rig.reader.opened();
    await rig.clock.advanceAsync(1000);
    rig.say(bare + bare);
    const { state, reason, failures } = rig.reader.status();
    assert.equal(state, 'failing');
    assert.equal(failures['crc'], 1);
    assert.equal(
      reason,
      'it sends "/KMP5 KA6U001585575011\\r\\n\\r\\n1-0:1.7.0(00.2…": that is a telegram without CRC (DSMR 2 or 3); use profile dsmr-p1-v2',
    );
  });

  it('is read by dsmr-p1-v2 where it has no CRC, and told where it has one', async () => {
    const withCrc = telegram('/ISk5\\2MT382-1000', '1-0:1.8.1(000004.426*kWh)', ...power);
    const rig = profileRig('dsmr-p1-v2');
    rig.reader.opened();
    for (let turn = 0; turn < 4; turn++) {
      await rig.clock.advanceAsync(10_000);
      rig.say(withCrc);
    }
    assert.match(
      rig.reader.status().reason ?? '',
      /^it sends .*: that is a telegram with CRC.*profile dsmr-p1 /,
    );
    assert.ok(rig.samples.every(({ values }) => Object.keys(values).length === 0));
  });
});
