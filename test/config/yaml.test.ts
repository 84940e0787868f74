import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatFault } from '../../src/config/fault-line.ts';
import { parseConfig } from '../../src/config/load-config.ts';
import { parseProfile } from '../../src/config/profile/profile.ts';

const file = '/site.yaml';
const base = `silos:
  - name: north
    identity: { certificate: ./north.crt, privateKey: ./north.key, trust: ./tenant-ca.crt }
    uplink: { url: 'mqtts://broker.example.com', ca: ./broker-ca.crt }
buses:
  - name: plant
    kind: modbus-tcp
    host: 192.0.2.10
`;

function faultsOf(content: string | Buffer): string[] {
  const result = parseConfig(file, content);
  return 'faults' in result ? result.faults.map((fault) => formatFault(fault).slice(file.length + 1)) : [];
}

const device = (rest: string): string =>
  `${base}devices:\n  - name: d\n    bus: plant\n    unitId: 1\n    points: [{ name: t, table: holding, address: 1, type: int16 }]\n${rest}`;

describe('YAML that looks valid but is not', () => {
  const cases: [string, string | Buffer, string[]][] = [
    [
      'two merge keys',
      base.replace(
        '  - name: plant\n',
        '  - <<: { kind: modbus-tcp }\n    <<: { port: 502 }\n    name: plant\n',
      ),
      ["7:5: a map has one '<<' only; give it a list: <<: [*first, *second]"],
    ],
    [
      'a no-break space behind a colon',
      base.replace('kind: modbus-tcp', 'kind:\u00a0modbus-tcp'),
      ['7:10: U+00A0 looks like a blank but is not one; type a blank in its place'],
    ],
    [
      'no-break spaces as indentation',
      base.replace('    kind', '\u00a0\u00a0\u00a0\u00a0kind'),
      [1, 2, 3, 4].map(
        (column) => `7:${column}: U+00A0 looks like a blank but is not one; type a blank in its place`,
      ),
    ],
    [
      'an ideographic space',
      base.replace('host: ', 'host:\u3000'),
      ['8:10: U+3000 looks like a blank but is not one; type a blank in its place'],
    ],
    [
      'a character without a width',
      base.replace('name: plant', 'name: plant\u200b'),
      ['6:16: U+200B is here, an invisible character; delete it'],
    ],
    [
      'a mark of direction',
      base.replace('192.0.2.10', '\u202a192.0.2.10'),
      ['8:11: U+202A is here, an invisible character; delete it'],
    ],
    [
      'typographic quotes',
      base.replace('host: 192.0.2.10', 'host: \u201c192.0.2.10\u201d'),
      [`8:11: U+201C is a typographic quote, which YAML takes for a letter; write ' or "`],
    ],
    [
      'a tab deep in a map',
      base.replace('    host', '\thost'),
      ['8:1: tabs are not allowed as indentation; indent with spaces'],
    ],
    [
      'a tab behind blanks',
      base.replace('    host', '  \thost'),
      ['8:3: tabs are not allowed as indentation; indent with spaces'],
    ],
    [
      'a tab before a list',
      device('    only:\n\t- t\n'),
      ['15:1: tabs are not allowed as indentation; indent with spaces'],
    ],
    [
      'a tab in a map of braces',
      base.replace('{ url:', '{\n\turl:'),
      ['5:1: tabs are not allowed as indentation; indent with spaces'],
    ],
    ['UTF-16', Buffer.from(`\ufeff${base}`, 'utf16le'), ['1:1: the file is in UTF-16; save it as UTF-8']],
    [
      'UTF-16, high byte first',
      Buffer.from(`\ufeff${base}`, 'utf16le').swap16(),
      ['1:1: the file is in UTF-16; save it as UTF-8'],
    ],
    ['UTF-16 without a mark', Buffer.from(base, 'utf16le'), ['1:1: the file is in UTF-16; save it as UTF-8']],
    [
      'Latin-1',
      Buffer.from(base.replace('name: plant', 'name: plant # Zähler'), 'latin1'),
      ['6:20: a letter here is not in UTF-8; save the file as UTF-8'],
    ],
    [
      'several documents',
      `${base}---\n${base}---\n${base}`,
      ["9:1: a second document begins here; remove the '---' and what comes after it"],
    ],
    [
      'an older YAML, which reads 010 as 8',
      `%YAML 1.1\n---\n${base}`,
      ["1:1: YAML 1.1 reads numbers such as 010 and 1:30 otherwise; remove the line '%YAML 1.1'"],
    ],
    [
      'a number in quotes',
      base.replace('modbus-tcp\n', "modbus-tcp\n    port: '502'\n"),
      ["8:11: '502' is no number; remove the quotes"],
    ],
    [
      'a unit id in quotes',
      device('').replace('unitId: 1', "unitId: '1'"),
      ["12:13: '1' is no number; remove the quotes"],
    ],
    [
      'a truth in quotes',
      device("    shared: 'true'\n"),
      ["14:13: 'true' is no true or false; remove the quotes"],
    ],
    [
      'an IPv6 address without brackets',
      base.replace('mqtts://broker.example.com', 'mqtts://2001:db8::1'),
      ["4:20: the IPv6 address in 'mqtts://2001:db8::1' has no brackets; write mqtts://[2001:db8::1]:8883"],
    ],
  ];
  for (const [title, content, expected] of cases) {
    it(`is reported with its place and its remedy: ${title}`, () =>
      assert.deepEqual(faultsOf(content), expected));
  }

  it('reports other faults too, up to the line that stops the parser', () => {
    const text = base.replace('kind: modbus-tcp', 'kind: @x').replace('    host', '\thost');
    assert.deepEqual(faultsOf(text), [
      "7:11: plain value cannot start with reserved character @; mind the indentation, and quote text that begins with a sign or holds ': '",
      '8:1: tabs are not allowed as indentation; indent with spaces',
    ]);
  });

  it('is reported in a profile as well', () => {
    const profile = 'profile: x\nvendor:\u00a0y\n';
    assert.throws(() => parseProfile('/x.yaml', profile), {
      subject: '/x.yaml:2:8',
      message: 'U+00A0 looks like a blank but is not one',
      hint: 'type a blank in its place',
    });
    const quoted = `profile: x
vendor: y
models: [z]
description: d
interface: modbus-rtu
line: { baudRate: '9600' }
identify: [{ table: input, address: 0, type: uint16, equals: 1 }]
points: [{ name: p, table: input, address: 0, type: uint16 }]
sources: [{ title: t }]
`;
    assert.throws(() => parseProfile('/x.yaml', quoted), {
      subject: '/x.yaml:6:9',
      message: "'9600' is no number",
      hint: 'remove the quotes',
    });
    assert.throws(
      () => parseProfile('/x.yaml', quoted.replace("'9600'", '9600').replace(/^sources.*\n/m, '')),
      {
        message: "'sources' is missing",
        hint: 'add it; docs/profiles.md lists the keys',
      },
    );
    assert.throws(() => parseProfile('/x.yaml', Buffer.from(`\ufeff${profile}`, 'utf16le')), {
      subject: '/x.yaml:1:1',
      hint: 'save it as UTF-8',
    });
  });
});

describe('YAML that looks odd but is valid', () => {
  it('holds any character in quotes, blocks and comments', () => {
    const text = device('    # caf\u00e9\u00a0\u201cx\u201d \u200b\n').replace(
      'type: int16',
      'type: int16, enum: { 1: "a\u00a0b \u201cc\u201d" }',
    );
    assert.deepEqual(faultsOf(text), []);
  });

  it('may have tabs between values, CR LF and a mark at the front', () => {
    assert.deepEqual(faultsOf(`\ufeff${base.replaceAll('\n', '\r\n').replace('host: ', 'host: \t')}`), []);
    assert.deepEqual(faultsOf(`---\n${base}...\n`), []);
  });

  it('allows anchors and notes under keys that begin with x-', () => {
    const text = `x-defaults:\n  bus: &bus { kind: modbus-tcp, port: 502 }\nx-note: anything\n${base.replace(
      '    kind: modbus-tcp\n',
      '    <<: *bus\n',
    )}`;
    assert.deepEqual(faultsOf(text), []);
    assert.match(faultsOf(text.replace('x-note', 'note'))[0]!, /unknown key 'note'/);
    assert.match(faultsOf(device('    x-note: 1\n'))[0]!, /unknown key 'x-note'/);
    // Faults behind an alias have the place of the value.
    assert.match(faultsOf(text.replace('port: 502', 'port: 0'))[0]!, /^2:39: 0 is out of range/);
  });
});
