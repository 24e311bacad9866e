import { assertEquals, assertRejects } from "@std/assert";
import { generateKeyPairSync } from "node:crypto";
import { ConfigError } from "../config.ts";
import { openWorkerFile } from "./worker_state.ts";

/** A key of another kind. */
const X25519 = generateKeyPairSync("x25519").privateKey.export({ type: "pkcs8", format: "der" })
  .toString("base64");

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
    for (const node_key of ["", "AAAA", "not base64", X25519]) {
      await Deno.writeTextFile(path, JSON.stringify({ v: 1, node_key }));
      await assertRejects(() => openWorkerFile(path), ConfigError, `${path}: field "node_key"`);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
