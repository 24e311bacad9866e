/** The facts of the index checkpoint, chunk after chunk, each chunk authenticated first. */
import type { Bytes } from "../backends/mod.ts";
import type { Chunk } from "./checkpointer.ts";
import { ChunkReader, type Fact } from "./checkpoint_format.ts";
import { StoreError } from "./errors.ts";
import type { Head } from "./head.ts";
import type { DurableLog } from "./log.ts";
import { chunkPosition, RECORD_KIND, recordName, RESTORE_HINT } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import { NO_SLOT } from "./versions.ts";

/** The facts of all chunks, one after the other. */
export class FactReader {
  readonly chunks: Chunk[] = [];
  readonly #iterator: AsyncIterator<{ readonly chunk: number; readonly bytes: Bytes }>;
  readonly #sealer: RecordSealer;
  readonly #head: Head;
  /** Told the sum of a chunk's records before its facts. */
  readonly #onSum: (sum: Bytes) => void;
  #reader: ChunkReader | undefined;
  #id = 0;
  #keyIds: ReadonlySet<number> = new Set();
  #slots: number[] = [];
  #stale = false;
  /** The end of the last chunk that was read. */
  end = 0;

  constructor(
    log: DurableLog,
    sealer: RecordSealer,
    head: Head,
    onSum: (sum: Bytes) => void,
  ) {
    this.#onSum = onSum;
    this.#iterator = log.checkpoint()[Symbol.asyncIterator]();
    this.#sealer = sealer;
    this.#head = head;
  }

  nextAtHand(): Fact | undefined {
    return this.#reader?.next();
  }

  async next(): Promise<Fact | undefined> {
    for (;;) {
      const fact = this.#reader?.next();
      if (fact !== undefined) return fact;
      this.#finishChunk();
      const next = await this.#iterator.next();
      if (next.done === true) return undefined;
      await this.#begin(next.value.chunk, next.value.bytes);
    }
  }

  /**
   * The fact's record is there, in this slot.
   * @param stale it was sealed anew since the chunk was written, so its fact is out of date
   */
  take(slot: number, stale = false): void {
    this.#slots.push(slot);
    this.#stale ||= stale;
  }

  async #begin(chunk: number, record: Bytes): Promise<void> {
    const name = recordName(chunkPosition(chunk));
    const refuse = (what: string): never => {
      throw new StoreError("record_altered", `${name} ${what}`, { hint: RESTORE_HINT });
    };
    const header = this.#sealer.readHeader(record, chunkPosition(chunk));
    if (header.kind !== RECORD_KIND.checkpoint || header.index !== chunk) {
      refuse("is another record");
    }
    const reader = new ChunkReader(
      await this.#sealer.open(record, header, chunkPosition(chunk)),
      this.#sealer,
      name,
    );
    const { from, to } = reader.range;
    if (from < this.end || to < from) refuse("overlaps the one before it");
    if (to > this.#head.nextPosition || header.sequence > this.#head.sequence) {
      refuse("is newer than the head");
    }
    this.end = to;
    this.#id = chunk;
    this.#keyIds = new Set([header.keyId, ...reader.keyIds]);
    this.#reader = reader;
    this.#onSum(reader.sum);
  }

  #finishChunk(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#reader = undefined;
    this.chunks.push({
      id: this.#id,
      ...reader.range,
      slots: facts(this.#slots, reader.count),
      live: this.#slots.length,
      keyIds: this.#keyIds,
      stale: this.#stale,
    });
    this.#slots = [];
    this.#stale = false;
  }
}

/** The slots that are there; the others count as worn. */
function facts(slots: readonly number[], count: number): Uint32Array {
  const out = new Uint32Array(count).fill(NO_SLOT);
  out.set(slots);
  return out;
}
