/** The preloaded library that makes a process's disk fail (fault_shim.c). */
import { compilerUnavailable } from "../fakes/c_program.ts";

/** Compiles it into a folder; tells why where it cannot, and answers undefined: the test is skipped. */
export async function buildShim(folder: string): Promise<string | undefined> {
  const reason = Deno.build.os === "linux"
    ? await compilerUnavailable([])
    : "the fault layer is for Linux";
  if (reason !== undefined) {
    Deno.stdout.writeSync(new TextEncoder().encode(`\nskipped: ${reason}\n`));
    return undefined;
  }
  const path = `${folder}/fault_shim.so`;
  const source = new URL("./fault_shim.c", import.meta.url).pathname;
  const { success, stderr } = await new Deno.Command("cc", {
    args: ["-shared", "-fPIC", "-O1", "-o", path, source, "-ldl"],
  }).output();
  if (!success) throw new Error(`cc failed: ${new TextDecoder().decode(stderr)}`);
  return path;
}

/** The environment in which the calls on the store of a folder fail. */
export function faultEnv(shim: string, fault: string, folder: string): Record<string, string> {
  return {
    LD_PRELOAD: shim,
    NAUTILUS_FAULT: fault,
    NAUTILUS_FAULT_PATH: `${folder}/store.db`,
  };
}
