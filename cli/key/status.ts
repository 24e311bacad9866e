/** `nautilus key status`: of the running master, or of the data directory of a stopped one. */
import * as v from "valibot";
import { keyStatusJson } from "../../api/routes/admin_keys.ts";
import { StoreError } from "../../store/mod.ts";
import { decoded } from "../client/answer.ts";
import { type CommandIo, EXIT, type ExitCode } from "../command.ts";
import { KEYS, keysText } from "./answers.ts";
import { withData } from "../node/offline.ts";
import { MASTER_FLAGS, namesMaster, reachMaster } from "../client/running_master.ts";
import { loadSettings } from "../settings.ts";
import { BootError } from "../node/steps.ts";

export async function keyStatus(io: CommandIo): Promise<ExitCode> {
  const spec = { ...MASTER_FLAGS, switches: ["json"] };
  const { config, flags } = await loadSettings(io, io.args, spec);
  const print = (answer: unknown): ExitCode => {
    io.stdout(
      flags.switches.has("json")
        ? JSON.stringify(answer, null, 2) + "\n"
        : keysText(v.parse(KEYS, answer)),
    );
    return EXIT.done;
  };
  if (!namesMaster(flags)) {
    try {
      return await withData(
        io,
        spec,
        () => "read-only",
        ({ store }) =>
          Promise.resolve(print(keyStatusJson(store.storeId.toHex(), store.keyStatus()))),
      );
    } catch (error) {
      // The master that holds it is asked instead, as far as it can be found from here.
      const isHeld = error instanceof BootError && error.cause instanceof StoreError &&
        error.cause.code === "locked";
      if (!isHeld || !await isFile(`${config.dataDir}/admin.kubeconfig`)) throw error;
    }
  }
  const master = await reachMaster(flags, config.dataDir);
  return print(decoded(KEYS, await master.send("GET", "/api/v1/admin/keys")));
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
