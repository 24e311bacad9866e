/** A character device driven by ioctl(2) from the main thread's side: promises, typed errors, closing. */
import { BackendError } from "../errors.ts";
import type { Bytes, TeeType } from "../mod.ts";
import { DEVICE_WORKER, type DeviceAnswer, type DeviceRequest } from "./device_worker.ts";
import { errnoName } from "./errno.ts";
import type { BufferLink } from "./libc.ts";
import { openWorkerChannel, type SpawnWorker } from "./worker_channel.ts";

export type { SpawnWorker } from "./worker_channel.ts";

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

/**
 * Opens `path` for reading and writing in a Worker of its own.
 *
 * @throws {BackendError} `unavailable` with the errno as native status.
 */
export async function openIoctlDevice(
  options: {
    readonly kind: TeeType;
    readonly path: string;
    /** A library in the place of glibc; see tests/fakes/ioctl. */
    readonly libc?: string | undefined;
    readonly spawnWorker: SpawnWorker;
  },
): Promise<IoctlDevice> {
  const { kind, path } = options;
  const channel = openWorkerChannel<DeviceRequest, DeviceAnswer>({
    kind,
    subject: path,
    worker: options.spawnWorker(DEVICE_WORKER),
  });
  let errno: number;
  try {
    errno = (await channel.send({ type: "open", path, libc: options.libc })).result.errno;
  } catch (error) {
    channel.abort();
    throw error;
  }
  if (errno !== 0) {
    channel.abort();
    const name = errnoName(errno);
    throw new BackendError("unavailable", `cannot open ${path}: ${name}`, {
      kind,
      nativeStatus: { name, value: errno },
      hint: name === "EACCES" || name === "EPERM"
        ? `run as root, or let the master's group read and write ${path}`
        : `check that ${path} is the TEE's device and that nobody holds it alone`,
    });
  }
  return {
    path,
    async ioctl({ request, buffers, links }) {
      // Own copies: a view into a larger buffer would take the whole of it along.
      const owned = buffers.map((buffer) =>
        buffer.byteLength === buffer.buffer.byteLength ? buffer : buffer.slice()
      );
      const { result, buffers: answered } = await channel.send(
        { type: "ioctl", request, buffers: owned, links },
        owned.map(({ buffer }) => buffer),
      );
      return { ...result, buffers: answered };
    },
    [Symbol.asyncDispose]: () => channel.close({ type: "close" }),
  };
}
