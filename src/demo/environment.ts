import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { Broker } from '../simulator/broker.ts';
import { createAuthority, type IssuedCertificate } from '../simulator/certificate-authority.ts';
import { Boiler, ColdRoom } from '../simulator/climate.ts';
import { Meter } from '../simulator/meter.ts';
import { startModbusRtuDevice } from '../simulator/modbus-rtu-device.ts';
import { startModbusTcpDevice } from '../simulator/modbus-tcp-device.ts';
import { startNmeaSensor } from '../simulator/nmea-sensor.ts';
import type { ModbusUnit } from '../simulator/register-image.ts';
import { openPtyPair } from '../simulator/pty.ts';
import { backend, tenants, unitIds } from './tenants.ts';
import { configText } from './config-text.ts';

/** Everything around the gateway: a folder, certificates, a broker, buses with devices, a configuration. */
export interface Environment {
  directory: string;
  configFile: string;
  broker: Broker;
  /** Paths by the name that the certificate was issued under. */
  pem: (name: string) => { certificate: string; privateKey: string };
  ca: string;
  /** Unit ids on the serial line that do not answer. */
  unplugged: Set<number>;
  /** Takes everything down, in the reverse order. */
  close(): Promise<void>;
}

/** A character on the line: 11 bits at 19,200 baud. */
const characterMs = (11 * 1000) / 19_200;

/** Throws what the failed part throws; the parts made before it are taken down. */
export async function openEnvironment(): Promise<Environment> {
  await using parts = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'merestone-demo-'));
  parts.defer(() => rm(directory, { recursive: true, force: true }));

  const { broker, pem, ca } = await openBroker(directory);
  parts.defer(() => broker.close());

  const plant = await startModbusTcpDevice(
    new Map([
      [unitIds.mainMeter, new Meter({ seed: 1, peakW: 18_000, importKwh: 18_204 }, systemClock)],
      [unitIds.chiller, new Meter({ seed: 4, peakW: 7_500, importKwh: 5_117 }, systemClock)],
    ]),
  );
  parts.defer(() => plant.close());

  const rs485 = await openPtyPair(directory, 'rs485');
  parts.defer(() => rs485.close());
  const unplugged = new Set<number>();
  const units = new Map<number, ModbusUnit>([
    [unitIds.boiler, new Boiler(systemClock)],
    [unitIds.coldRoom, new ColdRoom(systemClock)],
  ]);
  const rtu = await startModbusRtuDevice(units, {
    path: rs485.deviceEnd,
    answerAfterMs: (unitId, bytes) => (unplugged.has(unitId) ? undefined : 5 + bytes * characterMs),
  });
  parts.defer(() => rtu.close());

  const wind = await openPtyPair(directory, 'wind');
  parts.defer(() => wind.close());
  const mast = await startNmeaSensor(wind.deviceEnd);
  parts.defer(() => mast.close());

  const configFile = join(directory, 'merestone.yaml');
  await writeFile(
    configFile,
    configText({
      brokerPort: broker.port,
      plantPort: plant.port,
      rs485: rs485.gatewayEnd,
      wind: wind.gatewayEnd,
    }),
  );
  const standing = parts.move();
  return { directory, configFile, broker, pem, ca, unplugged, close: () => standing.disposeAsync() };
}

async function openBroker(directory: string): Promise<Pick<Environment, 'broker' | 'pem' | 'ca'>> {
  const authority = await createAuthority('Merestone demo CA');
  const ca = join(directory, 'ca.crt');
  await writeFile(ca, authority.certificatePem);
  const pem = (name: string): { certificate: string; privateKey: string } => ({
    certificate: join(directory, `${name}.crt`),
    privateKey: join(directory, `${name}.key`),
  });
  const keep = async (name: string, issued: IssuedCertificate): Promise<void> => {
    await writeFile(pem(name).certificate, issued.certificatePem);
    await writeFile(pem(name).privateKey, issued.privateKeyPem, { mode: 0o600 });
  };
  for (const { tenant, gateway } of [...tenants, backend]) {
    const spiffe = `spiffe://demo.merestone/tenant/${tenant}/gateway/${gateway}`;
    await keep(gateway, await authority.issue({ organization: tenant, commonName: gateway, spiffe }));
  }
  const server = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
  const own = await authority.issue({ commonName: 'Merestone demo broker', server });
  const broker = await Broker.start({
    certificate: own.certificatePem,
    privateKey: own.privateKeyPem,
    clientCa: authority.certificatePem,
    backendCommonName: backend.gateway,
  });
  return { broker, pem, ca };
}
