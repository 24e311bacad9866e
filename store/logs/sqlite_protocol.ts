/** What the log and its worker say to each other. Both ends are this program. */
import type { Bytes } from "../../backends/mod.ts";
import type { StoreErrorCode } from "../errors.ts";
import type {
  LogAppend,
  LogChunk,
  LogCopyPart,
  LogPage,
  LogSize,
  LogStart,
  LogTags,
} from "../log.ts";

/** The `name` of the worker: what the program's entry dispatches on. */
export const SQLITE_WORKER_NAME = "nautilus-sqlite-log";

export type SqliteCall =
  | { readonly op: "open"; readonly path: string; readonly mailbox: SharedArrayBuffer }
  | { readonly op: "start" }
  | { readonly op: "append"; readonly append: LogAppend }
  | { readonly op: "replay"; readonly from: number }
  | { readonly op: "tags"; readonly from: number }
  | { readonly op: "read"; readonly positions: readonly number[] }
  | { readonly op: "checkpoint"; readonly from: number }
  | { readonly op: "copy"; readonly copy: number }
  | { readonly op: "end_copy"; readonly copy: number }
  | { readonly op: "size" }
  | { readonly op: "reclaim" }
  | { readonly op: "close" };

export type SqliteResult =
  | LogStart
  | LogPage
  | LogCopyPart
  | LogTags
  | LogSize
  | boolean
  | readonly (Bytes | undefined)[]
  | readonly LogChunk[]
  | undefined;

export interface SqliteRequest {
  readonly id: number;
  readonly call: SqliteCall;
}

export type SqliteReply =
  | { readonly id: number; readonly result: SqliteResult }
  | {
    readonly id: number;
    readonly error: {
      readonly code: StoreErrorCode;
      readonly message: string;
      readonly hint: string | undefined;
    };
  };
