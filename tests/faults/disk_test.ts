/** A disk that fails: the store stops with a named error, and what it had acknowledged is there. */
import { assert, assertEquals } from "@std/assert";
import { buildShim, faultEnv } from "./shim.ts";
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

for (const { name, kind, errno } of CASES) {
  Deno.test(`${name} stops the store, and nothing acknowledged is lost`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const shim = await buildShim(folder);
      if (shim === undefined) return;
      for (const [round, nth] of NTH.entries()) {
        // What came before this round was written without faults.
        const run = await runWriter(folder, round, {
          env: faultEnv(shim, `${kind}:${nth}:${errno}`, folder),
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

/** A folder with a store of one round, and the shim in it; skips where there is no compiler. */
async function withWritten(
  body: (folder: string, shim: string, acknowledged: readonly number[]) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const shim = await buildShim(folder);
    if (shim === undefined) return;
    const { acknowledged } = await runWriter(folder, 0, { killAfterMs: 100 });
    await body(folder, shim, acknowledged);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function runStep(
  step: "read" | "stall",
  folder: string,
  env: Record<string, string>,
): Promise<string[]> {
  const script = import.meta.resolve("./store_steps.ts");
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", script, step, folder],
    env,
    stderr: "inherit",
  }).output();
  assert(success, "the process did not end in order");
  return new TextDecoder().decode(stdout).trim().split("\n");
}

Deno.test("short writes are gone on with: nothing acknowledged is lost", async () => {
  await withWritten(async (folder, shim, before) => {
    const run = await runWriter(folder, 1, {
      killAfterMs: 150,
      env: faultEnv(shim, "short:1:0", folder),
    });
    assertEquals(run.stopped, undefined);
    await checkLeftover(folder, 0, before);
    await checkLeftover(folder, 1, run.acknowledged);
  });
});

Deno.test("an input/output error on read refuses the opening or the read, and harms nothing", async () => {
  await withWritten(async (folder, shim, acknowledged) => {
    const [whole] = await runStep("read", folder, {});
    const refused = [];
    for (const nth of NIGHTLY ? Array.from({ length: 40 }, (_, i) => i + 1) : [1, 3, 8, 20]) {
      const [line] = await runStep("read", folder, faultEnv(shim, `read:${nth}:${EIO}`, folder));
      // SQLite calls a file damaged that the disk cannot read; a later call may never come.
      const isRefused = line === "refused io" || line === "refused format";
      assert(line === whole || isRefused, `read ${nth}: ${line}`);
      if (line !== whole) refused.push(nth);
    }
    assertEquals(refused[0], 1);
    await checkLeftover(folder, 0, acknowledged);
  });
});

Deno.test("a disk that does not answer for seconds holds back writes, and nothing else", async () => {
  await withWritten(async (folder, shim) => {
    const lines = await runStep("stall", folder, faultEnv(shim, "stall:12:3000", folder));
    assertEquals(lines, ["stalled true true", "ended true"]);
  });
});
