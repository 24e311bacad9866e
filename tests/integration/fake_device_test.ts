/**
 * The built file on a machine whose `/dev/sev-guest` is a fake under a test root: it finds the
 * device, drives it by real ioctls, and refuses to take it for hardware.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fuseUnavailable, mountFuse } from "../fakes/fuse/server.ts";
import { type FakeSevGuest, makeSevGuest } from "../fakes/sev_snp/device.ts";
import { makeFirmware } from "../fakes/sev_snp/firmware.ts";
import { makeAmdTestPki } from "../fakes/sev_snp/pki.ts";
import { builtBinary } from "./harness.ts";

/** In a mount namespace of its own: a /dev with the usual nodes and the file $1 as sev-guest. */
const WITH_DEVICE = `
set -e
dev=$2/dev
mkdir "$dev"
mount -t tmpfs -o mode=0755 tmpfs "$dev"
for node in null zero full random urandom; do
  : > "$dev/$node"
  mount --bind "/dev/$node" "$dev/$node"
done
: > "$dev/sev-guest"
mount --bind "$1" "$dev/sev-guest"
mount --rbind "$dev" /dev
cd "$2"
shift 2
exec "$@"
`;

async function unavailable(): Promise<string | undefined> {
  const why = fuseUnavailable();
  if (why !== undefined) return why;
  const probe = new Deno.Command("unshare", { args: ["--mount", "true"], stderr: "null" });
  try {
    return (await probe.output()).success ? undefined : "no mount namespaces";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "no unshare";
    throw error;
  }
}

const why = await unavailable();

async function onFakeGuest(
  job: (
    run: (...args: string[]) => Promise<{ code: number; stdout: string; stderr: string }>,
    device: FakeSevGuest,
    folder: string,
  ) => Promise<void>,
): Promise<void> {
  const binary = await builtBinary();
  const firmware = await makeFirmware({
    pki: await makeAmdTestPki(Date.now()),
    chipId: new Uint8Array(64).fill(1),
  });
  const device = makeSevGuest(firmware);
  const folder = await Deno.makeTempDir({ prefix: "nautilus-fake-guest-" });
  try {
    await using mount = await mountFuse({
      type: "directory",
      entries: new Map([["sev-guest", device.file]]),
    });
    await job(
      async (...args) => {
        const place = await Deno.makeTempDir({ dir: folder });
        const { code, stdout, stderr } = await new Deno.Command("unshare", {
          args: [
            "--mount",
            "sh",
            "-c",
            WITH_DEVICE,
            "sh",
            `${mount.path}/sev-guest`,
            place,
            binary,
            ...args,
          ],
          clearEnv: true,
          env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", HOME: "/nonexistent" },
        }).output();
        const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
        return { code, stdout: text(stdout), stderr: text(stderr) };
      },
      device,
      folder,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "a fake /dev/sev-guest is found, driven, and never passes for hardware" +
    (why === undefined ? "" : ` (skipped: ${why})`),
  ignore: why !== undefined,
  fn: () =>
    onFakeGuest(async (run, device, folder) => {
      const detected = await run("detect", "--json");
      assertEquals(detected.code, 0, detected.stderr);
      assertStringIncludes(detected.stdout, '"auto": "SEV"');
      assertEquals(device.calls.length, 0, "detecting opens nothing");

      const data = `${folder}/data`;
      const served = await run(
        "serve",
        "--tee-mode",
        "production",
        "--data-dir",
        data,
        "--listen",
        "127.0.0.1:0",
      );
      assertEquals(served.code, 3, served.stderr);
      assert(device.calls.length >= 2, `the device was asked for reports: ${served.stderr}`);
      assertStringIncludes(served.stderr, "does not prove real hardware");
      const derivedKey = 0xc0205301;
      assert(!device.calls.includes(derivedKey), "no key was derived for a fake");
    }),
});
