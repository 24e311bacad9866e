/**
 * `serve` on every fake TEE that can hold a master: it boots under the test's root, its data outlives
 * a restart, and another device, another image, or the vendor's root refuse it with the documented
 * words. TDX has no sealing key and comes back by the operator's recovery key.
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import type { Bytes } from "../../backends/mod.ts";
import { createHpkeKeyPair } from "../../store/hpke.ts";
import { recoveryPem } from "../../cli/files/recovery_keys.ts";
import { decodeRecoveryRequest, recoveryReportData, rewrapForRecovery } from "../../store/mod.ts";
import type { World } from "../fakes/boot/world.ts";
import {
  type FakeDirectory,
  type FakeNode,
  fuseUnavailable,
  mountFuse,
} from "../fakes/fuse/server.ts";
import { makeSevGuest } from "../fakes/sev_snp/device.ts";
import { makeFirmware, PLAIN_GUEST } from "../fakes/sev_snp/firmware.ts";
import { makeAmdTestPki } from "../fakes/sev_snp/pki.ts";
import { compilerUnavailable } from "../fakes/c_program.ts";
import { buildSamplePlugin } from "../fakes/plugin/build.ts";
import { makeGramine } from "../fakes/sgx/gramine.ts";
import { makeSgxMachine, sgxSubstituteUnavailable } from "../fakes/sgx/helper.ts";
import { makeTd } from "../fakes/tdx/guest.ts";
import { appraiseIntel } from "../pki/intel_appraise.ts";
import { testPki } from "../pki/intel_platform.ts";
import { type FakeHost, makeFakeHost } from "./fake_hardware.ts";

const why = fuseUnavailable();
const skipped = why === undefined ? "" : ` (skipped: ${why})`;

/** Folders on the way to a node. */
function at(path: string, node: FakeNode): FakeDirectory {
  const [name = "", ...rest] = path.split("/");
  const inner = rest.length === 0 ? node : at(rest.join("/"), node);
  return { type: "directory", entries: new Map([[name, inner]]) };
}

function directory(...parts: readonly FakeDirectory[]): FakeDirectory {
  return { type: "directory", entries: new Map(parts.flatMap(({ entries }) => [...entries])) };
}

/** The hosts' trees below one mount, and the world of each. */
interface FakeTee {
  readonly tree: FakeDirectory;
  world(place: string): World;
}

/** Boots, writes, comes back, and is refused elsewhere. */
async function survivesRestart(
  host: FakeHost,
  worlds: { readonly same: World; readonly device: World; readonly image: World },
): Promise<void> {
  const first = await host.serve(worlds.same, "--no-recovery");
  assertEquals(await first.get("kept"), undefined);
  assert(first.attested["store_id"] !== undefined && first.attested["identity_key"] !== undefined);
  await first.put("kept", "over a restart");
  await first.stop();

  const second = await host.serve(worlds.same);
  assertEquals(await second.get("kept"), "over a restart");
  assertEquals(second.attested["store_id"], first.attested["store_id"]);
  assertEquals(second.attested["identity_key"], first.attested["identity_key"]);
  await second.stop();

  const elsewhere = await host.run(worlds.device, "serve", "--tls-listen", "127.0.0.1:0");
  assertEquals(elsewhere.code, 3, elsewhere.stderr);
  assertStringIncludes(elsewhere.stderr, "the keyring was sealed elsewhere: sealed with key");
  assertStringIncludes(elsewhere.stderr, "recover with a recovery key");
  const upgraded = await host.run(worlds.image, "serve", "--tls-listen", "127.0.0.1:0");
  assertEquals(upgraded.code, 3, upgraded.stderr);
  assertStringIncludes(upgraded.stderr, "running measurement is");
}

async function vendorsRootRefuses(host: FakeHost, world: World): Promise<void> {
  const { code, stderr } = await host.run(
    { ...world, roots: {} },
    ...["serve", "--tls-listen", "127.0.0.1:0", "--no-recovery"],
    ...["--data-dir", `${host.folder}/never`],
  );
  assertEquals(code, 3, stderr);
  assertStringIncludes(stderr, "does not prove real hardware");
}

async function bootsOn(
  tees: Readonly<Record<"same" | "device" | "image", FakeTee>>,
): Promise<void> {
  const entries = Object.entries(tees).map(([name, { tree }]) => [name, tree] as const);
  await using mount = await mountFuse({ type: "directory", entries: new Map(entries) });
  await using host = await makeFakeHost();
  const world = (name: keyof typeof tees): World => tees[name].world(`${mount.path}/${name}`);
  await survivesRestart(host, {
    same: world("same"),
    device: world("device"),
    image: world("image"),
  });
  await vendorsRootRefuses(host, world("same"));
}

Deno.test({
  name: "serve boots on a fake SEV-SNP guest under a test root, and on no other chip" + skipped,
  ignore: why !== undefined,
  fn: async () => {
    const pki = await makeAmdTestPki(Date.now());
    const guest = async (chip: number, image: number): Promise<FakeTee> => {
      const device = makeSevGuest(
        await makeFirmware({
          pki,
          chipId: new Uint8Array(64).fill(chip),
          guest: { ...PLAIN_GUEST, measurement: new Uint8Array(48).fill(image) },
        }),
      );
      return {
        tree: at("dev/sev-guest", device.file),
        world: (place) => ({
          root: place,
          configs: { SEV: { device: `${place}/dev/sev-guest`, reports: "ioctl" } },
          roots: { amd: { ark: pki.ark.toBase64(), ask: pki.ask.toBase64() } },
        }),
      };
    };
    await bootsOn({
      same: await guest(1, 1),
      device: await guest(2, 1),
      image: await guest(1, 2),
    });
  },
});

Deno.test({
  name: "serve boots inside a fake Gramine under a test root, and on no other processor" + skipped,
  ignore: why !== undefined,
  fn: async () => {
    const { root } = await testPki();
    const enclave = (processor: number, program: number): FakeTee => {
      const gramine = makeGramine({
        mrEnclave: new Uint8Array(32).fill(program),
        mrSigner: new Uint8Array(32).fill(0x51),
        fmspc: `00a0b1c2d3e${processor}`,
      });
      return {
        tree: at("dev/attestation", gramine.directory),
        world: (place) => ({
          root: place,
          configs: { SGX: { attestation: `${place}/dev/attestation` } },
          roots: { intel: root.toBase64() },
        }),
      };
    };
    await bootsOn({ same: enclave(1, 1), device: enclave(2, 1), image: enclave(1, 2) });
  },
});

/** What an operator does with `key rewrap`, under the test's root. */
async function answer(
  host: FakeHost,
  root: Bytes,
  keys: Awaited<ReturnType<typeof createHpkeKeyPair>>,
): Promise<void> {
  const path = `${host.data}/unlock.request.json`;
  const request = decodeRecoveryRequest(JSON.parse(await Deno.readTextFile(path)));
  const result = await appraiseIntel({
    tee: "TDX",
    quote: Uint8Array.fromBase64(request.evidence.data),
    endorsements: [],
    now: Date.now(),
    root,
    policy: { mrtds: ["01".repeat(48)], collateral: "if_given", crl: "if_given" },
    expectedReportData: recoveryReportData(request),
  });
  assertEquals(result.tier, "affirming", JSON.stringify(result.checks, undefined, 1));
  const response = JSON.stringify(await rewrapForRecovery(request, keys));
  await Deno.writeTextFile(`${host.data}/unlock.answer.tmp`, response);
  await Deno.rename(`${host.data}/unlock.answer.tmp`, `${host.data}/unlock.answer.json`);
}

Deno.test({
  name: "serve boots on a fake TDX guest, and comes back with the recovery key alone" + skipped,
  ignore: why !== undefined,
  fn: async () => {
    const { root } = await testPki();
    const td = makeTd({ mrTd: new Uint8Array(48).fill(1), fmspc: "00a0b1c2d3e1" });
    await using mount = await mountFuse(directory(
      at("dev/tdx_guest", td.device),
      at("sys/kernel/config/tsm/report", td.tsm.directory),
    ));
    const world: World = {
      root: mount.path,
      configs: {
        TDX: {
          device: `${mount.path}/dev/tdx_guest`,
          tsm: `${mount.path}/sys/kernel/config/tsm/report`,
          eventLog: `${mount.path}/none`,
        },
      },
      roots: { intel: root.toBase64() },
    };
    await using host = await makeFakeHost();
    const keys = await createHpkeKeyPair();
    await Deno.writeTextFile(`${host.folder}/recovery.pub`, recoveryPem(keys).publicPem);

    const bare = await host.run(world, "serve", ...host.settings, "--no-recovery");
    assertEquals(bare.code, 2, bare.stderr);
    assertStringIncludes(bare.stderr, "every start needs the operator's recovery key");
    const first = await host.serve(world, "--recovery-key", `${host.folder}/recovery.pub`);
    await first.put("kept", "with the recovery key");
    await first.stop();

    const asks = (line: string): boolean => line.includes("waiting for the store's key");
    const stopped = await host.begin(world, asks);
    stopped.kill("SIGTERM");
    assertEquals((await stopped.status).code, 0, stopped.output());
    await stopped[Symbol.asyncDispose]();

    const listening = Promise.withResolvers<void>();
    const refused = Promise.withResolvers<void>();
    const running = await host.begin(world, (line) => {
      if (/^ +Listening +http/.test(line)) listening.resolve();
      if (line.includes("an answer was refused")) refused.resolve();
      return asks(line);
    });
    const ended = running.status.then(() => Promise.reject(new Error(running.output())));
    await Deno.writeTextFile(`${host.data}/unlock.answer.json`, '{"v":1}');
    await Promise.race([refused.promise, ended]);
    await answer(host, root, keys);
    await Promise.race([listening.promise, ended]);
    ended.catch(() => {}); // it ends below, when it is told to
    const second = await host.master(running);
    assertEquals(await second.get("kept"), "with the recovery key");
    assertEquals(second.attested["store_id"], first.attested["store_id"]);
    assertNotEquals(second.attested["identity_key"], first.attested["identity_key"]);
    for await (const { name } of Deno.readDir(host.data)) {
      assert(!name.startsWith("unlock."), `${name} was left behind`);
    }
    await second.stop();

    const offline = await host.run(world, "key", "status");
    assertEquals(offline.code, 3, offline.stderr);
    assertStringIncludes(offline.stderr, "TDX has no sealing key");
    await vendorsRootRefuses(host, world);
  },
});

const noCompiler = await compilerUnavailable(["stdint.h", "sys/random.h"]);

Deno.test({
  name: "serve boots on the sample plugin, and with no other plugin or text for it" +
    (noCompiler === undefined ? "" : ` (skipped: ${noCompiler})`),
  ignore: noCompiler !== undefined,
  fn: async () => {
    const { path, sha256 } = await buildSamplePlugin();
    await using host = await makeFakeHost();
    const world: World = { root: host.folder, configs: {}, roots: { sample: true } };
    const plugin = ["--tee-plugin", `TrustZone:${sha256}:${path}`];
    const sample = (device: number, program: number, misbehave = "none"): string[] => [
      ...plugin,
      ...["--tee-plugin-config", `device=${device} program=${program} misbehave=${misbehave}`],
    ];
    const refused = async (exit: number, text: string, ...args: string[]): Promise<void> => {
      const { code, stderr } = await host.run(
        world,
        "serve",
        "--tls-listen",
        "127.0.0.1:0",
        ...args,
      );
      assertEquals(code, exit, stderr);
      assertStringIncludes(stderr, text);
    };

    const { code, stdout } = await host.run(world, "detect", ...plugin);
    assertEquals(code, 0, stdout);
    assertStringIncludes(stdout, "plugin: a sample device");
    assertStringIncludes(stdout, "TEE_MODE=auto takes TrustZone");

    const first = await host.serve(world, "--no-recovery", ...sample(1, 1));
    await first.put("kept", "by the plugin");
    await first.stop();
    const second = await host.serve(world, ...sample(1, 1));
    assertEquals(await second.get("kept"), "by the plugin");
    assertEquals(second.attested["config_digest"], first.attested["config_digest"]);
    await second.stop();

    await refused(3, "another device sealed this", ...sample(2, 1));
    await refused(3, "running measurement is", ...sample(1, 2));
    await refused(2, "--tee-plugin-config", ...sample(1, 1, "elsewhere"));
    await refused(3, "pinned is", "--tee-plugin", `TrustZone:${"00".repeat(32)}:${path}`);
    const { code: genuine, stderr } = await host.run(
      { ...world, roots: {} },
      ...["serve", "--tls-listen", "127.0.0.1:0", ...sample(1, 1)],
    );
    assertEquals(genuine, 3, stderr);
  },
});

const noSubstitute = await sgxSubstituteUnavailable();

Deno.test({
  name: "serve boots with an SGX key helper under a test root, and on no other processor" +
    (noSubstitute === undefined ? "" : ` (skipped: ${noSubstitute})`),
  ignore: noSubstitute !== undefined,
  fn: async () => {
    const { root } = await testPki();
    await using host = await makeFakeHost();
    const lib = "usr/lib/x86_64-linux-gnu";
    const files = [
      ...["dev/sgx_enclave", `${lib}/libsgx_urts.so.2`, `${lib}/libsgx_dcap_ql.so.1`],
      ...["usr/lib/nautilus/libnautilus_sgx.so", "usr/lib/nautilus/nautilus_enclave.signed.so"],
    ];
    for (const file of files) {
      const path = `${host.folder}/root/${file}`;
      await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      await Deno.writeTextFile(path, "");
    }
    const world = async (processor: number, program: number): Promise<World> => {
      const folder = `${host.folder}/${processor}`;
      await Deno.mkdir(folder, { recursive: true });
      const machine = await makeSgxMachine(folder, processor);
      const enclave = await machine.enclave({ program });
      return {
        root: `${host.folder}/root`,
        configs: { SGX: { attestation: `${folder}/none`, enclave, ...machine.paths } },
        roots: { intel: root.toBase64() },
      };
    };
    const same = await world(1, 1);
    const first = await host.serve(same, "--no-recovery");
    await first.put("kept", "by the helper");
    await first.stop();
    const again = await host.serve(same);
    assertEquals(await again.get("kept"), "by the helper");
    await again.stop();
    for (
      const [other, says] of [
        [await world(2, 1), "sealed with key"],
        [await world(1, 2), "running measurement is"],
      ] as const
    ) {
      const { code, stderr } = await host.run(other, "serve", "--tls-listen", "127.0.0.1:0");
      assertEquals(code, 3, stderr);
      assertStringIncludes(stderr, says);
    }
    await vendorsRootRefuses(host, same);
  },
});
