/** The SQLite log as the store sees it: in a worker of its own, or in this thread for offline work. */
import type { Bytes } from "../../backends/mod.ts";
import { StoreError } from "../errors.ts";
import type {
  DurableLog,
  LogAppend,
  LogChunk,
  LogCopyPart,
  LogPage,
  LogSize,
  LogStart,
  LogTags,
} from "../log.ts";
import { MailboxSender } from "./mailbox.ts";
import { SqliteEngine } from "./sqlite_engine.ts";
import {
  SQLITE_WORKER_NAME,
  type SqliteCall,
  type SqliteReply,
  type SqliteRequest,
} from "./sqlite_protocol.ts";

/**
 * Loads the program again as a module worker with this `name`. In the bundle that is
 * `new Worker(import.meta.url, { type: "module", name })` in the entry module, which dispatches
 * on `self.name` before anything else (see sqlite_worker.ts).
 */
export type SpawnWorker = (name: string) => Worker;

export interface SqliteLogOptions {
  /** The database file. Its folder must exist. */
  readonly path: string;
  /** Absent: the log runs in this thread and stops it while the disk works (offline commands). */
  readonly spawnWorker?: SpawnWorker;
}

/** Nothing is opened or made before the first call. */
export function openSqliteLog(options: SqliteLogOptions): DurableLog {
  const { path, spawnWorker } = options;
  return new SqliteLog(
    spawnWorker === undefined
      ? new InlineChannel(path)
      : new WorkerChannel(path, spawnWorker(SQLITE_WORKER_NAME)),
  );
}

interface Channel {
  start(): Promise<LogStart>;
  append(append: LogAppend): Promise<void>;
  replay(from: number): Promise<LogPage>;
  tags(from: number): Promise<LogTags>;
  read(positions: readonly number[]): Promise<(Bytes | undefined)[]>;
  checkpoint(from: number): Promise<LogChunk[]>;
  copy(copy: number): Promise<LogCopyPart>;
  endCopy(copy: number): Promise<void>;
  size(): Promise<LogSize>;
  reclaim(): Promise<boolean>;
  close(): Promise<void>;
}

class SqliteLog implements DurableLog {
  readonly name = "sqlite";
  readonly #channel: Channel;
  #closing: Promise<void> | undefined;
  #nextCopy = 1;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  async start(): Promise<LogStart> {
    this.#check();
    return await this.#channel.start();
  }

  async append(append: LogAppend): Promise<void> {
    this.#check();
    await this.#channel.append(append);
  }

  async *replay(from: number): AsyncIterable<LogPage> {
    this.#check();
    yield* readAhead(from, (at) => this.#channel.replay(at), ({ positions }) => positions.at(-1));
  }

  async *tags(from: number): AsyncIterable<LogTags> {
    this.#check();
    yield* readAhead(from, (at) => this.#channel.tags(at), ({ positions }) => positions.at(-1));
  }

  async read(positions: readonly number[]): Promise<(Bytes | undefined)[]> {
    this.#check();
    return await this.#channel.read(positions);
  }

  async *checkpoint(): AsyncIterable<LogChunk> {
    this.#check();
    const pages = readAhead(0, (at) => this.#channel.checkpoint(at), (page) => page.at(-1)?.chunk);
    for await (const page of pages) yield* page;
  }

  async *copy(): AsyncIterable<LogCopyPart> {
    this.#check();
    const copy = this.#nextCopy++;
    let isOver = false;
    try {
      let next = this.#channel.copy(copy);
      for (;;) {
        const part = await next;
        isOver = part.end !== undefined;
        if (!isOver) {
          // One part ahead; its failure is told when it is waited for.
          next = this.#channel.copy(copy);
          next.catch(() => {});
        }
        yield part;
        if (isOver) return;
        this.#check();
      }
    } finally {
      // Where the log failed meanwhile there is nothing left to end.
      if (!isOver && this.#closing === undefined) await this.#channel.endCopy(copy).catch(() => {});
    }
  }

  async size(): Promise<LogSize> {
    this.#check();
    return await this.#channel.size();
  }

  async reclaim(): Promise<void> {
    do this.#check(); while (await this.#channel.reclaim());
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#channel.close();
    return this.#closing;
  }

  #check(): void {
    if (this.#closing !== undefined) throw new StoreError("closed", "the log was closed");
  }
}

/** Pages one after the other: the next one is read while this one is worked on. */
async function* readAhead<P>(
  from: number,
  read: (from: number) => Promise<P>,
  lastOf: (page: P) => number | undefined,
): AsyncIterable<P> {
  let next = read(from);
  for (;;) {
    const page = await next;
    const last = lastOf(page);
    if (last === undefined) return;
    next = read(last + 1);
    // Its failure is told when it is waited for, or by what follows the loop that broke off.
    next.catch(() => {});
    yield page;
  }
}

/** In this thread. */
class InlineChannel implements Channel {
  readonly #engine: SqliteEngine;

  constructor(path: string) {
    this.#engine = new SqliteEngine(path);
  }

  start(): Promise<LogStart> {
    return this.#run(() => this.#engine.start());
  }
  append(append: LogAppend): Promise<void> {
    return this.#run(() => {
      this.#engine.append(append);
      this.#engine.foldWal();
    });
  }
  replay(from: number): Promise<LogPage> {
    return this.#run(() => this.#engine.replay(from));
  }
  tags(from: number): Promise<LogTags> {
    return this.#run(() => this.#engine.tags(from));
  }
  read(positions: readonly number[]): Promise<(Bytes | undefined)[]> {
    return this.#run(() => this.#engine.read(positions));
  }
  checkpoint(from: number): Promise<LogChunk[]> {
    return this.#run(() => this.#engine.checkpoint(from));
  }
  copy(copy: number): Promise<LogCopyPart> {
    return this.#run(() => this.#engine.copy(copy));
  }
  endCopy(copy: number): Promise<void> {
    return this.#run(() => this.#engine.endCopy(copy));
  }
  size(): Promise<LogSize> {
    return this.#run(() => this.#engine.size());
  }
  reclaim(): Promise<boolean> {
    return this.#run(() => this.#engine.reclaim());
  }
  close(): Promise<void> {
    return this.#run(() => this.#engine.close());
  }

  #run<T>(action: () => T): Promise<T> {
    return new Promise((resolve) => resolve(action()));
  }
}

interface Waiting {
  /** The reply's type is the one of the call: both ends are this program. */
  readonly resolve: (reply: SqliteReply) => void;
  readonly reject: (error: StoreError) => void;
}

class WorkerChannel implements Channel {
  readonly #worker: Worker;
  readonly #mailbox = new MailboxSender();
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  /** Appends that went as messages and are not answered: none may overtake them. */
  #appendsByMessage = 0;
  #failure: StoreError | undefined;

  constructor(path: string, worker: Worker) {
    this.#worker = worker;
    worker.onmessage = (event: MessageEvent<SqliteReply>) => {
      const waiting = this.#waiting.get(event.data.id);
      this.#waiting.delete(event.data.id);
      waiting?.resolve(event.data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(`the log's worker stopped: ${event.message}`);
    };
    worker.onmessageerror = () => this.#fail("a message of the log's worker could not be read");
    // Its answer carries nothing; a failure shows in the first call that follows.
    this.#call<undefined>({ op: "open", path, mailbox: this.#mailbox.memory }).catch(() => {});
  }

  start(): Promise<LogStart> {
    return this.#call<LogStart>({ op: "start" });
  }
  append(append: LogAppend): Promise<void> {
    const sent = this.#appendsByMessage === 0 && this.#failure === undefined
      ? this.#expect<undefined>((id) => this.#mailbox.send(id, append))
      : undefined;
    if (sent !== undefined) return sent;
    this.#appendsByMessage++;
    return this.#call<undefined>(
      { op: "append", append },
      [
        append.bytes.buffer,
        append.lengths.buffer,
        append.removals.buffer,
        ...(append.replacements === undefined ? [] : [append.replacements.bytes.buffer]),
      ],
    ).finally(() => this.#appendsByMessage--);
  }
  replay(from: number): Promise<LogPage> {
    return this.#call<LogPage>({ op: "replay", from });
  }
  tags(from: number): Promise<LogTags> {
    return this.#call<LogTags>({ op: "tags", from });
  }
  read(positions: readonly number[]): Promise<(Bytes | undefined)[]> {
    return this.#call<(Bytes | undefined)[]>({ op: "read", positions });
  }
  checkpoint(from: number): Promise<LogChunk[]> {
    return this.#call<LogChunk[]>({
      op: "checkpoint",
      from,
    });
  }
  copy(copy: number): Promise<LogCopyPart> {
    return this.#call<LogCopyPart>({ op: "copy", copy });
  }
  endCopy(copy: number): Promise<void> {
    return this.#call<undefined>({ op: "end_copy", copy });
  }
  size(): Promise<LogSize> {
    return this.#call<LogSize>({ op: "size" });
  }
  reclaim(): Promise<boolean> {
    return this.#call<boolean>({ op: "reclaim" });
  }
  async close(): Promise<void> {
    try {
      if (this.#failure === undefined) await this.#call<undefined>({ op: "close" });
    } finally {
      this.#fail("the log was closed");
      this.#worker.terminate();
    }
  }

  #call<T>(call: SqliteCall, transfer: ArrayBuffer[] = []): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const request = (id: number): SqliteRequest => ({ id, call });
    return this.#expect<T>((id) => {
      this.#worker.postMessage(request(id), transfer.filter((buffer) => buffer.byteLength > 0));
      this.#mailbox.announceMessage();
      return true;
    })!;
  }

  /** What the worker will answer under the id, if it can be sent. */
  #expect<T>(send: (id: number) => boolean): Promise<T> | undefined {
    const id = this.#nextId;
    if (!send(id)) return undefined;
    this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, {
        resolve: (reply) => {
          if ("error" in reply) reject(storeError(reply.error));
          else resolve(reply.result as T);
        },
        reject,
      });
    });
  }

  #fail(message: string): void {
    this.#failure ??= new StoreError("io", message, { hint: "start the master again" });
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }
}

function storeError(error: Extract<SqliteReply, { error: unknown }>["error"]): StoreError {
  return new StoreError(
    error.code,
    error.message,
    error.hint === undefined ? {} : { hint: error.hint },
  );
}
