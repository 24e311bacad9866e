/** A cursor over bytes from outside: every read is bounds-checked and names what it was reading. */
import { BackendError } from "../errors.ts";
import type { Bytes, TeeType } from "../mod.ts";

/** Little-endian cursor. Byte strings are views: whoever keeps them copies the input first. */
export class ByteReader {
  readonly #bytes: Bytes;
  readonly #view: DataView;
  readonly #kind: TeeType;
  readonly #what: string;
  #offset = 0;

  /**
   * @param what names the structure in errors ("quote", "QE report certification data").
   */
  constructor(bytes: Bytes, kind: TeeType, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#kind = kind;
    this.#what = what;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  /** @throws {BackendError} `malformed` when fewer than `length` bytes are left. */
  #advance(length: number, field: string): number {
    if (length > this.remaining) {
      throw this.malformed(
        `${field} needs ${length} bytes at offset ${this.#offset}, ${this.remaining} are left`,
      );
    }
    const at = this.#offset;
    this.#offset += length;
    return at;
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#advance(2, field), true);
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#advance(4, field), true);
  }

  u64(field: string): bigint {
    return this.#view.getBigUint64(this.#advance(8, field), true);
  }

  bytes(length: number, field: string): Bytes {
    const at = this.#advance(length, field);
    return this.#bytes.subarray(at, at + length);
  }

  /** Requires that all has been read. @throws {BackendError} `malformed`. */
  end(): void {
    if (this.remaining !== 0) {
      throw this.malformed(`${this.remaining} bytes are left over at offset ${this.#offset}`);
    }
  }

  malformed(problem: string): BackendError {
    return new BackendError("malformed", `${this.#what}: ${problem}`, { kind: this.#kind });
  }
}

/** True when every byte is zero. */
export function allZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}

/** Equality of public values (no secret is compared here, so not constant-time). */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
