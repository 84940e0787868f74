import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatAuthority, parseBrokerUrl } from '../../src/base/broker-url.ts';
import { canonicalHost, hostFault } from '../../src/base/host.ts';

const good = [
  'plc',
  'plc_1.example.com',
  '_modbus.local',
  'a',
  '3com.example',
  '10.0.0.8.example',
  'xn--zhler-gra.local',
  'PLC-7.Plant',
  '192.168.1.10',
  '127.0.0.1',
  '10.0.0.0',
  '2001:db8::1',
  '::1',
  '::ffff:10.0.0.8',
  'fe80::1%eth0',
  `${'a'.repeat(63)}.example`,
];

/** A refused host, a part of the message, and the whole remedy. */
const bad: [host: string, wrong: string, remedy: string][] = [
  ['192.168.001.010', 'leading zeros', 'write 192.168.1.10'],
  ['10.0.0.010', 'octal', 'write 10.0.0.10'],
  ['010.0.0.1', 'octal', 'write 10.0.0.1'],
  ['10.0.0.00', 'octal', 'write 10.0.0.0'],
  ['192.168.1.10:502', 'a port in it', 'write 192.168.1.10 as the host, and the port in its own key'],
  ['plc.example:502', 'a port in it', 'write plc.example as the host, and the port in its own key'],
  ['plc:', 'a port in it', 'write plc as the host, and the port in its own key'],
  ['192.168.1.300', '300 is above 255', 'correct that number'],
  ['1.2.3.4.5', '5 numbers', 'an IPv4 address has four'],
  ['0x7f.1', 'short or hexadecimal', 'write all four numbers in decimal, such as 192.168.1.10'],
  ['0x7f000001', 'short or hexadecimal', 'write all four numbers in decimal, such as 192.168.1.10'],
  ['10.0.0.0x8', 'short or hexadecimal', 'write all four numbers in decimal, such as 192.168.1.10'],
  ['10.1', 'short or hexadecimal', 'write all four numbers in decimal, such as 192.168.1.10'],
  ['127.1', 'short or hexadecimal', 'write all four numbers in decimal, such as 192.168.1.10'],
  ['2130706433', 'short or hexadecimal', 'write all four numbers in decimal, such as 192.168.1.10'],
  ['plc.1', 'short or hexadecimal', 'write all four numbers in decimal, such as 192.168.1.10'],
  ['192.168.1.10.', 'ends in a dot', 'write 192.168.1.10'],
  ['plc.example.', 'ends in a dot', 'write plc.example'],
  ['192.168.1.10/24', 'is a network', "write one address of it, without '/'"],
  ['192.168.1.10/x', "holds a '/'", 'write the host alone'],
  ['http://192.168.1.10', 'is a URL', 'write the host alone'],
  ['me@plc', 'holds a user', 'write the host alone'],
  ['[::1]', 'has brackets', 'write ::1, and a port in its own key'],
  ['[2001:db8::1]:502', 'has brackets', 'write 2001:db8::1, and a port in its own key'],
  ['2001:db8::1::2', 'no IPv6 address', 'write it like 2001:db8::10, without a port'],
  ['::ffff:10.0.0.010', 'no IPv6 address', 'write it like 2001:db8::10, without a port'],
  ['fe80::1', 'link-local', "write fe80::1%eth0, with the name that 'ip link' shows"],
  ['2001:db8::1%eth0', 'only a link-local address', 'write 2001:db8::1'],
  ['fe80::1%', 'no network interface', "write the name that 'ip link' shows"],
  ['fe80::1%eth0%1', 'no IPv6 address', 'write it like 2001:db8::10, without a port'],
  ['plc%eth0', "'plc%eth0'", "a name has letters, digits, '-' and '_', up to 63 between two dots"],
  ['ff02::1', 'multicast', 'write the address of one host'],
  ['224.0.0.1', 'multicast', 'write the address of one host'],
  ['255.255.255.255', 'broadcast', 'write the address of one host'],
  ['0.0.0.0', "no host's address", 'write the address of the one to reach'],
  ['::', "no host's address", 'write the address of the one to reach'],
  ['', 'empty', 'write a name or an address'],
  [' plc', 'a blank', 'type the host again'],
  ['192.168.1.10\u00a0', 'invisible', 'type the host again'],
  ['192.168.1\u200b.10', 'invisible', 'type the host again'],
  ['zähler.local', 'letters that DNS does not have', 'write xn--zhler-gra.local'],
  ['\uff11\uff10.0.0.8', 'letters that DNS does not have', 'write 10.0.0.8'],
  ['plc..example', 'two dots in a row', "a name has letters, digits, '-' and '_', up to 63 between two dots"],
  ['-plc', "'-plc'", "a name has letters, digits, '-' and '_', up to 63 between two dots"],
  [`${'a'.repeat(64)}.example`, 'aaaa', "a name has letters, digits, '-' and '_', up to 63 between two dots"],
  ['a.'.repeat(130) + 'b', '261 characters', 'DNS allows 253'],
];

describe('a host', () => {
  for (const host of good) it(`may be '${host}'`, () => assert.equal(hostFault(host), undefined));

  for (const [host, wrong, remedy] of bad) {
    it(`may not be ${JSON.stringify(host.slice(0, 40))}`, () => {
      const fault = hostFault(host) ?? 'it is accepted';
      assert.ok(fault.includes(wrong), `'${fault}' does not say '${wrong}'`);
      const said = fault.slice(fault.indexOf('; ') + 2);
      assert.equal(said, remedy);
    });
  }

  it('has one reading as an IPv4 address: four decimal numbers as they are usually written', () => {
    const octet = fc.oneof(fc.nat(999).map(String), fc.stringMatching(/^0[0-9]{1,3}$/));
    fc.assert(
      fc.property(fc.array(octet, { minLength: 1, maxLength: 6 }), (numbers) => {
        const text = numbers.join('.');
        const isPlain =
          numbers.length === 4 &&
          numbers.every((each) => String(Number(each)) === each && Number(each) < 256);
        const isReachable = isPlain && Number(numbers[0]) > 0 && Number(numbers[0]) < 224;
        assert.equal(hostFault(text) === undefined, isReachable, text);
      }),
    );
  });

  it('never throws for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const fault = hostFault(text);
        assert.ok(fault === undefined || fault.includes('; '), text);
      }),
    );
  });

  it('to listen at may be every address of the box', () => {
    for (const host of ['0.0.0.0', '::', '127.0.0.1', 'localhost']) {
      assert.equal(hostFault(host, 'listen'), undefined);
    }
    assert.match(hostFault('127.1', 'listen')!, /short or hexadecimal/);
    assert.match(hostFault('127.0.0.010', 'listen')!, /octal/);
  });

  it('has one spelling', () => {
    assert.equal(canonicalHost('PLC.Example'), 'plc.example');
    assert.equal(canonicalHost('2001:DB8:0:0::1'), '2001:db8::1');
    assert.equal(canonicalHost('FE80:0::1%eth0'), 'fe80::1%eth0');
    assert.equal(canonicalHost('192.168.1.10'), '192.168.1.10');
  });
});

describe("a broker's address", () => {
  const address = (text: string) => {
    const parsed = parseBrokerUrl(text);
    return 'fault' in parsed ? parsed.fault : formatAuthority(parsed);
  };

  it('is a host with a port or without one', () => {
    assert.equal(address('mqtts://broker.example.com'), 'broker.example.com:8883');
    assert.equal(address('MQTTS://broker.example.com:1/'), 'broker.example.com:1');
    assert.equal(address('mqtts://[2001:db8::1]:8884'), '[2001:db8::1]:8884');
    assert.equal(address('mqtts://[fe80::1%25eth0]'), '[fe80::1%eth0]:8883');
    assert.equal(address('mqtts://10.0.0.8:'), '10.0.0.8:8883');
  });

  const faults: [string, RegExp][] = [
    ['mqtts://10.0.0.010:8883', /leading zeros.*octal; write 10\.0\.0\.10$/],
    ['mqtts://192.168.1.300', /300 is above 255/],
    ['mqtts://127.1:8883', /short or hexadecimal/],
    ['mqtts://2001:db8::1', /has no brackets; write mqtts:\/\/\[2001:db8::1\]:8883/],
    ['mqtts://::1', /has no brackets; write mqtts:\/\/\[::1\]:8883/],
    ['mqtts://[10.0.0.8]', /no IPv6 address; write 10\.0\.0\.8 without brackets/],
    ['mqtts://[fe80::1]:8883', /link-local/],
    ['mqtts://broker.example.com.', /ends in a dot; write broker\.example\.com$/],
    ['mqtts://br%6fker', /a name has letters/],
    ['mqtts://zähler.local', /write xn--zhler-gra\.local/],
    ['mqtts://broker:99999', /port 99999 does not exist/],
    ['mqtts://broker:0', /port 0/],
    ['mqtts://broker:8883:8884', /is not a broker's address/],
    ['mqtts://me@broker', /no user or password/],
    ['mqtts://broker/path', /something after the port; write mqtts:\/\/broker$/],
    ['mqtts://broker?x', /something after the port/],
    ['ssl://broker:8883', /'ssl:\/\/' is not mutual TLS; write mqtts:\/\/broker:8883/],
    ['broker:8883', /write mqtts:\/\/host:port/],
    ['mqtts://', /write mqtts:\/\/host:port/],
    ['mqtts:///', /write mqtts:\/\/host:port/],
    ['mqtts:broker', /write mqtts:\/\/host:port/],
    ['', /write mqtts:\/\/host:port/],
  ];
  for (const [text, words] of faults) {
    it(`is not '${text}'`, () => assert.match(address(text), words));
  }
});
