/** The built file with a plugin of others: loaded in a Worker of its own, asked, and not believed. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { compilerUnavailable } from "../fakes/c_program.ts";
import { buildSamplePlugin } from "../fakes/plugin/build.ts";
import { makePlace, runBinary } from "./harness.ts";

const why = await compilerUnavailable(["stdint.h", "sys/random.h"]);

Deno.test({
  name: "the built file detects by a plugin, and serves on none that no vendor vouches for" +
    (why === undefined ? "" : ` (skipped: ${why})`),
  ignore: why !== undefined,
  fn: async () => {
    await using place = await makePlace();
    const { path, sha256 } = await buildSamplePlugin();
    const env = {
      TEE_MODE: "production",
      NAUTILUS_TEE_PLUGIN: `TrustZone:${sha256}:${path}`,
      NAUTILUS_TEE_PLUGIN_CONFIG: "device=1 program=1 misbehave=none",
    };
    const detected = await runBinary(place, ["detect", "--json"], env);
    assertEquals(detected.code, 0, detected.stderr);
    const { tees, auto } = JSON.parse(detected.stdout);
    assertEquals([auto, tees.length], ["TrustZone", 1]);
    assertEquals(tees[0].reason, "plugin: a sample device");

    const served = await runBinary(place, ["serve"], env);
    assertEquals(served.code, 3, served.stderr);
    assertStringIncludes(served.stderr, "TrustZone");

    const other = { ...env, NAUTILUS_TEE_PLUGIN: `TrustZone:${"00".repeat(32)}:${path}` };
    const refused = await runBinary(place, ["detect"], other);
    assertEquals(refused.code, 1, refused.stderr);
    assertStringIncludes(refused.stdout, "pinned is");

    const relative = { ...env, NAUTILUS_TEE_PLUGIN: `TrustZone:${sha256}:plugin.so` };
    const misnamed = await runBinary(place, ["detect"], relative);
    assertEquals(misnamed.code, 2, misnamed.stdout);
    assertStringIncludes(misnamed.stderr, "environment variable NAUTILUS_TEE_PLUGIN");
  },
});
