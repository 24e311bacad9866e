/**
 * The program's own Workers: threads for what must not stop the main one. Each loads only what it
 * needs, and none anything of the rest.
 */

/** Does what the Worker of this name is for. @throws {Error} for a name that is none */
export async function runThread(name: string): Promise<void> {
  switch (name) {
    case "nautilus-sqlite-log":
      (await import("./store/logs/sqlite_worker.ts")).runSqliteWorker();
      return;
    case "nautilus-device":
      (await import("./backends/ffi/device_worker.ts")).runDeviceWorker(self);
      return;
    case "nautilus-sgx":
      (await import("./backends/ffi/sgx_worker.ts")).runSgxWorker(self);
      return;
    case "nautilus-plugin":
      (await import("./backends/ffi/plugin_worker.ts")).runPluginWorker(self);
      return;
    case "nautilus-teec":
      (await import("./backends/ffi/teec_worker.ts")).runTeecWorker(self);
      return;
    case "nautilus-node-keys":
      (await import("./api/node_key_worker.ts")).runNodeKeyWorker(self);
      return;
    default:
      throw new Error(`no worker is called "${name}"`);
  }
}
