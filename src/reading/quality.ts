/**
 * Why a point has no value, or has one that can't be trusted:
 * - `timeout`: the device did not answer in time
 * - `exception:N`: it answered with Modbus exception code N (Modbus V1.1b3 §7), now or when it was last asked
 * - `crc`: an answer came on a line, but damaged (check sum, length, wrong unit or function)
 * - `invalid`: it was read, and the device marks it as not a number or the bytes make no value; or what came by
 *   Modbus TCP, which has no check sum, answers something else than was asked
 * - `stale`: a free-running sensor has not sent it for longer than its interval allows
 * - `offline`: the port or connection is not there, or the device is in a pause after failures
 * - `implausible`: it was read and has a value, but that is outside its range, or the device says that it is another
 */
export type Quality =
  | 'timeout'
  | `exception:${number}`
  | 'crc'
  | 'invalid'
  | 'stale'
  | 'offline'
  | 'implausible';
