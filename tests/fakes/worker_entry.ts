/** What threads.ts does for Workers, for tests: one file that dispatches on the Worker's name. */
import { DEVICE_WORKER, runDeviceWorker } from "../../backends/ffi/device_worker.ts";
import { PLUGIN_WORKER, runPluginWorker } from "../../backends/ffi/plugin_worker.ts";
import { runTeecWorker, TEEC_WORKER } from "../../backends/ffi/teec_worker.ts";
import { runNodeKeyWorker } from "../../api/node_key_worker.ts";
import { NODE_KEY_WORKER_NAME } from "../../api/node_key_verifier.ts";
import { runSgxWorker, SGX_WORKER } from "../../backends/ffi/sgx_worker.ts";

/** Starts a Worker as the program would. */
export function spawnWorker(name: string): Worker {
  return new Worker(import.meta.url, { type: "module", name });
}

if ("DedicatedWorkerGlobalScope" in globalThis) {
  if (self.name === DEVICE_WORKER) runDeviceWorker(self);
  if (self.name === PLUGIN_WORKER) runPluginWorker(self);
  if (self.name === SGX_WORKER) runSgxWorker(self);
  if (self.name === NODE_KEY_WORKER_NAME) runNodeKeyWorker(self);
  if (self.name === TEEC_WORKER) runTeecWorker(self);
}
