import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { decodeEvidence } from "../backends/simulation/abi.ts";
import { ConfigError } from "../config.ts";
import { NoEvidence } from "./worker_join.ts";
import { openWorkerTee } from "./worker_tee.ts";

function io(env: Readonly<Record<string, string>> = {}) {
  return {
    env,
    isRoot: false,
    hostName: "host",
    hardware: undefined,
    spawnWorker: (): Worker => {
      throw new TypeError("no Worker is wanted here");
    },
  };
}

const log = getLogger(["test"]);

Deno.test("openWorkerTee() makes nothing before it is asked, and keeps the simulation's device", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const roots: (string | undefined)[] = [];
    for (const env of [{ TEE_MODE: "simulation" }, { TEE_MODE: "simulation", LOG_LEVEL: "x" }]) {
      await using tee = openWorkerTee({ io: io(env), mode: undefined, folder, log });
      if (roots.length === 0) assertEquals([...Deno.readDirSync(folder)], []);
      const reportData = new Uint8Array(64).fill(9);
      const { teeType, evidence } = await tee.attest(reportData);
      assertEquals(teeType, "SIMULATION");
      assertEquals(decodeEvidence(evidence.data).reportData, reportData);
      roots.push(evidence.endorsements[0]?.data.toHex());
    }
    assertEquals(roots[0], roots[1]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("attest() says plainly why there is no evidence to give; a mode that is none is refused", async () => {
  const plugin = `SEV:${"00".repeat(32)}:/nonexistent/library.so`;
  await using tee = openWorkerTee({
    io: io({ NAUTILUS_TEE_PLUGIN: plugin }),
    mode: "production",
    folder: "/nonexistent",
    log,
  });
  const error = await assertRejects(() => tee.attest(new Uint8Array(64)), NoEvidence);
  assertStringIncludes(error.message, "there is none here");
  assertThrows(
    () => openWorkerTee({ io: io(), mode: "imaginary", folder: "/nonexistent", log }),
    ConfigError,
    "imaginary",
  );
});
