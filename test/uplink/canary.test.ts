import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Canary } from '../../src/uplink/canary.ts';
import type { Answer, Message } from '../../src/uplink/session.ts';
import { channels } from '../../src/messages/topic.ts';
import { packetBytes } from '../../src/uplink/mqtt-message.ts';
import { FakeClock } from '../support/fake-clock.ts';

const topic = 't/acme/acme_gw-0001/canary';
/** Two turns: a canary leaves in the turn after it was asked for. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** A session whose broker acknowledges at once, and echoes when it is told to. */
class FakeSession {
  granted = true;
  sent: string[] = [];
  onMessage: (payload: Buffer) => void = () => {};

  subscribe(): Promise<boolean> {
    return Promise.resolve(this.granted);
  }

  publish({ payload }: Message): Promise<Answer> {
    this.sent.push(Buffer.from(payload).toString());
    return Promise.resolve({ kind: 'answered', reasonCode: 0, roundTripMs: 1 });
  }

  echo(value = this.sent.at(-1)!): void {
    this.onMessage(Buffer.from(value));
  }
}

describe('canary', () => {
  let clock: FakeClock;
  let session: FakeSession;
  let canary: Canary;
  let faults: string[];

  beforeEach(() => {
    clock = new FakeClock();
    session = new FakeSession();
    faults = [];
    canary = new Canary(session, topic, clock, (fault) => faults.push(fault.describe()));
  });

  it('confirms when its value has come back, and not before', async () => {
    let confirmed: boolean | undefined;
    void canary.begin().then((result) => {
      confirmed = result;
    });
    await settled();
    assert.equal(session.sent.length, 1);
    assert.equal(confirmed, undefined);
    session.echo();
    await settled();
    assert.equal(confirmed, true);
  });

  it('takes no other value for its own: not an earlier one, not a guess, not another session’s', async () => {
    const first = canary.confirm();
    await settled();
    session.echo();
    await first;
    let confirmed = false;
    void canary.confirm().then((result) => {
      confirmed = result;
    });
    await settled();
    const [earlier, current] = session.sent;
    const [secret, count] = current!.split('.');
    assert.ok(Buffer.from(secret!, 'base64url').length >= 16);
    for (const value of [earlier!, '', count!, `${secret}`, `${'A'.repeat(22)}.${count}`])
      session.echo(value);
    await settled();
    assert.equal(confirmed, false);
    session.echo(current);
    await settled();
    assert.equal(confirmed, true);
    const other = new FakeSession();
    void new Canary(other, topic, clock, () => {}).confirm();
    await settled();
    assert.notEqual(other.sent[0]!.split('.')[0], secret);
  });

  it('sends one for all that ask together, and a few at once for those who ask later', async () => {
    const asked = [canary.confirm(), canary.confirm(), canary.confirm()];
    await settled();
    assert.equal(session.sent.length, 1);
    for (let later = 0; later < 6; later += 1) {
      asked.push(canary.confirm(), canary.confirm());
      await settled();
    }
    assert.equal(session.sent.length, 4);
    session.echo(session.sent[0]);
    assert.deepEqual(await Promise.all(asked.slice(0, 3)), [true, true, true]);
    // The next one speaks for all that had to wait.
    assert.equal(session.sent.length, 5);
    for (const value of session.sent.slice(1)) session.echo(value);
    assert.ok((await Promise.all(asked)).every(Boolean));
  });

  it('confirms nothing any more, once one has not come back', async () => {
    const asked = [canary.confirm()];
    await settled();
    asked.push(canary.confirm());
    await clock.advanceAsync(4999);
    assert.deepEqual(faults, []);
    await clock.advanceAsync(1);
    assert.equal(faults.length, 1);
    assert.match(faults[0]!, /nothing came back within 5 s from t\/acme\/acme_gw-0001\/canary/);
    session.echo();
    asked.push(canary.confirm());
    assert.deepEqual(await Promise.all(asked), [false, false, false]);
    assert.equal(faults.length, 1);
    assert.equal(clock.timers, 0);
  });

  it('says so when the subscription is refused', async () => {
    session.granted = false;
    assert.equal(await canary.begin(), false);
    assert.match(
      faults[0]!,
      /refuses the subscription to t\/acme\/acme_gw-0001\/canary.*write and read t\/acme\/acme_gw-0001\/#/,
    );
  });

  it('goes on proving while nothing is published', async () => {
    void canary.confirm();
    await settled();
    for (let minute = 1; minute <= 3; minute += 1) {
      session.echo();
      await clock.advanceAsync(60_000);
      assert.equal(session.sent.length, 1 + minute);
    }
    await clock.advanceAsync(5000);
    assert.equal(faults.length, 1);
  });

  it('answers every waiting caller when the session ends', async () => {
    const asked = [canary.confirm()];
    await settled();
    asked.push(canary.confirm());
    canary.close();
    asked.push(canary.confirm());
    assert.deepEqual(await Promise.all(asked), [false, false, false]);
    await clock.advanceAsync(100_000);
    assert.deepEqual(faults, []);
    assert.equal(session.sent.length, 1);
  });

  describe('canary with a size', () => {
    const sizes = (): number[] => session.sent.map((value) => value.length);
    const small = (): string => session.sent.findLast((value) => value.length < 100)!;

    it('is no smaller than what it vouches for, in payload and as a packet', async () => {
      void canary.prove(5000, 'now');
      await settled();
      const bytes = packetBytes({ topic, payload: Buffer.from(session.sent[0]!) });
      assert.ok(bytes >= 5000 && bytes < 5020, `${bytes}`);
      for (const channel of channels) {
        const other = topic.replace('canary', channel);
        const overhead = packetBytes({ topic: other, payload: Buffer.alloc(4000) }) - 4000;
        assert.ok(session.sent[0]!.length >= 5000 - overhead, channel);
      }
    });

    it('proves its size when it comes back whole, and not when it is cut', async () => {
      const proof = canary.prove(5000, 'now');
      await settled();
      const [sent] = session.sent;
      session.echo(sent!.slice(0, 4000));
      await settled();
      assert.equal(canary.provenBytes, 0);
      session.echo(sent);
      assert.equal(await proof, 'passed');
      assert.equal(canary.provenBytes, 5000);
    });

    it('was too large where a smaller one that left later comes back first', async () => {
      const proofs = [canary.prove(5000, 'now'), canary.prove(100, 'now'), canary.prove(6000, 'now')];
      await settled();
      assert.equal(session.sent[0]!.length > 5900, true);
      // The small one behind it.
      session.echo(small());
      assert.equal(await proofs[2], 'too-large');
      await settled();
      // Halves: the smaller ones of those that shared it are proven by themselves.
      session.echo(session.sent.findLast((value) => value.length > 60 && value.length < 200));
      assert.equal(await proofs[1], 'passed');
      await settled();
      session.echo(session.sent.findLast((value) => value.length > 4900 && value.length < 5100));
      assert.equal(await proofs[0], 'passed');
      assert.deepEqual(faults, []);
      assert.equal(canary.provenBytes, 5000);
    });

    it('has longer to come back than a small one, which waits behind it', async () => {
      const proof = canary.prove(100_000, 'now');
      await settled();
      await clock.advanceAsync(60_000);
      assert.deepEqual(faults, []);
      session.echo(session.sent[0]);
      assert.equal(await proof, 'passed');
    });

    it('leaves one place to the small ones, however many large ones are out', async () => {
      for (const bytes of [2000, 3000, 4000, 5000, 6000]) {
        void canary.prove(bytes, 'now');
        await settled();
      }
      const large = sizes().filter((length) => length > 1000).length;
      assert.ok(large >= 1 && large <= 3, `${large}`);
      assert.equal(sizes().length, 4);
      assert.ok(sizes().at(-1)! < 100);
    });

    it('waits for company where it would cost more than a tenth, for ten seconds at most', async () => {
      // What each session may spend beyond.
      for (let spent = 0; spent < 70_000; spent += 10_000) {
        void canary.prove(10_000, 'now');
        await settled();
        session.echo(session.sent.findLast((value) => value.length > 9000));
        await settled();
        session.echo(small());
        await settled();
      }
      const before = session.sent.length;
      const proofs = [canary.prove(10_000, 'thrifty')];
      await settled();
      await clock.advanceAsync(9000);
      proofs.push(canary.prove(9000, 'thrifty'));
      await clock.advanceAsync(999);
      assert.equal(session.sent.length, before);
      await clock.advanceAsync(1);
      await settled();
      assert.ok(session.sent[before]!.length > 9900);
      session.echo(session.sent[before]);
      assert.deepEqual(await Promise.all(proofs), ['passed', 'passed']);
      void canary.prove(10_000, 'thrifty');
      await settled();
      const waiting = session.sent.length;
      canary.proveNow();
      await settled();
      assert.ok(session.sent.length > waiting);
    });
  });
});
