import { createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isConsistent } from '../../src/backend/tree/merkle-tree.ts';
import {
  cosignatureType,
  formatPublicKey,
  isSignedBy,
  keyId,
  parseNote,
  rawKey,
  signatureLine,
} from '../../src/backend/tree/signed-note.ts';
import { parseHead, type TreeHead } from '../../src/backend/tree/tree-head.ts';

/** A witness as C2SP's tlog-witness describes it, in memory, over real HTTP, for all logs that `key` signs. */
export class TestWitness implements AsyncDisposable {
  readonly key: string;
  /** Its answers so far. */
  readonly statuses: number[] = [];
  readonly #log: KeyObject;
  readonly #privateKey = generateKeyPairSync('ed25519').privateKey;
  readonly #name = 'witness.example.com';
  readonly #latest = new Map<string, TreeHead>();
  readonly #server: Server;

  private constructor(log: KeyObject) {
    this.#log = log;
    this.key = formatPublicKey(this.#name, createPublicKey(this.#privateKey), cosignatureType);
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const [status, body] =
          request.method === 'POST' && request.url === '/add-checkpoint'
            ? this.#take(Buffer.concat(parts).toString())
            : [404, ''];
        this.statuses.push(status);
        response.writeHead(status).end(body);
      });
    });
  }

  static async start(log: KeyObject): Promise<TestWitness> {
    const highWaterMark = new TestWitness(log);
    await new Promise<void>((resolve) => highWaterMark.#server.listen(0, '127.0.0.1', resolve));
    return highWaterMark;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #take(request: string): [number, string] {
    const split = request.indexOf('\n\n');
    const [first = '', ...hashes] = request.slice(0, split).split('\n');
    const note = parseNote(request.slice(split + 2));
    const head = note && parseHead(note.text);
    const old = Number(/^old (\d+)$/.exec(first)?.[1]);
    if (note === undefined || head === undefined || Number.isNaN(old) || old > head.size) return [400, ''];
    if (!isSignedBy(note, head.origin, this.#log)) return [403, ''];
    const latest = this.#latest.get(head.origin);
    if (old !== (latest?.size ?? 0)) return [409, `${latest?.size ?? 0}\n`];
    const proof = hashes.map((hash) => Buffer.from(hash, 'base64'));
    if (latest !== undefined && !isConsistent(latest, head, proof)) return [422, ''];
    this.#latest.set(head.origin, head);
    const time = Math.floor(Date.now() / 1000);
    const signature = sign(null, Buffer.from(`cosignature/v1\ntime ${time}\n${note.text}`), this.#privateKey);
    const at = Buffer.alloc(8);
    at.writeBigUInt64BE(BigInt(time));
    const id = keyId(this.#name, cosignatureType, rawKey(createPublicKey(this.#privateKey)));
    return [200, signatureLine(this.#name, Buffer.concat([id, at, signature]))];
  }
}
