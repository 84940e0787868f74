/** Exception codes of Modbus V1.1b3 §7, in words, and what a technician can do about each. */
interface ExceptionText {
  name: string;
  hint: string;
}

const known: Readonly<Record<number, ExceptionText>> = {
  1: {
    name: 'illegal function',
    hint: 'it does not serve this table; try input in place of holding, or back',
  },
  2: {
    name: 'illegal data address',
    hint: 'the device does not have this register; compare the address with its own list, which may count from 1',
  },
  3: { name: 'illegal data value', hint: "it refuses this count; lower 'registersMax' of the device" },
  4: { name: 'device failure', hint: 'it failed while it read the value; look at its own display or log' },
  5: { name: 'acknowledge', hint: "it is busy with a long task; lengthen 'every' if this lasts" },
  6: { name: 'device busy', hint: "it has no time now; lengthen 'every' or 'requestGap' if this lasts" },
  7: { name: 'negative acknowledge', hint: 'it cannot do this now; look at its own display or log' },
  8: { name: 'memory parity error', hint: 'its memory is damaged; restart it, then have it serviced' },
  10: {
    name: 'gateway path unavailable',
    hint: "the gateway has no line for this unit; check its routing and the device's 'unitId'",
  },
  11: {
    name: 'gateway target device failed to respond',
    hint: "the unit behind the gateway is silent; check its power, its wiring and the device's 'unitId'",
  },
};

/**
 * §7: codes 1, 2 and 3 are about the request, and may mean that the register does not exist. Every other code is about
 * the state of the device, or of the gateway before it, and says nothing about a register.
 */
export function isAboutTheRequest(exceptionCode: number): boolean {
  return exceptionCode >= 1 && exceptionCode <= 3;
}

/** Sent by the gateway, not by the device behind it. */
export function isOfTheGateway(exceptionCode: number): boolean {
  return exceptionCode === 10 || exceptionCode === 11;
}

/** `exception 11 (gateway target device failed to respond) for 2 of holding 50; what to do`. */
export function describeException(exceptionCode: number, place: string): string {
  const words = known[exceptionCode];
  if (words === undefined) {
    return `exception ${exceptionCode} (not of the Modbus specification) for ${place}; see the manual of the device`;
  }
  return `exception ${exceptionCode} (${words.name}) for ${place}; ${words.hint}`;
}
