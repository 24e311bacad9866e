/**
 * `serve` on TrustZone, in production: no vendor stands behind a TA, so it boots under the key that
 * its operator pinned and no other, comes back, and is refused on another device and with other code.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { World } from "../fakes/boot/world.ts";
import { buildTeec, makeTeeDevice, teecUnavailable } from "../fakes/trustzone/device.ts";
import { makeFakeHost } from "./fake_hardware.ts";

const why = await teecUnavailable();

Deno.test({
  name: "serve boots on TrustZone under the key that is pinned, and under no other" +
    (why === undefined ? "" : ` (skipped: ${why})`),
  ignore: why !== undefined,
  fn: async () => {
    const [library, otherCode] = [await buildTeec(), await buildTeec({ digestByte: 0x22 })];
    await using device = await makeTeeDevice();
    await using otherDevice = await makeTeeDevice();
    await using host = await makeFakeHost();
    const root = `${host.folder}/root`;
    for (const path of ["/dev/tee0", "/usr/lib/libteec.so.2"]) {
      await Deno.mkdir(`${root}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
      await Deno.writeTextFile(`${root}${path}`, "");
    }
    const world = (tee: string, lib = library): World => ({
      root,
      arch: "aarch64",
      configs: { TrustZone: { library: lib, tee } },
      roots: {},
    });
    const refused = async (exit: number, at: World, text: string, ...args: string[]) => {
      const { code, stderr } = await host.run(at, "serve", "--tls-listen", "127.0.0.1:0", ...args);
      assertEquals(code, exit, stderr);
      assertStringIncludes(stderr, text);
      return stderr;
    };

    const { stdout } = await host.run(world(device.path), "detect");
    assertStringIncludes(stdout, "TEE_MODE=auto takes TrustZone");
    const unpinned = ["--no-recovery", "--data-dir", `${host.folder}/never`];
    const said = await refused(3, world(device.path), "no evidence that leads to", ...unpinned);
    const key = /signs with (\S+):/.exec(said)?.[1];
    assert(key !== undefined, said);
    await refused(2, world(device.path), "--tee-key", ...unpinned, "--tee-key", "AAAA");
    const elsewhere = world(otherDevice.path);
    await refused(3, elsewhere, "does not pin the key", ...unpinned, "--tee-key", key);

    const first = await host.serve(world(device.path), "--no-recovery", "--tee-key", key);
    assertEquals([first.attested["tee_type"], first.attested["covers"]], ["TrustZone", "helper"]);
    await first.put("kept", "by the TA");
    await first.stop();
    const second = await host.serve(world(device.path), "--tee-key", key);
    assertEquals(await second.get("kept"), "by the TA");
    assertEquals(second.attested["config_digest"], first.attested["config_digest"]);
    await second.stop();
    await refused(3, world(device.path, otherCode), "running measurement is", "--tee-key", key);

    // Secure storage and with it the attestation key, but not the hardware's own.
    await Deno.copyFile(
      device.storagePath("attestation key"),
      otherDevice.storagePath("attestation key"),
    );
    await refused(3, elsewhere, "the keyring was sealed elsewhere", "--tee-key", key);
  },
});
