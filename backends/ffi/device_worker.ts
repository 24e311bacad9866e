/**
 * One device, held open in a Worker: calls are synchronous there (errno, see libc.ts) and can take
 * as long as they like without stopping anything else. Calls of one device run in their order.
 */
import { type BufferLink, type CallResult, type Libc, openLibc } from "./libc.ts";

/** The name that the program's Worker dispatch knows this Worker by. */
export const DEVICE_WORKER = "nautilus-device";

/** To the Worker. Buffers are transferred, so that a secret is in one place at a time. */
export type DeviceRequest =
  | { readonly id: number; readonly type: "open"; readonly path: string }
  | {
    readonly id: number;
    readonly type: "ioctl";
    readonly request: number;
    readonly buffers: Uint8Array<ArrayBuffer>[];
    readonly links: readonly BufferLink[];
  }
  | { readonly id: number; readonly type: "close" };

/** From the Worker: the call's result and the buffers, or why the call was not made. */
export type DeviceReply =
  | {
    readonly id: number;
    readonly result: CallResult;
    readonly buffers: Uint8Array<ArrayBuffer>[];
  }
  | { readonly id: number; readonly failure: string };

/** What the Worker needs of its global scope. */
interface DeviceWorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: DeviceReply, transfer: Transferable[]): void;
}

function isWorkerScope(scope: object): scope is DeviceWorkerScope {
  return "postMessage" in scope && "onmessage" in scope;
}

/** Serves one device until `close`; the program runs this in the Worker named DEVICE_WORKER. */
export function runDeviceWorker(scope: object): void {
  if (!isWorkerScope(scope)) throw new Error("a device is driven in a Worker");
  let libc: Libc | undefined;
  let fd = -1;

  function perform(request: DeviceRequest): CallResult {
    libc ??= openLibc();
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

  scope.onmessage = ({ data }: MessageEvent<DeviceRequest>) => {
    try {
      const result = perform(data);
      const buffers = data.type === "ioctl" ? data.buffers : [];
      scope.postMessage({ id: data.id, result, buffers }, buffers.map(({ buffer }) => buffer));
    } catch (error) {
      if (data.type === "ioctl") { for (const buffer of data.buffers) buffer.fill(0); }
      scope.postMessage({ id: data.id, failure: String(error) }, []);
    }
  };
}
