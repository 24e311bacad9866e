/** Requests to a Worker of our own and their answers: promises, failure of the Worker, closing. */
import { BackendError } from "../errors.ts";
import type { TeeType } from "../mod.ts";

/** Starts the program again in a Worker that dispatches on `name`. */
export type SpawnWorker = (name: string) => Worker;

/** Every answer names its request; `failure`: the request could not be performed. */
export type WorkerReply<Answer> =
  | ({ readonly id: number } & Answer)
  | { readonly id: number; readonly failure: string };

export interface WorkerChannel<Request, Answer> {
  /** @throws {BackendError} `closed`, `device_lost`, or `io` for a failure of the request */
  send(request: Request, transfer?: Transferable[]): Promise<Answer>;
  /**
   * Sends a last request, waits for its answer a while, and ends the Worker. Calls on their way that
   * did not answer by then are rejected with `closed`.
   */
  close(last: Request): Promise<void>;
  /** Ends the Worker at once. */
  abort(): void;
}

/** How long closing waits for a call that is in the kernel, before it leaves the thread to it. */
const CLOSE_PATIENCE_MS = 2000;

/** @param subject what the Worker drives, for messages */
export function openWorkerChannel<Request extends object, Answer>(
  options: {
    readonly kind: TeeType;
    readonly subject: string;
    readonly worker: Worker;
  },
): WorkerChannel<Request, Answer> {
  const { kind, subject, worker } = options;
  const waiting = new Map<
    number,
    { resolve(answer: Answer): void; reject(error: BackendError): void }
  >();
  let nextId = 0;
  let closed: BackendError | undefined;

  function stop(error: BackendError): void {
    closed ??= error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    worker.terminate();
  }

  worker.onmessage = ({ data }: MessageEvent<WorkerReply<Answer>>) => {
    const entry = waiting.get(data.id);
    waiting.delete(data.id);
    if ("failure" in data) {
      entry?.reject(new BackendError("io", `${subject}: ${data.failure}`, { kind }));
    } else entry?.resolve(data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    const message = `the Worker that drives ${subject} failed: ${event.message}`;
    stop(new BackendError("device_lost", message, { kind, hint: "restart the master" }));
  };

  function post(request: Request, transfer: Transferable[]): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const id = nextId++;
    waiting.set(id, { resolve, reject });
    worker.postMessage({ ...request, id }, transfer);
    return promise;
  }

  return {
    // deno-lint-ignore require-await -- being closed is a rejection, not an exception
    async send(request, transfer = []) {
      if (closed !== undefined) throw closed;
      return post(request, transfer);
    },
    async close(last) {
      if (closed !== undefined) return;
      const error = new BackendError("closed", `${subject} was closed`, { kind });
      closed = error;
      const closing = post(last, []);
      closing.catch(() => undefined); // rejected below where patience ends first
      let timer: ReturnType<typeof setTimeout> | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_PATIENCE_MS);
      });
      await Promise.race([closing.catch(() => undefined), patience]);
      clearTimeout(timer);
      stop(error);
    },
    abort() {
      stop(new BackendError("closed", `${subject} was closed`, { kind }));
    },
  };
}
