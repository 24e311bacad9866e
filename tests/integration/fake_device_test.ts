/**
 * The built file on a machine whose `/dev/sev-guest` or `/dev/attestation` is a fake under a test
 * root: it finds the device, drives it by real system calls, and refuses to take it for hardware.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type FakeNode, fuseUnavailable, mountFuse } from "../fakes/fuse/server.ts";
import { makeSevGuest } from "../fakes/sev_snp/device.ts";
import { makeFirmware } from "../fakes/sev_snp/firmware.ts";
import { makeAmdTestPki } from "../fakes/sev_snp/pki.ts";
import { makeGramine } from "../fakes/sgx/gramine.ts";
import { builtBinary } from "./harness.ts";

/** In a mount namespace of its own: a /dev with the usual nodes, and $1 under the name it has. */
const WITH_DEVICE = `
set -e
dev=$2/dev
mkdir "$dev"
mount -t tmpfs -o mode=0755 tmpfs "$dev"
for node in null zero full random urandom; do
  : > "$dev/$node"
  mount --bind "/dev/$node" "$dev/$node"
done
name=$(basename "$1")
if [ -d "$1" ]; then mkdir "$dev/$name"; else : > "$dev/$name"; fi
mount --bind "$1" "$dev/$name"
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

type Run = (...args: string[]) => Promise<{ code: number; stdout: string; stderr: string }>;

/** @param name of the node in /dev */
async function onFakeMachine(
  name: string,
  node: FakeNode,
  job: (run: Run, folder: string) => Promise<void>,
): Promise<void> {
  const binary = await builtBinary();
  const folder = await Deno.makeTempDir({ prefix: "nautilus-fake-guest-" });
  try {
    await using mount = await mountFuse({ type: "directory", entries: new Map([[name, node]]) });
    await job(async (...args) => {
      const place = await Deno.makeTempDir({ dir: folder });
      const script = ["sh", "-c", WITH_DEVICE, "sh", `${mount.path}/${name}`, place, binary];
      const { code, stdout, stderr } = await new Deno.Command("unshare", {
        args: ["--mount", ...script, ...args],
        clearEnv: true,
        env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", HOME: "/nonexistent" },
      }).output();
      const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
      return { code, stdout: text(stdout), stderr: text(stderr) };
    }, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const serveOn = (folder: string): string[] => [
  ...["serve", "--tee-mode", "production", "--data-dir", `${folder}/data`],
  ...["--tls-listen", "127.0.0.1:0"],
];

Deno.test({
  name: "a fake /dev/sev-guest is found, driven, and never passes for hardware" +
    (why === undefined ? "" : ` (skipped: ${why})`),
  ignore: why !== undefined,
  fn: async () => {
    const firmware = await makeFirmware({
      pki: await makeAmdTestPki(Date.now()),
      chipId: new Uint8Array(64).fill(1),
    });
    const device = makeSevGuest(firmware);
    await onFakeMachine("sev-guest", device.file, async (run, folder) => {
      const detected = await run("detect", "--json");
      assertEquals(detected.code, 0, detected.stderr);
      assertStringIncludes(detected.stdout, '"auto": "SEV"');
      assertEquals(device.calls.length, 0, "detecting opens nothing");

      const served = await run(...serveOn(folder));
      assertEquals(served.code, 3, served.stderr);
      assert(device.calls.length >= 2, `the device was asked for reports: ${served.stderr}`);
      assertStringIncludes(served.stderr, "does not prove real hardware");
      const derivedKey = 0xc0205301;
      assert(!device.calls.includes(derivedKey), "no key was derived for a fake");
    });
  },
});

Deno.test({
  name: "a fake /dev/attestation of Gramine is found, asked, and never passes for hardware" +
    (why === undefined ? "" : ` (skipped: ${why})`),
  ignore: why !== undefined,
  fn: async () => {
    const gramine = makeGramine({
      mrEnclave: new Uint8Array(32).fill(1),
      mrSigner: new Uint8Array(32).fill(2),
      fmspc: "00a0b1c2d3e1",
    });
    await onFakeMachine("attestation", gramine.directory, async (run, folder) => {
      const detected = await run("detect", "--json");
      assertEquals(detected.code, 0, detected.stderr);
      assertStringIncludes(detected.stdout, '"auto": "SGX"');
      assertEquals(gramine.collateral.length, 0, "detecting asks for no quote");

      const served = await run(...serveOn(folder));
      assertEquals(served.code, 3, served.stderr);
      assert(gramine.collateral.length > 0, `it was asked for a quote: ${served.stderr}`);
      assertStringIncludes(served.stderr, "does not prove real hardware");
    });
  },
});
