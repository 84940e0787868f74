import { MerestoneError } from '../base/error.ts';
import { nearestName } from '../base/nearest-name.ts';
import { plainDocument } from '../base/plain-text.ts';
import { findControlSocket } from '../config/load-config.ts';
import { connectControl, type ControlClient } from '../admin/control-client.ts';
import type { SiloDevices, TailFilter, TailItem } from '../admin/control-protocol.ts';
import type { Command } from './command.ts';
import { print, printJson, remark, type Style, styler } from './output.ts';

interface TailArguments {
  device: string[] | undefined;
  silo: string[] | undefined;
  seconds: number | undefined;
  count: number | undefined;
}

const command: Command<TailArguments> = {
  command: 'tail',
  describe: 'samples as they arrive, one line each',
  builder: (parser) =>
    parser
      .option('device', { describe: 'only this device; may be repeated', type: 'string', array: true })
      .option('silo', { describe: 'only this silo; may be repeated', type: 'string', array: true })
      .option('seconds', { describe: 'stop after this long', type: 'number', requiresArg: true })
      .option('count', { describe: 'stop after this many samples', type: 'number', requiresArg: true })
      .check(({ seconds, count }) => {
        for (const [name, value] of Object.entries({ seconds, count })) {
          if (value !== undefined && !(value > 0)) return `--${name} wants a number above 0`;
        }
        return true;
      }),
  handler: async ({ config, json, device, silo, seconds, count = Infinity }) => {
    const client = await connectControl(findControlSocket(config));
    const stop = new AbortController();
    const onSignal = (): void => stop.abort();
    process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
    const timer = seconds === undefined ? undefined : setTimeout(onSignal, seconds * 1000);
    try {
      const filter = { ...(device && { devices: device }), ...(silo && { silos: silo }) };
      const units = await readUnits(client, filter);
      const format = json ? undefined : lineFormat(units, styler());
      let left = count;
      await client.tail(
        filter,
        {
          item: (item) => {
            if (left-- <= 0) return undefined;
            if (left <= 0) stop.abort();
            return format === undefined ? printJson(documentOf(item)) : print(format(plainDocument(item)));
          },
          lost: (missed) => remark(`${missed} samples missed: they come faster than they are read here`),
        },
        stop.signal,
      );
    } finally {
      clearTimeout(timer);
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
      client.close();
    }
  },
};
export default command;

/** Units by silo, device and point. Throws Usage if the filter names something that does not exist. */
async function readUnits(client: ControlClient, filter: TailFilter): Promise<Map<string, string>> {
  const silos = (await client.request('devices')) as SiloDevices[];
  const deviceNames = silos.flatMap(({ devices }) => devices.map(({ name }) => name));
  demandKnown(
    'silo',
    filter.silos,
    silos.map(({ silo }) => silo),
  );
  demandKnown('device', filter.devices, deviceNames);
  const units = new Map<string, string>();
  for (const { silo, devices } of plainDocument(silos)) {
    for (const { name, points } of devices) {
      for (const point of points) if (point.unit) units.set(`${silo} ${name} ${point.name}`, point.unit);
    }
  }
  return units;
}

function demandKnown(what: string, wanted: string[] | undefined, known: string[]): void {
  for (const name of wanted ?? []) {
    if (known.includes(name)) continue;
    const meant = nearestName(name, known);
    const hint = meant === undefined ? `there is: ${known.join(', ') || 'none'}` : `did you mean '${meant}'?`;
    throw new MerestoneError('Usage', `the daemon has no ${what} '${name}'`, { hint });
  }
}

function documentOf({ silo, sample }: TailItem): object {
  const { device, wallMs, values, quality } = sample;
  return { silo, device, ts: wallMs, values, ...(quality && { quality }) };
}

/** `22:15:03.123  north  main-meter  voltage_l1=230.4 V  voltage_l2=6553.5 V implausible  power_l2: timeout`. */
function lineFormat(
  units: ReadonlyMap<string, string>,
  paint: (style: Style, text: string) => string,
): (item: TailItem) => string {
  return ({ silo, sample }) => {
    const at = new Date(sample.wallMs);
    const time = `${at.toTimeString().slice(0, 8)}.${String(at.getMilliseconds()).padStart(3, '0')}`;
    const quality = new Map(Object.entries(sample.quality ?? {}));
    const values = Object.entries(sample.values).map(([point, value]) => {
      const unit = units.get(`${silo} ${sample.device} ${point}`);
      const shown = `${paint('bold', String(value))}${unit === undefined ? '' : ` ${unit}`}`;
      const doubt = quality.get(point);
      quality.delete(point);
      return `${paint('dim', `${point}=`)}${shown}${doubt === undefined ? '' : ` ${paint('yellow', doubt)}`}`;
    });
    const missing = [...quality].map(([point, why]) =>
      paint(why === 'invalid' || why === 'stale' ? 'yellow' : 'red', `${point}: ${why}`),
    );
    return [paint('dim', time), silo, paint('cyan', sample.device), ...values, ...missing].join('  ');
  };
}
