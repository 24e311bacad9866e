import { assertEquals, assertRejects } from "@std/assert";
import { openWorkerFile } from "./worker_state.ts";

Deno.test("openWorkerFile() makes a key of its own, keeps it, and is nobody else's to read", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const path = `${directory}/new/worker.json`;
    const first = await openWorkerFile(path);
    assertEquals(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o600);
    const master = { url: "https://h:1/", chain_id: "c", cluster_id: "00", identity_key: "" };
    await first.remember(master);
    const again = await openWorkerFile(path);
    assertEquals(again.nodeKey.spki, first.nodeKey.spki);
    assertEquals(again.master, master);
    await Deno.chmod(path, 0o640);
    await assertRejects(() => openWorkerFile(path), Error, "others can read it");
    await Deno.writeTextFile(path, "{", { mode: 0o600 });
    await Deno.chmod(path, 0o600);
    await assertRejects(() => openWorkerFile(path), Error, "no JSON");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
