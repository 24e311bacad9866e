/** A disk that fails: the store stops with a named error, and what it had acknowledged is there. */
import { assert, assertEquals } from "@std/assert";
import { checkLeftover, runWriter } from "./writer_process.ts";

const ENOSPC = 28;
const EIO = 5;
const EROFS = 30;
const NIGHTLY = Deno.env.get("NAUTILUS_NIGHTLY") === "1";
const NTH = NIGHTLY ? Array.from({ length: 60 }, (_, i) => 8 + i * 9) : [20, 77];

const CASES = [
  { name: "no space left on write", kind: "write", errno: ENOSPC },
  { name: "input/output error on write", kind: "write", errno: EIO },
  { name: "input/output error on fsync", kind: "sync", errno: EIO },
  { name: "a torn write", kind: "torn", errno: EIO },
  { name: "a read-only remount", kind: "write", errno: EROFS },
] as const;

/** Compiles the preloaded library once. */
async function buildShim(folder: string): Promise<string | { readonly skip: string }> {
  if (Deno.build.os !== "linux") return { skip: "the fault layer is for Linux" };
  const path = `${folder}/fault_shim.so`;
  try {
    const { success, stderr } = await new Deno.Command("cc", {
      args: [
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        path,
        new URL("./fault_shim.c", import.meta.url).pathname,
        "-ldl",
      ],
    }).output();
    return success ? path : { skip: `cc failed: ${new TextDecoder().decode(stderr)}` };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { skip: "there is no C compiler here" };
    throw error;
  }
}

for (const { name, kind, errno } of CASES) {
  Deno.test(`${name} stops the store, and nothing acknowledged is lost`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const shim = await buildShim(folder);
      if (typeof shim !== "string") {
        Deno.stdout.writeSync(new TextEncoder().encode(`\nskipped: ${shim.skip}\n`));
        return;
      }
      for (const [round, nth] of NTH.entries()) {
        // What came before this round was written without faults.
        const run = await runWriter(folder, round, {
          env: {
            LD_PRELOAD: shim,
            // No spawn of another process may inherit it by accident: the writer spawns none.
            NAUTILUS_FAULT: `${kind}:${nth}:${errno}`,
            NAUTILUS_FAULT_PATH: `${folder}/store.db`,
          },
        });
        assertEquals(run.stopped, "io", `${name}, call ${nth}`);
        assert(run.status.success, "the writer did not end in order");
        await checkLeftover(folder, round, run.acknowledged);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
