/** A log in memory: for tests, and the reference for the conformance suite. */
import type { Bytes } from "../../backends/mod.ts";
import { StoreError } from "../errors.ts";
import {
  type DurableLog,
  type LogAppend,
  type LogCopyPart,
  type LogPage,
  type LogSize,
  type LogStart,
  type LogTags,
  nothingToReplace,
} from "../log.ts";
import { TAG_BYTES } from "../record.ts";
import { Copies, type CopySource } from "./copies.ts";

/** What survives a "restart" of a memory log: hand the same medium to the next log. */
export interface MemoryMedium {
  readonly records: Map<number, Bytes>;
  readonly checkpoint: Map<number, Bytes>;
  head: Bytes | undefined;
  keyring: Bytes | undefined;
}

export function createMemoryMedium(): MemoryMedium {
  return { records: new Map(), checkpoint: new Map(), head: undefined, keyring: undefined };
}

const PAGE_RECORDS = 256;

export function createMemoryLog(medium: MemoryMedium = createMemoryMedium()): DurableLog {
  return new MemoryLog(medium);
}

class MemoryLog implements DurableLog {
  readonly name = "memory";
  readonly #medium: MemoryMedium;
  readonly #copies = new Copies();
  #nextCopy = 0;
  #closed = false;

  constructor(medium: MemoryMedium) {
    this.#medium = medium;
  }

  async start(): Promise<LogStart> {
    await this.#live();
    const { head, keyring, records, checkpoint } = this.#medium;
    const empty = records.size === 0 && checkpoint.size === 0;
    return { head: head?.slice(), keyring: keyring?.slice(), empty };
  }

  async append(append: LogAppend): Promise<void> {
    await this.#live();
    const medium = this.#medium;
    for (const position of append.replacements?.positions ?? []) {
      if (!medium.records.has(position)) throw nothingToReplace(position);
    }
    let offset = 0;
    append.lengths.forEach((length, i) => {
      if (length > 0) {
        medium.records.set(
          append.firstPosition + i,
          append.bytes.slice(offset, offset + length),
        );
      }
      offset += length;
    });
    replaceRecords(medium, append.replacements);
    for (const position of append.removals) medium.records.delete(position);
    medium.head = append.head.slice();
    if (append.keyring !== undefined) medium.keyring = append.keyring.slice();
    for (const change of append.checkpoint ?? []) {
      if (change.bytes === undefined) medium.checkpoint.delete(change.chunk);
      else medium.checkpoint.set(change.chunk, change.bytes.slice());
    }
    this.#copies.appended(append);
  }

  async *replay(from: number): AsyncIterable<LogPage> {
    await this.#live();
    const positions = this.#positions(from);
    for (let i = 0; i < positions.length; i += PAGE_RECORDS) {
      yield this.#page(positions.slice(i, i + PAGE_RECORDS));
    }
  }

  async *copy(): AsyncIterable<LogCopyPart> {
    const id = this.#nextCopy++;
    const source: CopySource = {
      page: (from) => {
        const positions = this.#positions(from);
        const page = this.#page(positions.slice(0, PAGE_RECORDS));
        return { page, end: positions.length <= PAGE_RECORDS };
      },
      records: (positions) => this.#page(positions),
      head: () => this.#medium.head?.slice(),
      keyring: () => this.#medium.keyring?.slice(),
    };
    try {
      for (;;) {
        await this.#live();
        const part = this.#copies.next(id, source);
        yield part;
        if (part.end !== undefined) return;
      }
    } finally {
      this.#copies.end(id);
    }
  }

  async *tags(from: number): AsyncIterable<LogTags> {
    await this.#live();
    const positions = this.#positions(from);
    const tags = positions.map((position) => {
      const record = this.#medium.records.get(position)!;
      const tag = new Uint8Array(TAG_BYTES);
      tag.set(record.subarray(Math.max(0, record.length - TAG_BYTES)));
      return tag;
    });
    yield { positions: Float64Array.from(positions), tags: concat(tags) };
  }

  async read(positions: readonly number[]): Promise<(Bytes | undefined)[]> {
    await this.#live();
    return positions.map((position) => this.#medium.records.get(position)?.slice());
  }

  async *checkpoint(): AsyncIterable<{ readonly chunk: number; readonly bytes: Bytes }> {
    await this.#live();
    const chunks = [...this.#medium.checkpoint].sort(([a], [b]) => a - b);
    for (const [chunk, bytes] of chunks) yield { chunk, bytes: bytes.slice() };
  }

  async size(): Promise<LogSize> {
    await this.#live();
    return { bytes: 0, bytesInUse: 0 };
  }

  async reclaim(): Promise<void> {
    await this.#live();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #page(positions: readonly number[]): LogPage {
    const records = positions.map((position) => this.#medium.records.get(position)!);
    return {
      positions: Float64Array.from(positions),
      lengths: Uint32Array.from(records, (record) => record.length),
      bytes: concat(records),
    };
  }

  #positions(from: number): number[] {
    return [...this.#medium.records.keys()].filter((p) => p >= from).sort((a, b) => a - b);
  }

  #live(): Promise<void> {
    return this.#closed
      ? Promise.reject(new StoreError("closed", "the log was closed"))
      : Promise.resolve();
  }
}

function replaceRecords(medium: MemoryMedium, replacements: LogAppend["replacements"]): void {
  let offset = 0;
  replacements?.positions.forEach((position, i) => {
    const end = offset + replacements.lengths[i]!;
    medium.records.set(position, replacements.bytes.slice(offset, end));
    offset = end;
  });
}

function concat(parts: readonly Bytes[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}
