/**
 * One device, held open in a Worker: calls are synchronous there (errno, see libc.ts) and can take
 * as long as they like without stopping anything else. Calls of one device run in their order.
 */
import { type BufferLink, type CallResult, type Libc, openLibc } from "./libc.ts";
import type { WorkerReply } from "./worker_channel.ts";
import { serveWorker } from "./worker_scope.ts";

/** The name that the program's Worker dispatch knows this Worker by. */
export const DEVICE_WORKER = "nautilus-device";

/** To the Worker. Buffers are transferred, so that a secret is in one place at a time. */
export type DeviceRequest =
  | { readonly type: "open"; readonly path: string; readonly libc: string | undefined }
  | {
    readonly type: "ioctl";
    readonly request: number;
    readonly buffers: Uint8Array<ArrayBuffer>[];
    readonly links: readonly BufferLink[];
  }
  | { readonly type: "close" };

/** From the Worker: the call's result, and the buffers that were sent. */
export interface DeviceAnswer {
  readonly result: CallResult;
  readonly buffers: Uint8Array<ArrayBuffer>[];
}

/** Serves one device until `close`; the program runs this in the Worker named DEVICE_WORKER. */
export function runDeviceWorker(scope: object): void {
  let libc: Libc | undefined;
  let fd = -1;

  function perform(request: DeviceRequest): CallResult {
    libc ??= openLibc(request.type === "open" ? request.libc : undefined);
    switch (request.type) {
      case "open": {
        if (fd >= 0) throw new Error("the device is open already");
        const opened = libc.open(request.path);
        if (opened.errno === 0) fd = opened.value;
        return opened;
      }
      case "ioctl":
        if (fd < 0) throw new Error("the device is not open");
        return libc.ioctl(fd, request.request, request.buffers, request.links);
      case "close": {
        const closed = fd < 0 ? { value: 0, errno: 0 } : libc.close(fd);
        fd = -1;
        libc[Symbol.dispose]();
        libc = undefined;
        return closed;
      }
    }
  }

  serveWorker<DeviceRequest, WorkerReply<DeviceAnswer>>(scope, (request, reply) => {
    const buffers = request.type === "ioctl" ? request.buffers : [];
    try {
      reply(
        { id: request.id, result: perform(request), buffers },
        buffers.map(({ buffer }) => buffer),
      );
    } catch (error) {
      for (const buffer of buffers) buffer.fill(0);
      reply({ id: request.id, failure: String(error) }, []);
    }
  });
}
