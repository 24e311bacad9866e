/** A character device driven by ioctl(2) from the main thread's side: promises, typed errors, closing. */
import { BackendError } from "../errors.ts";
import type { Bytes, TeeType } from "../mod.ts";
import { DEVICE_WORKER, type DeviceReply, type DeviceRequest } from "./device_worker.ts";
import { errnoName } from "./errno.ts";
import type { BufferLink, CallResult } from "./libc.ts";

/** Starts the program again in a Worker that dispatches on `name`. */
export type SpawnWorker = (name: string) => Worker;

export interface IoctlCall {
  /** The request number, `_IOWR(…)`. */
  readonly request: number;
  /** `buffers[0]` is the argument. All are taken away from the caller and given back in the answer. */
  readonly buffers: readonly Bytes[];
  readonly links: readonly BufferLink[];
}

export interface IoctlAnswer {
  /** The driver's errno, 0 for success. What it means is the backend's to say. */
  readonly errno: number;
  readonly value: number;
  /** Of the same lengths as those of the call; links in them are zero. */
  readonly buffers: readonly Bytes[];
}

export interface IoctlDevice extends AsyncDisposable {
  readonly path: string;
  /** Runs after the calls before it. @throws {BackendError} `closed`, `device_lost`. */
  ioctl(call: IoctlCall): Promise<IoctlAnswer>;
}

interface Waiting {
  resolve(reply: { result: CallResult; buffers: Bytes[] }): void;
  reject(error: BackendError): void;
}

/** How long disposing waits for a call that is in the kernel, before it leaves the thread to it. */
const CLOSE_PATIENCE_MS = 2000;

/**
 * Opens `path` for reading and writing in a Worker of its own.
 *
 * @throws {BackendError} `unavailable` with the errno as native status.
 */
export async function openIoctlDevice(
  options: {
    readonly kind: TeeType;
    readonly path: string;
    readonly spawnWorker: SpawnWorker;
  },
): Promise<IoctlDevice> {
  const { kind, path } = options;
  const worker = options.spawnWorker(DEVICE_WORKER);
  const waiting = new Map<number, Waiting>();
  let nextId = 0;
  let closed: BackendError | undefined;

  function stop(error: BackendError): void {
    closed ??= error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  }

  worker.onmessage = ({ data }: MessageEvent<DeviceReply>) => {
    const entry = waiting.get(data.id);
    waiting.delete(data.id);
    if ("failure" in data) {
      entry?.reject(new BackendError("io", `${path}: ${data.failure}`, { kind }));
    } else entry?.resolve(data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    const message = `the Worker that drives ${path} failed: ${event.message}`;
    stop(new BackendError("device_lost", message, { kind, hint: "restart the master" }));
    worker.terminate();
  };

  function send(
    request: DeviceRequest,
    transfer: Transferable[] = [],
  ): Promise<{ result: CallResult; buffers: Bytes[] }> {
    const { promise, resolve, reject } = Promise.withResolvers<
      { result: CallResult; buffers: Bytes[] }
    >();
    waiting.set(request.id, { resolve, reject });
    worker.postMessage(request, transfer);
    return promise;
  }

  const opened = (await send({ id: nextId++, type: "open", path })).result;
  if (opened.errno !== 0) {
    worker.terminate();
    const name = errnoName(opened.errno);
    throw new BackendError("unavailable", `cannot open ${path}: ${name}`, {
      kind,
      nativeStatus: { name, value: opened.errno },
      hint: name === "EACCES" || name === "EPERM"
        ? `run as root, or let the master's group read and write ${path}`
        : `check that ${path} is the TEE's device and that nobody holds it alone`,
    });
  }

  return {
    path,
    async ioctl({ request, buffers, links }) {
      if (closed !== undefined) throw closed;
      // Own copies: a view into a larger buffer would take the whole of it along.
      const owned = buffers.map((buffer) =>
        buffer.byteLength === buffer.buffer.byteLength ? buffer : buffer.slice()
      );
      const { result, buffers: answered } = await send(
        { id: nextId++, type: "ioctl", request, buffers: owned, links },
        owned.map(({ buffer }) => buffer),
      );
      return { ...result, buffers: answered };
    },
    async [Symbol.asyncDispose]() {
      if (closed !== undefined) return;
      const closing = send({ id: nextId++, type: "close" });
      const error = new BackendError("closed", `${path} was closed`, { kind });
      closed = error;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_PATIENCE_MS);
      });
      await Promise.race([closing, patience]);
      clearTimeout(timer);
      closing.catch(() => undefined); // rejected by the next line where patience ended first
      stop(error);
      worker.terminate();
    },
  };
}
