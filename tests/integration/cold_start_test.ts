/** The first start of a newcomer: from the sources, with nothing of them compiled yet. */
import { assertEquals } from "@std/assert";
import * as v from "valibot";
import { start } from "../demo/process.ts";

const Info = v.object({ denoDir: v.string() });

Deno.test("serve boots from the sources with a cold cache, and stops at SIGTERM", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  const { denoDir } = v.parse(Info, JSON.parse(new TextDecoder().decode(stdout)));
  const directory = await Deno.makeTempDir({ prefix: "nautilus-cold-" });
  try {
    // What npm gave is there; what Deno made of the sources is not.
    await Deno.mkdir(`${directory}/cache`);
    await Deno.symlink(`${denoDir}/npm`, `${directory}/cache/npm`);
    const { running } = await start({
      command: Deno.execPath(),
      args: ["run", "-A", new URL("../../main.ts", import.meta.url).pathname, "serve"],
      cwd: directory,
      env: {
        PATH: Deno.env.get("PATH") ?? "",
        HOME: directory,
        DENO_DIR: `${directory}/cache`,
        TEE_MODE: "simulation",
        NAUTILUS_DATA_DIR: `${directory}/data`,
        NAUTILUS_LISTEN: "127.0.0.1:0",
        NAUTILUS_TLS_LISTEN: "127.0.0.1:0",
      },
      ready: (line) => line.includes("admin.kubeconfig") ? true : undefined,
      timeoutMs: 240_000,
    });
    await using _running = running;
    running.kill("SIGTERM");
    assertEquals((await running.status).code, 0);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
