/** How a Worker serves a native library: nothing secret stays behind, nothing is called after damage. */
import type { WorkerReply } from "./worker_channel.ts";
import { serveWorker } from "./worker_scope.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface LibraryService<Request, Result extends { readonly data: Bytes }> {
  /** One request. What it gives is copied out and wiped. @throws what becomes the failure's text */
  perform(request: Request): Result;
  /** Byte strings of the request that are wiped, however it ended. */
  secrets(request: Request): readonly Bytes[];
  /** Told of every error: after some of them no call goes into the library again. */
  failed(error: unknown): void;
}

/** Serves requests in their order; `scope` is the Worker's global. @throws {Error} outside of a Worker */
export function serveLibrary<Request, Result extends { readonly data: Bytes }>(
  scope: object,
  service: LibraryService<Request, Result>,
): void {
  type Reply = WorkerReply<{ readonly result: Result }>;
  serveWorker<Request, Reply>(scope, (request, reply) => {
    try {
      const result = service.perform(request);
      const data = result.data.slice();
      result.data.fill(0);
      reply({ id: request.id, result: { ...result, data } }, [data.buffer]);
    } catch (error) {
      service.failed(error);
      const message = error instanceof Error ? error.message : String(error);
      reply({ id: request.id, failure: message }, []);
    } finally {
      for (const secret of service.secrets(request)) secret.fill(0);
    }
  });
}
