import { tenants, unitIds } from './tenants.ts';

export interface Wiring {
  brokerPort: number;
  plantPort: number;
  /** Paths of the gateway's ends of the serial lines. */
  rs485: string;
  wind: string;
}

/** The configuration of the demo's gateway: two silos on shared buses. Paths are relative to its folder. */
export function configText({ brokerPort, plantPort, rs485, wind }: Wiring): string {
  const [acme, borealis] = tenants;
  const silo = (name: string, gateway: string): string => `
  - name: ${name}
    identity: { certificate: ./${gateway}.crt, privateKey: ./${gateway}.key, trust: ./ca.crt }
    uplink:
      url: mqtts://localhost:${brokerPort}
      ca: ./ca.crt
      protocol: 3.1.1
    batch: { linger: 500ms }`;
  return `# Written by merestone demo: one box for two tenants of a building, on shared buses.
stateDir: ./state
control: { socket: ./control.sock }
silos:${silo(acme.silo, acme.gateway)}${silo(borealis.silo, borealis.gateway)}
buses:
  - { name: plant, kind: modbus-tcp, host: 127.0.0.1, port: ${plantPort} }
  - { name: rs485, kind: modbus-rtu, port: ${rs485}, baudRate: 19200, parity: even, stopBits: 1 }
  - { name: wind, kind: serial, port: ${wind}, baudRate: 4800 }
devices:
  - { name: main-meter, silo: ${acme.silo}, bus: plant, unitId: ${unitIds.mainMeter}, profile: eastron-sdm630, every: 500ms }
  - { name: chiller, silo: ${borealis.silo}, bus: plant, unitId: ${unitIds.chiller}, profile: eastron-sdm630, every: 500ms }
  - name: boiler
    silo: ${acme.silo}
    bus: rs485
    unitId: ${unitIds.boiler}
    every: 1s
    responseTimeout: 300ms
    points:
      - { name: flow_temp, table: holding, address: 40, type: int16, scale: 0.1, unit: Cel }
      - { name: return_temp, table: holding, address: 41, type: int16, scale: 0.1, unit: Cel }
      - { name: modulation, table: input, address: 10, type: uint16, unit: '%' }
      - { name: burner, table: discrete, address: 0, type: bool }
  - name: cold-room
    silo: ${borealis.silo}
    bus: rs485
    unitId: ${unitIds.coldRoom}
    every: 1s
    responseTimeout: 300ms
    points:
      - { name: temperature, table: input, address: 1, type: int16, scale: 0.1, unit: Cel }
      - { name: humidity, table: input, address: 2, type: uint16, scale: 0.1, unit: '%RH' }
  - { name: mast, silo: ${borealis.silo}, bus: wind, profile: nmea-0183, every: 1s }
`;
}
