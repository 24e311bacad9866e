/** The Worker's end of a channel (worker_channel.ts). */

interface WorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer: Transferable[]): void;
}

function isWorkerScope(scope: object): scope is WorkerScope {
  return "postMessage" in scope && "onmessage" in scope;
}

/**
 * Performs requests in their order; `scope` is the Worker's global.
 *
 * @throws {Error} outside of a Worker
 */
export function serveWorker<Request, Reply>(
  scope: object,
  perform: (
    request: Request & { readonly id: number },
    reply: (message: Reply, transfer: Transferable[]) => void,
  ) => void,
): void {
  if (!isWorkerScope(scope)) throw new Error("this runs in a Worker");
  scope.onmessage = ({ data }: MessageEvent<Request & { readonly id: number }>) =>
    perform(data, (message, transfer) => scope.postMessage(message, transfer));
}
