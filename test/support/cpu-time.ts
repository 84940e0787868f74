import { WASI } from 'node:wasi';

/** (module (memory (export "memory") 1)) */
const memoryModule = Buffer.from('0061736d010000000503010001070a01066d656d6f72790200', 'hex');

/** CLOCK_THREAD_CPUTIME_ID (WASI preview 1, `clockid`). */
const threadCpuTime = 3;

interface Instance {
  exports: { memory: { buffer: ArrayBuffer } };
}

/** WebAssembly of the language, which TypeScript types only for browsers. */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { instantiate(module: Uint8Array): Promise<{ instance: Instance }> };
};

const { instance } = await WebAssembly.instantiate(memoryModule);
const wasi = new WASI({ version: 'preview1' });
wasi.initialize(instance);
const { clock_time_get: readClock } = wasi.wasiImport as {
  clock_time_get: (clock: number, precision: bigint, address: number) => number;
};
const view = new DataView(instance.exports.memory.buffer);

/**
 * CPU time that this thread has used, ms. To the nanosecond; `process.threadCpuUsage()` moves with the kernel's tick.
 */
export function threadCpuMs(): number {
  readClock(threadCpuTime, 1n, 0);
  return Number(view.getBigUint64(0, true)) / 1e6;
}
