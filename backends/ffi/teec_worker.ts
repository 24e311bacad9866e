/** One session with a trusted application, in a Worker: its calls are synchronous and may take long. */
import { serveLibrary } from "./library_worker.ts";
import {
  loadLibteec,
  type TeecClient,
  type TeecCommand,
  TeecContractError,
  type TeecResult,
} from "./libteec.ts";

/** The name that the program's Worker dispatch knows this Worker by. */
export const TEEC_WORKER = "nautilus-teec";

/** To the Worker. Byte strings are transferred, so that a secret is in one place at a time. */
export type TeecRequest =
  | { readonly type: "load"; readonly libraries: readonly string[] }
  | { readonly type: "open"; readonly tee: string | undefined; readonly uuid: string }
  | ({ readonly type: "invoke" } & TeecCommand)
  | { readonly type: "close" };

export interface TeecAnswer {
  readonly result: TeecResult;
}

const DONE: TeecResult = { result: 0, origin: 0, data: new Uint8Array(0) };

/** Serves one session until `close`; the program runs this in the Worker named TEEC_WORKER. */
export function runTeecWorker(scope: object): void {
  let client: TeecClient | undefined;
  let broken: string | undefined;

  function loaded(): TeecClient {
    if (broken !== undefined) throw new Error(broken);
    if (client === undefined) throw new Error("libteec is not loaded");
    return client;
  }

  function perform(request: TeecRequest): TeecResult {
    switch (request.type) {
      case "load":
        client = loadLibteec(request.libraries);
        return DONE;
      case "open":
        return loaded().open(request.tee, request.uuid);
      case "invoke":
        return loaded().invoke(request);
      case "close":
        if (broken === undefined) client?.[Symbol.dispose]();
        client = undefined;
        return DONE;
    }
  }

  serveLibrary<TeecRequest, TeecResult>(scope, {
    perform,
    secrets: (request) => request.type === "invoke" ? request.inputs : [],
    failed(error) {
      // Memory may be damaged: no call goes into that library again.
      if (error instanceof TeecContractError) broken = error.message;
    },
  });
}
