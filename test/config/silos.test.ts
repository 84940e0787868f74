import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatFault } from '../../src/config/fault-line.ts';
import { parseConfig } from '../../src/config/load-config.ts';

const file = '/etc/merestone/merestone.yaml';

/** Two silos; further keys of `north` begin in line 4, and those of `south` after `name: south`. */
function configOf({ north = [], south = [], head = '' }: Record<string, string[] | string>): string {
  const silo = (name: string, more: string[] | string): string =>
    [
      `  - name: ${name}`,
      `    identity: { certificate: ${name}.crt, privateKey: ${name}.key, trust: ca.crt }`,
      "    uplink: { url: 'mqtts://broker', ca: ca.crt }",
      ...[more].flat().map((line) => `    ${line}`),
      '',
    ].join('\n');
  return `silos:\n${silo('north', north)}${silo('south', south)}${String(head)}`;
}

function faultsOf(text: string): string[] {
  const result = parseConfig(file, text);
  if ('options' in result) return [];
  return result.faults.map((fault) => formatFault(fault).slice(file.length + 1));
}

const noFloor = 'give each its own: a shared folder separates nothing';

describe('what two silos may not share', () => {
  it('is a key or a certificate, in any spelling of its path', () => {
    const text = configOf({})
      .replace('south.crt', '../merestone/north.crt')
      .replace('south.key', './north.key');
    assert.deepEqual(faultsOf(text), [
      "6:30: silo 'north' has the same certificate; give each silo its own, or make them one silo",
      "6:66: silo 'north' has the same private key; give each silo its own: a shared key separates nothing",
    ]);
  });

  it('is a folder of keys', () => {
    const keyDir = ['spool: { keyDir: /srv/keys }'];
    const [fault, ...more] = faultsOf(configOf({ north: keyDir, south: keyDir }));
    assert.match(
      fault!,
      /silo 'north' has the same folder of keys; give each its own: a shared key separates nothing/,
    );
    assert.deepEqual(more, []);
  });

  it('is a socket', () => {
    const processes = (north: string, south: string): string =>
      configOf({
        north: ['isolation: process', `socket: ${north}`],
        south: ['isolation: process', `socket: ${south}`],
      });
    assert.deepEqual(faultsOf(processes('./n.sock', './s.sock')), []);
    assert.deepEqual(faultsOf(processes('./n.sock', '/etc/merestone/n.sock')), [
      "11:13: silo 'north' has the same socket; give each its own: one socket cannot serve two silos",
    ]);
  });

  const floors: [string, Parameters<typeof configOf>[0], string[]][] = [
    [
      'a state folder',
      { north: ['stateDir: /srv/silo'], south: ['stateDir: /srv/x/../silo'] },
      [`9:15: this is the state folder of silo 'north' (/srv/silo); ${noFloor}`],
    ],
    [
      'a folder that the other has by default',
      { north: ['stateDir: ./state/silos/south'], head: 'stateDir: ./state\n' },
      [`5:15: this is the state folder of silo 'south' (/etc/merestone/state/silos/south); ${noFloor}`],
    ],
    [
      "a folder within the other's",
      { north: ['stateDir: /srv/silo'], south: ['stateDir: /srv/silo/south'] },
      [`9:15: this lies within the state folder of silo 'north' (/srv/silo); ${noFloor}`],
    ],
    [
      "a folder around the other's",
      { south: ['stateDir: /var/lib/merestone'] },
      [`8:15: this holds the state folder of silo 'north' (/var/lib/merestone/silos/north); ${noFloor}`],
    ],
    [
      'the root',
      { north: ['stateDir: /'] },
      [`5:15: this holds the state folder of silo 'south' (/var/lib/merestone/silos/south); ${noFloor}`],
    ],
    [
      'nothing where names only begin alike',
      { north: ['stateDir: /srv/silo'], south: ['stateDir: /srv/silo-2'] },
      [],
    ],
    [
      'nothing where one begins with dots',
      { north: ['stateDir: /srv/a'], south: ['stateDir: /srv/..a'] },
      [],
    ],
  ];
  for (const [name, parts, expected] of floors) {
    it(`is ${name}`, () => assert.deepEqual(faultsOf(configOf(parts)), expected));
  }
});

describe('invalid settings of a silo', () => {
  const cases: [string, string[], string][] = [
    ['invalid shares', ['quota: { busShare: 0 }'], '5:24: 0 is out of range; write at least 0.01'],
    ['shares in percent', ['quota: { cpuShare: 50 }'], '5:24: 50 is out of range; write at most 1'],
    [
      'an isolation that does not exist',
      ['isolation: container'],
      "5:16: 'container' is not one of thread, process; choose one of them",
    ],
    [
      'a socket for a thread',
      ['socket: ./n.sock'],
      "5:13: 'socket' is for isolation: process, and this silo is a thread; write both, or remove it",
    ],
    [
      "a socket that is the daemon's own",
      ['isolation: process', 'socket: /run/merestone/control.sock'],
      "6:13: this is the daemon's own control socket; name another",
    ],
    [
      'a socket that no kernel takes',
      ['isolation: process', `socket: /${'s'.repeat(107)}`],
      "6:13: a socket's path has 107 bytes at most, and this one 108; shorten it",
    ],
    [
      'a folder for its key where its spool is',
      ['spool: { keyDir: /var/lib/merestone/silos/north/keys }'],
      "5:22: this is in the state folder of silo 'north', beside what the key protects; name another place",
    ],
  ];
  for (const [name, north, expected] of cases) {
    it(`is ${name}`, () => assert.deepEqual(faultsOf(configOf({ north })), [expected]));
  }
});
