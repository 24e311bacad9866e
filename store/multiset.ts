/**
 * A keyed multiset hash: the sum, modulo 2^512, of HMAC-SHA-512 over each live record's
 * length-prefixed header and tag. Adding and removing cost one HMAC each, in any order.
 * (Clarke, Devadas, van Dijk, Gassend, Suh: "Incremental Multiset Hash Functions", MSet-Add-Hash.)
 */
import type { Bytes } from "../backends/mod.ts";
import type { MacKey } from "./aead.ts";
import { HEADER_BYTES, TAG_BYTES } from "./record.ts";

export const SUM_BYTES = 64;
const LIMBS = 16;
const MESSAGE_BYTES = 4 + HEADER_BYTES + 4 + TAG_BYTES;

export class MultisetHash {
  readonly #mac: MacKey;
  /** Little-endian 32-bit limbs. */
  readonly #sum = new Uint32Array(LIMBS);
  readonly #message = new Uint8Array(MESSAGE_BYTES);
  readonly #digest = new Uint8Array(SUM_BYTES);
  readonly #digestView = new DataView(this.#digest.buffer);

  constructor(mac: MacKey) {
    this.#mac = mac;
    const view = new DataView(this.#message.buffer);
    view.setUint32(0, HEADER_BYTES);
    view.setUint32(4 + HEADER_BYTES, TAG_BYTES);
  }

  /** @param header 56 bytes (more is ignored) @param tag 16 bytes */
  add(header: Uint8Array, tag: Uint8Array): void {
    this.#element(header, tag);
    let carry = 0;
    for (let i = 0; i < LIMBS; i++) {
      const sum = this.#sum[i]! + this.#digestView.getUint32(i * 4, true) + carry;
      this.#sum[i] = sum >>> 0;
      carry = sum > 0xffff_ffff ? 1 : 0;
    }
  }

  remove(header: Uint8Array, tag: Uint8Array): void {
    this.#element(header, tag);
    let borrow = 0;
    for (let i = 0; i < LIMBS; i++) {
      const difference = this.#sum[i]! - this.#digestView.getUint32(i * 4, true) - borrow;
      this.#sum[i] = difference >>> 0;
      borrow = difference < 0 ? 1 : 0;
    }
  }

  /** Adds the sum of another such hash under the same key. */
  addSum(sum: Bytes): void {
    const view = new DataView(sum.buffer, sum.byteOffset, SUM_BYTES);
    let carry = 0;
    for (let i = 0; i < LIMBS; i++) {
      const total = this.#sum[i]! + view.getUint32(i * 4, true) + carry;
      this.#sum[i] = total >>> 0;
      carry = total > 0xffff_ffff ? 1 : 0;
    }
  }

  /** An empty one under the same key; it ends with this one. */
  empty(): MultisetHash {
    return new MultisetHash(this.#mac);
  }

  /** The sum, 64 bytes, little-endian. */
  value(): Bytes {
    const out = new Uint8Array(SUM_BYTES);
    const view = new DataView(out.buffer);
    for (let i = 0; i < LIMBS; i++) view.setUint32(i * 4, this.#sum[i]!, true);
    return out;
  }

  close(): void {
    this.#mac[Symbol.dispose]();
    this.#digest.fill(0);
  }

  #element(header: Uint8Array, tag: Uint8Array): void {
    for (let i = 0; i < HEADER_BYTES; i++) this.#message[4 + i] = header[i]!;
    for (let i = 0; i < TAG_BYTES; i++) this.#message[8 + HEADER_BYTES + i] = tag[i]!;
    this.#mac.digestInto(this.#message, this.#digest);
  }
}
