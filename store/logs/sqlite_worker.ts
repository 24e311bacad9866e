/**
 * The worker's side of the SQLite log: the only thread that waits for the disk.
 *
 * Contract with the program's entry: it is loaded again as a module worker with `name` set to
 * SQLITE_WORKER_NAME, and then must call `runSqliteWorker()` and do nothing else.
 */
import { StoreError } from "../errors.ts";
import { MailboxReceiver } from "./mailbox.ts";
import { SqliteEngine } from "./sqlite_engine.ts";
import type { SqliteCall, SqliteReply, SqliteRequest, SqliteResult } from "./sqlite_protocol.ts";

/** Serves requests of the thread that spawned this worker until it closes the log. */
export function runSqliteWorker(): void {
  let engine: SqliteEngine | undefined;
  let mailbox: MailboxReceiver | undefined;
  const post = workerPost();
  const answer = (id: number, action: () => SqliteResult) => {
    try {
      const result = action();
      post({ id, result }, transfers(result));
    } catch (error) {
      post({ id, error: described(error) }, []);
    }
  };
  globalThis.addEventListener("message", (event: object) => {
    const { id, call }: SqliteRequest = Reflect.get(event, "data");
    if (call.op === "open") {
      engine = new SqliteEngine(call.path);
      mailbox = new MailboxReceiver(call.mailbox);
    }
    mailbox?.messageReceived();
    const opened = engine;
    answer(id, () => {
      if (opened === undefined) throw new StoreError("closed", "the log was not opened");
      return perform(opened, call);
    });
    if (call.op === "append") opened?.foldWal();
    if (opened === undefined || mailbox === undefined || call.op === "close") return;
    // Until the next message: the appends between two of them do not go through the event loop.
    for (let mail = mailbox.next(); mail !== undefined; mail = mailbox.next()) {
      const { id, append } = mail;
      answer(id, () => perform(opened, { op: "append", append }));
      opened.foldWal();
    }
  });
}

function perform(engine: SqliteEngine, call: SqliteCall): SqliteResult {
  switch (call.op) {
    case "open":
      return undefined;
    case "start":
      return engine.start();
    case "append":
      engine.append(call.append);
      return undefined;
    case "replay":
      return engine.replay(call.from);
    case "tags":
      return engine.tags(call.from);
    case "read":
      return engine.read(call.positions);
    case "checkpoint":
      return engine.checkpoint(call.from);
    case "copy":
      return engine.copy(call.copy);
    case "end_copy":
      engine.endCopy(call.copy);
      return undefined;
    case "size":
      return engine.size();
    case "reclaim":
      return engine.reclaim();
    case "close":
      engine.close();
      return undefined;
  }
}

/** Whole buffers move instead of being copied; views into larger ones are copied. */
function transfers(result: SqliteResult): ArrayBuffer[] {
  if (typeof result !== "object") return [];
  const views: unknown[] = Array.isArray(result)
    ? result.map((one: unknown) => one instanceof Object && "bytes" in one ? one.bytes : one)
    : "page" in result
    ? [result.page.bytes, result.changed.bytes]
    : Object.values(result);
  const buffers: ArrayBuffer[] = [];
  for (const view of views) {
    if (!ArrayBuffer.isView(view) || !(view.buffer instanceof ArrayBuffer)) continue;
    if (view.byteLength > 0 && view.byteLength === view.buffer.byteLength) {
      buffers.push(view.buffer);
    }
  }
  return buffers;
}

function described(error: unknown): Extract<SqliteReply, { error: unknown }>["error"] {
  if (error instanceof StoreError) {
    return { code: error.code, message: error.message, hint: error.hint };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: "io", message: `the log's worker failed: ${message}`, hint: undefined };
}

function workerPost(): (reply: SqliteReply, transfer: ArrayBuffer[]) => void {
  const post: unknown = Reflect.get(globalThis, "postMessage");
  if (typeof post !== "function") throw new Error("runSqliteWorker() was called outside a worker");
  return (reply, transfer) => {
    post.call(globalThis, reply, transfer);
  };
}
