/** One plugin in a Worker: its calls are synchronous and may take their time. */
import { serveLibrary } from "./library_worker.ts";
import {
  loadPlugin,
  PluginContractError,
  type PluginLibrary,
  type PluginResult,
} from "./plugin_library.ts";

/** The name that the program's Worker dispatch knows this Worker by. */
export const PLUGIN_WORKER = "nautilus-plugin";

type Bytes = Uint8Array<ArrayBuffer>;

/** To the Worker. Byte strings are transferred. */
export type PluginRequest =
  | { readonly type: "load"; readonly path: string; readonly sha256: string }
  | { readonly type: "describe" | "probe" | "measurement" | "close" }
  | { readonly type: "open"; readonly config: Bytes }
  | { readonly type: "attest"; readonly reportData: Bytes }
  | {
    readonly type: "seal" | "unseal";
    readonly policy: number;
    readonly input: Bytes;
    readonly aad: Bytes;
  };

export interface PluginAnswer {
  readonly result: PluginResult;
}

const DONE: PluginResult = { status: 0, data: new Uint8Array(0), nativeStatus: 0n };

/** Serves one plugin until `close`; the program runs this in the Worker named PLUGIN_WORKER. */
export function runPluginWorker(scope: object): void {
  let plugin: PluginLibrary | undefined;
  let broken: string | undefined;

  function loaded(): PluginLibrary {
    if (broken !== undefined) throw new Error(broken);
    if (plugin === undefined) throw new Error("no plugin is loaded");
    return plugin;
  }

  function perform(request: PluginRequest): PluginResult {
    switch (request.type) {
      case "load":
        plugin = loadPlugin(request.path, request.sha256);
        return DONE;
      case "describe":
        return loaded().describe();
      case "probe":
        return loaded().probe();
      case "open":
        return loaded().open(request.config);
      case "measurement":
        return loaded().measurement();
      case "seal":
        return loaded().seal(request.policy, request.input, request.aad);
      case "unseal":
        return loaded().unseal(request.policy, request.input, request.aad);
      case "attest":
        return loaded().attest(request.reportData);
      case "close":
        if (broken === undefined) plugin?.[Symbol.dispose]();
        plugin = undefined;
        return DONE;
    }
  }

  serveLibrary<PluginRequest, PluginResult>(scope, {
    perform,
    secrets: (request) =>
      request.type === "seal" || request.type === "unseal" ? [request.input] : [],
    failed(error) {
      // Memory may be damaged: no call goes into that library again.
      if (error instanceof PluginContractError) broken = error.message;
    },
  });
}
