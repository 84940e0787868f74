/** A machine with two busy cores gets this long for what takes milliseconds on an idle one. */
const timeoutMsDefault = 60_000;

/** Waits until `condition` holds (is truthy); throws after `timeoutMs`, naming `what`. */
export async function until(
  condition: () => unknown,
  what: string | (() => string),
  timeoutMs = timeoutMsDefault,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${typeof what === 'string' ? what : what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
