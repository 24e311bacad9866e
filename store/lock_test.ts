import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { StoreError } from "./errors.ts";
import { acquireDataDirLock } from "./lock.ts";

Deno.test("acquireDataDirLock() refuses a second master and says who holds it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    {
      await using _lock = await acquireDataDirLock(folder);
      const error = await assertRejects(() => acquireDataDirLock(folder), StoreError);
      assertEquals(error.code, "locked");
      assertStringIncludes(error.message, `process ${Deno.pid}`);
    }
    await using _again = await acquireDataDirLock(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("acquireDataDirLock() is freed by the death of its holder", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const holder = new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        "--quiet",
        `const f = await Deno.open(${JSON.stringify(`${folder}/master.lock`)}, ` +
        `{ read: true, write: true, create: true }); await f.lock(true); ` +
        `await f.write(new TextEncoder().encode("process 1234567\\n")); ` +
        `console.log("held"); setTimeout(() => {}, 60000);`,
      ],
      stdout: "piped",
    }).spawn();
    const reader = holder.stdout.getReader();
    await reader.read();
    const error = await assertRejects(() => acquireDataDirLock(folder), StoreError);
    assertStringIncludes(error.message, "process 1234567");
    holder.kill("SIGKILL");
    await holder.status;
    await reader.cancel();
    await using _lock = await acquireDataDirLock(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("acquireDataDirLock() says that the folder is missing", async () => {
  const error = await assertRejects(() => acquireDataDirLock("/nonexistent/folder"), StoreError);
  assertEquals(error.code, "io");
});
