import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { compilerUnavailable } from "../../tests/fakes/c_program.ts";
import { buildSamplePlugin, type BuiltPlugin } from "../../tests/fakes/plugin/build.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { BackendError, type BackendErrorCode } from "../errors.ts";
import type { BackendFactory, Bytes } from "../mod.ts";
import { createPluginFactory, type PluginOptions } from "./backend.ts";

const why = await compilerUnavailable(["stdint.h", "sys/random.h"]);
const aad = new Uint8Array(3);
const secret: Bytes = new Uint8Array(40).fill(5);

function factoryOf(built: BuiltPlugin, change: Partial<PluginOptions> = {}): BackendFactory {
  const { path, sha256 } = built;
  return createPluginFactory({ path, sha256, kind: "TrustZone", ...change }, {
    spawnWorker,
    clock: Date.now,
  });
}

function test(name: string, fn: (built: BuiltPlugin) => Promise<void>): void {
  Deno.test({
    name: `plugin: ${name}${why === undefined ? "" : ` (skipped: ${why})`}`,
    ignore: why !== undefined,
    fn: async () => {
      const built = await buildSamplePlugin();
      await fn(built);
    },
  });
}

async function refusal(job: () => Promise<unknown>, code: BackendErrorCode): Promise<BackendError> {
  const error = await assertRejects(job, BackendError);
  assertEquals(error.code, code, `${error.code}: ${error.message}`);
  return error;
}

const config = (misbehave: string): unknown => ({
  config: `device=1 program=1 misbehave=${misbehave}`,
});

test("probe() loads it, asks it, and says why", async (built) => {
  const result = await factoryOf(built).probe();
  assertEquals([result.available, result.reason], [true, "plugin: a sample device"]);
  const wrong = await factoryOf(built, { sha256: "00".repeat(32) }).probe();
  assertEquals(wrong.available, false);
  assert(wrong.reason.includes(built.sha256), wrong.reason);
});

test("open() loads nothing but the pinned bytes", async (built) => {
  const error = await refusal(
    () => factoryOf(built, { sha256: "00".repeat(32) }).open(config("none")),
    "unavailable",
  );
  assert(error.hint?.includes("SHA-256"));
  await refusal(
    () => factoryOf(built, { path: "/nowhere.so" }).open(config("none")),
    "unavailable",
  );
  const path = await Deno.makeTempFile({ suffix: ".so" });
  try {
    await Deno.writeTextFile(path, "no library");
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
    const options = { path, sha256: new Uint8Array(digest).toHex() };
    await refusal(() => factoryOf(built, options).open(config("none")), "unavailable");
  } finally {
    await Deno.remove(path);
  }
});

test("open() refuses another ABI, another tee_type and a configuration it cannot use", async (built) => {
  const other = await buildSamplePlugin(["OTHER_ABI"]);
  const error = await refusal(() => factoryOf(other).open(config("none")), "unavailable");
  assert(error.message.includes("plugin ABI 2"), error.message);
  await refusal(() => factoryOf(built, { kind: "SEV" }).open(config("none")), "config_invalid");
  await refusal(() => factoryOf(built).open({ config: "nonsense" }), "config_invalid");
  await refusal(() => factoryOf(built).open({ more: 1 }), "config_invalid");
  await refusal(() => factoryOf(built).open(config("absent")), "unavailable");
  await refusal(() => factoryOf(built).open(config("short_measurement")), "malformed");
});

Deno.test("createPluginFactory() refuses a relative path and anything but a SHA-256", () => {
  const deps = { spawnWorker, clock: Date.now };
  for (const change of [{ path: "sample.so" }, { sha256: "" }, { sha256: "AB".repeat(32) }]) {
    const options = { path: "/x.so", sha256: "00".repeat(32), kind: "SEV", ...change } as const;
    const error = assertThrows(() => createPluginFactory(options, deps), BackendError);
    assertEquals(error.code, "config_invalid");
  }
});

test("keeps the TEE's own status, and no control characters of its text", async (built) => {
  await using busy = await factoryOf(built).open(config("throttled"));
  const throttled = await refusal(
    async () => await busy.sealer?.seal(secret, "signer", aad),
    "throttled",
  );
  assert(!throttled.message.includes("\x1b"), throttled.message);
  await using failing = await factoryOf(built).open(config("native"));
  const native = await refusal(
    async () => await failing.sealer?.seal(secret, "signer", aad),
    "firmware",
  );
  assertEquals(native.nativeStatus, { name: "native_status", value: 0xffff3071n });
});

test("calls nothing more after the plugin broke its contract", async (built) => {
  for (const misbehave of ["overflow", "too_long", "odd_status"]) {
    await using backend = await factoryOf(built).open(config(misbehave));
    const error = await refusal(
      async () => await backend.sealer?.seal(secret, "signer", aad),
      "io",
    );
    const again = await refusal(
      async () => await backend.attester?.attest(new Uint8Array(64)),
      "io",
    );
    assertEquals(again.message, error.message);
  }
});

test("two of the same library do not share their state", async (built) => {
  const factory = factoryOf(built);
  await using one = await factory.open({ config: "device=1 program=1 misbehave=none" });
  await using two = await factory.open({ config: "device=2 program=2 misbehave=none" });
  assertEquals(await one.measurement(), new Uint8Array(48).fill(1));
  const blob = await one.sealer?.seal(secret, "signer", aad);
  assert(blob);
  await refusal(async () => await two.sealer?.unseal(blob, aad), "foreign_device");
  assertEquals(await one.sealer?.unseal(blob, aad), secret);
});
