import { writeFileSync } from 'node:fs';
import { grafanaDashboard } from './grafana/dashboard.ts';

// Writes config/grafana-dashboard.json anew after a change in scripts/grafana/; a test holds the two together.
const file = new URL('../config/grafana-dashboard.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(grafanaDashboard(), null, 2)}\n`);
