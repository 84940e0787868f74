import type { Quality } from '../../reading/quality.ts';
import type { IdentityCheckStatus } from '../../status/status.ts';
import type { FrameIdentity } from '../options.ts';
import type { MessageReader, Telegram } from './message-reader.ts';
import { compilePattern } from './pattern.ts';

export interface IdentifiedMessages extends MessageReader {
  readonly identity: IdentityCheckStatus;
  /** Another sensor may be heard from now on. */
  suspect(): void;
}

/**
 * Messages of a sensor whose frames identify it. While they show another kind of device, no value counts as good.
 * Throws ProfileInvalid for an invalid pattern.
 */
export function identifiedMessages(
  messages: MessageReader,
  frames: FrameIdentity | 'off' | undefined,
  onChange: (identity: IdentityCheckStatus) => void,
): IdentifiedMessages {
  const inquiry = new FrameInquiry(frames, onChange);
  return {
    read: (frame) => {
      const telegram = messages.read(frame);
      inquiry.saw(frame, telegram !== null);
      const { state, reason } = inquiry.status;
      return telegram !== null && state === 'contradicted' ? doubted(telegram, reason!) : telegram;
    },
    readDamaged: (frame) => messages.readDamaged(frame),
    suspect: () => inquiry.suspect(),
    get identity() {
      return inquiry.status;
    },
  };
}

/** The identity that a sensor's frames show. Once known, it is checked again only after another may have come. */
class FrameInquiry {
  readonly #fits: ((frame: Uint8Array) => boolean) | null;
  readonly #others: readonly { fits: (frame: Uint8Array) => boolean; is: string }[];
  readonly #onChange: (identity: IdentityCheckStatus) => void;
  #isSettled = false;
  #status: IdentityCheckStatus;

  constructor(frames: FrameIdentity | 'off' | undefined, onChange: (identity: IdentityCheckStatus) => void) {
    const { pattern, others = [] } = frames === undefined || frames === 'off' ? {} : frames;
    this.#fits = pattern === undefined ? null : matcher(pattern);
    this.#others = others.map(({ pattern, is }) => ({ fits: matcher(pattern), is }));
    this.#onChange = onChange;
    this.#status = { state: frames === 'off' ? 'off' : 'unchecked', reason: null };
  }

  get status(): IdentityCheckStatus {
    return this.#status;
  }

  suspect(): void {
    this.#isSettled = false;
  }

  /** `isOwn`: it is one of the sensor's messages. Another frame may come from a neighbour on the line. */
  saw(frame: Uint8Array, isOwn: boolean): void {
    if (this.#isSettled || this.#fits === null) return;
    const other = this.#others.find(({ fits }) => fits(frame));
    if (other !== undefined) {
      if (isOwn || this.#status.state !== 'confirmed')
        this.#become({ state: 'contradicted', reason: `it is ${other.is}` });
    } else if (this.#fits(frame)) {
      this.#isSettled = true;
      this.#become({ state: 'confirmed', reason: null });
    }
  }

  #become(status: IdentityCheckStatus): void {
    const { state, reason } = this.#status;
    this.#status = status;
    if (state !== status.state || reason !== status.reason) this.#onChange(status);
  }
}

function matcher(source: string): (frame: Uint8Array) => boolean {
  const pattern = compilePattern(source);
  return (frame) => pattern.match(frame) !== null;
}

function doubted(telegram: Telegram, contradiction: string): Telegram {
  const implausible = Object.keys(telegram.values).map((name): [string, Quality] => [name, 'implausible']);
  const quality = { ...telegram.quality, ...Object.fromEntries(implausible) };
  return { values: telegram.values, quality, contradiction };
}
