/** One tenant of the demo, and what is shown of its devices. */
export interface Tenants {
  /** The silo's local label. */
  silo: string;
  tenant: string;
  gateway: string;
  /** Of the 256-colour palette. */
  colour: number;
  devices: readonly DemoDevice[];
}

interface DemoDevice {
  name: string;
  /** The points that the screen shows, the most important first. */
  points: readonly { name: string; unit?: string }[];
}

export const tenants: readonly [Tenants, Tenants] = [
  {
    silo: 'ground-floor',
    tenant: 'acme',
    gateway: 'acme_gw-0001',
    colour: 215,
    devices: [
      {
        name: 'main-meter',
        points: [
          { name: 'power', unit: 'W' },
          { name: 'voltage_l1', unit: 'V' },
          { name: 'current_l1', unit: 'A' },
          { name: 'energy_import', unit: 'kWh' },
        ],
      },
      {
        name: 'boiler',
        points: [
          { name: 'flow_temp', unit: 'Cel' },
          { name: 'return_temp', unit: 'Cel' },
          { name: 'burner' },
        ],
      },
    ],
  },
  {
    silo: 'upper-floor',
    tenant: 'borealis',
    gateway: 'borealis_gw-0001',
    colour: 80,
    devices: [
      {
        name: 'chiller',
        points: [
          { name: 'power', unit: 'W' },
          { name: 'frequency', unit: 'Hz' },
        ],
      },
      {
        name: 'cold-room',
        points: [
          { name: 'temperature', unit: 'Cel' },
          { name: 'humidity', unit: '%RH' },
        ],
      },
      {
        name: 'mast',
        points: [
          { name: 'wind_speed', unit: 'm/s' },
          { name: 'wind_angle', unit: 'deg' },
          { name: 'air_temperature', unit: 'Cel' },
        ],
      },
    ],
  },
];

/** The backend's certificate. */
export const backend = { tenant: 'operator', gateway: 'backend' };

/** Unit ids on the bus. The two floors share both lines. */
export const unitIds = { mainMeter: 1, chiller: 2, boiler: 11, coldRoom: 12 } as const;
