/** The durable log: opaque sealed records under rising positions, one sealed head, one keyring. */
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";
import { RESTORE_HINT } from "./record.ts";

/**
 * One atomic append. The log owns the buffers from the call on (they may move to another thread).
 * Records stand back to back in `bytes`; record `i` has position `firstPosition + i` and
 * `lengths[i]` bytes. A length of 0 leaves its position empty (born and dead in one append).
 */
export interface LogAppend {
  readonly firstPosition: number;
  readonly lengths: Uint32Array<ArrayBuffer>;
  readonly bytes: Bytes;
  /** Positions that are deleted in the same transaction. */
  readonly removals: Float64Array<ArrayBuffer>;
  /** Records that take the place of those that stand there; a place that is empty is refused. */
  readonly replacements?: LogReplacements;
  /** Replaces the head. */
  readonly head: Bytes;
  /** Replaces the keyring. */
  readonly keyring?: Bytes;
  /** Replaces or removes chunks of the index checkpoint. */
  readonly checkpoint?: readonly CheckpointChange[];
}

/** Records at positions that are taken, back to back in `bytes`. */
export interface LogReplacements {
  readonly positions: Float64Array<ArrayBuffer>;
  readonly lengths: Uint32Array<ArrayBuffer>;
  readonly bytes: Bytes;
}

/** What an engine throws where a record is gone that it has to read or replace: the medium was changed. */
export function nothingToReplace(position: number): StoreError {
  return new StoreError(
    "record_missing",
    `record at position ${position} is gone from the log`,
    { hint: RESTORE_HINT },
  );
}

export interface CheckpointChange {
  /** Below 2^32. */
  readonly chunk: number;
  /** Undefined removes it. */
  readonly bytes: Bytes | undefined;
}

/** Records in rising position order; `bytes` holds them back to back. */
export interface LogPage {
  readonly positions: Float64Array<ArrayBuffer>;
  readonly lengths: Uint32Array<ArrayBuffer>;
  readonly bytes: Bytes;
}

/** One part of a copy: records that were not told yet, and what became of those that were. */
export interface LogCopyPart {
  readonly page: LogPage;
  /** Records of earlier parts that were replaced since, as they stand now. */
  readonly changed: LogPage;
  /** Positions of earlier parts that are gone since. */
  readonly removals: Float64Array<ArrayBuffer>;
  /** In the last part: what all parts together stand for. */
  readonly end: Pick<LogStart, "head" | "keyring"> | undefined;
}

export interface LogStart {
  readonly head: Bytes | undefined;
  readonly keyring: Bytes | undefined;
  /** Whether neither record nor checkpoint stands in the log: a head that is missing beside records is not a new store. */
  readonly empty: boolean;
}

export interface LogSize {
  /** Bytes on the medium, side files included; 0 where nothing is kept. */
  readonly bytes: number;
  /** Of these, what is not free for records to come; side files are not counted. */
  readonly bytesInUse: number;
}

/**
 * Contract, checked by tests/conformance/durable_log_suite.ts: `append` is atomic and durable when
 * it resolves, and appends take effect in call order; a log on which nothing was appended changes
 * nothing on its medium; after a failed append every further one fails. All methods throw
 * StoreError: `io` for the medium, `format` for a file that is no log, `closed` after disposal.
 */
export interface DurableLog extends AsyncDisposable {
  /** "sqlite", "memory": shown in stats. */
  readonly name: string;
  start(): Promise<LogStart>;
  append(append: LogAppend): Promise<void>;
  /** Every record with a position >= `from`, in pages. */
  replay(from: number): AsyncIterable<LogPage>;
  /** The records at these positions, undefined where there is none. Sees resolved appends. */
  read(positions: readonly number[]): Promise<(Bytes | undefined)[]>;
  /** Chunks of the index checkpoint, in chunk order. */
  checkpoint(): AsyncIterable<LogChunk>;
  /** Positions and the last 16 bytes (the tag) of every record from `from` on, without the rest. */
  tags(from: number): AsyncIterable<LogTags>;
  /**
   * The whole log while it is written to, in parts of some MiB: consistent as of its last part. Ends
   * once it has caught up with the writer.
   */
  copy(): AsyncIterable<LogCopyPart>;
  size(): Promise<LogSize>;
  /** Gives the medium back what is free, in small steps that let appends through. */
  reclaim(): Promise<void>;
}

/** One chunk of the index checkpoint. */
export interface LogChunk {
  readonly chunk: number;
  readonly bytes: Bytes;
}

export interface LogTags {
  readonly positions: Float64Array<ArrayBuffer>;
  /** 16 bytes a position. */
  readonly tags: Bytes;
}
