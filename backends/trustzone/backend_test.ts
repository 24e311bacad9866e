import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { compileAndRun } from "../../tests/fakes/c_program.ts";
import {
  buildTeec,
  type FakeTeeDevice,
  makeTeeDevice,
  type TaBuild,
  teecUnavailable,
} from "../../tests/fakes/trustzone/device.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { loadLibteec } from "../ffi/libteec.ts";
import { BackendError, type BackendErrorCode, type Bytes, type TeeBackend } from "../mod.ts";
import { createProbeHost } from "../probe.ts";
import { createTrustZoneFactory } from "./backend.ts";
import { parseTaEvidence, TA_UUID } from "./ta_abi.ts";
import { TEEC_MEANINGS, teecError } from "./teec_errors.ts";

const why = await teecUnavailable();
const aad = new Uint8Array(3);
const secret: Bytes = new Uint8Array(40).fill(5);
const factory = createTrustZoneFactory({
  host: createProbeHost(),
  spawnWorker,
  clock: Date.now,
});

function test(name: string, fn: (device: FakeTeeDevice) => Promise<void>): void {
  Deno.test({
    name: `TrustZone: ${name}${why === undefined ? "" : ` (skipped: ${why})`}`,
    ignore: why !== undefined,
    fn: async () => {
      await using device = await makeTeeDevice();
      await fn(device);
    },
  });
}

async function open(device: FakeTeeDevice, build: TaBuild = {}): Promise<TeeBackend> {
  return await factory.open({ library: await buildTeec(build), tee: device.path });
}

async function refusal(job: () => Promise<unknown>, code: BackendErrorCode): Promise<BackendError> {
  const error = await assertRejects(job, BackendError);
  assertEquals(error.code, code, `${error.code}: ${error.message}`);
  assertEquals(error.kind, "TrustZone");
  return error;
}

function sealerOf(backend: TeeBackend): NonNullable<TeeBackend["sealer"]> {
  assert(backend.sealer !== undefined);
  return backend.sealer;
}

const keyOf = async (backend: TeeBackend): Promise<string> => {
  const evidence = await backend.attester?.attest(crypto.getRandomValues(new Uint8Array(64)));
  return parseTaEvidence(evidence?.data ?? new Uint8Array(0)).attestationKey.toHex();
};

Deno.test("open() refuses an unknown field and a relative library", async () => {
  for (const config of [{ library: "libteec.so" }, { more: 1 }, { tee: "" }, 1]) {
    await refusal(() => factory.open(config), "config_invalid");
  }
  const error = await refusal(
    () => factory.open({ library: "/nowhere/libteec.so" }),
    "unavailable",
  );
  assert(error.hint?.includes("libteec2"));
});

test("open() refuses a device that is not there", async () => {
  const library = await buildTeec();
  const error = await refusal(() => factory.open({ library, tee: "/nowhere" }), "unavailable");
  assertEquals(error.nativeStatus?.value, 0xffff0008);
  assert(error.hint?.includes("/dev/tee0"));
});

test("every status of every call is a typed error that keeps it, with a hint", async (device) => {
  await using backend = await open(device);
  const seal = () => sealerOf(backend).seal(secret, "measurement", aad);
  for (const [result, { code }] of TEEC_MEANINGS) {
    for (const origin of [1, 2, 3, 4]) {
      await device.setFault({ call: "invoke", result, origin });
      const error = await assertRejects(seal, BackendError);
      assertEquals(error.nativeStatus?.value, result);
      assert(error.hint !== undefined && error.hint !== "");
      const fromTa = origin === 4 || code !== "tampered" && code !== "malformed" &&
          code !== "measurement_mismatch" && code !== "policy_unsupported";
      assertEquals(error.code, fromTa ? code : "firmware", error.message);
    }
  }
  await device.setFault({ call: "invoke", result: 0x1234, origin: 9 });
  const unknown = await refusal(seal, "firmware");
  assertEquals(unknown.message, "the TA, seal: 0x00001234 (0x00001234) from origin 9");
  await device.setFault(undefined);
  assertEquals(await sealerOf(backend).unseal(await seal(), aad), secret);
});

test("every status of opening is a typed error that keeps it, with a hint", async (device) => {
  const library = await buildTeec();
  for (const call of ["init", "open"] as const) {
    for (const [result] of TEEC_MEANINGS) {
      await device.setFault({ call, result });
      using client = loadLibteec([library]);
      const answer = client.open(device.path, TA_UUID);
      assertEquals([answer.result, answer.origin], [result, call === "init" ? 0 : 3]);
      const error = teecError(call === "init" ? "connect" : "open", "opening", answer);
      assertEquals(error.nativeStatus?.value, result, call);
      assert(["unavailable", "io", "throttled", "state_invalid"].includes(error.code), error.code);
      assert(error.hint !== undefined && error.hint !== "");
    }
    await device.setFault({ call, result: 0xffff0008 });
    const through = await refusal(() => factory.open({ library, tee: device.path }), "unavailable");
    assertEquals(
      through.message.split(":")[0],
      call === "init" ? "connecting" : "opening a session",
    );
  }
});

Deno.test("teecError() believes only the TA about sealed data", () => {
  const mac = 0xffff3071;
  assertEquals(teecError("command", "unseal", { result: mac, origin: 4 }).code, "tampered");
  assertEquals(teecError("command", "unseal", { result: mac, origin: 2 }).code, "firmware");
});

test("open() takes no TA that does not say what it is", async (device) => {
  const library = await buildTeec();
  const info = await (async () => {
    await using backend = await open(device);
    return await backend.measurement();
  })();
  assertEquals(info.length, 48);
  for (const length of [0, 1, 151, 152, 153, 4096]) {
    await device.setReply(new Uint8Array(length).fill(0x4e));
    const error = await assertRejects(
      () => factory.open({ library, tee: device.path }),
      BackendError,
    );
    assert(error.code === "malformed" || error.code === "io", `${length}: ${error.code}`);
  }
});

test("replies of another length or content are refused", async (device) => {
  await using backend = await open(device);
  const blob = await sealerOf(backend).seal(secret, "measurement", aad);
  await device.setReply(new Uint8Array(7));
  await refusal(() => sealerOf(backend).seal(secret, "measurement", aad), "malformed");
  await refusal(() => sealerOf(backend).unseal(blob, aad), "malformed");
  await refusal(async () => await backend.attester?.attest(new Uint8Array(64)), "malformed");
  const evidence = await (async () => {
    await device.setReply(undefined);
    return await backend.attester?.attest(new Uint8Array(64).fill(1));
  })();
  await device.setReply(evidence?.data);
  const error = await refusal(
    async () => await backend.attester?.attest(new Uint8Array(64).fill(2)),
    "malformed",
  );
  assert(error.message.includes("other report data"), error.message);
  const replaced = evidence?.data.slice() ?? new Uint8Array(0);
  replaced[40] = (replaced[40] ?? 0) ^ 1;
  await device.setReply(replaced);
  await refusal(
    async () =>
      await backend.attester?.attest(new Uint8Array(64).fill(1)).then(async () => {
        // The first is cached under its report data; the second asks the TA.
        const other = replaced.slice();
        other.fill(3, 80, 144);
        await device.setReply(other);
        return await backend.attester?.attest(new Uint8Array(64).fill(3));
      }),
    "device_lost",
  );
});

test("nothing is called after the library broke its contract", async (device) => {
  const backend = await open(device);
  await device.setFault({ call: "invoke", beyond: 4 });
  const seal = () => sealerOf(backend).seal(secret, "measurement", aad);
  const error = await refusal(seal, "io");
  await device.setFault(undefined);
  assertEquals((await refusal(seal, "io")).message, error.message);
  await backend[Symbol.asyncDispose]();
});

test("a TA that died is started again; one that stays dead is lost", async (device) => {
  await using backend = await open(device);
  await device.setFault({ call: "invoke", result: 0xffff3024, once: true });
  const blob = await sealerOf(backend).seal(secret, "measurement", aad);
  await device.setFault({ call: "invoke", result: 0xffff3024 });
  await refusal(() => sealerOf(backend).unseal(blob, aad), "device_lost");
  await device.setFault(undefined);
  assertEquals(await sealerOf(backend).unseal(blob, aad), secret);
});

test("closing rejects what is on its way and leaves nothing behind", async (device) => {
  const backend = await open(device);
  await device.setFault({ call: "invoke", holdMs: 30_000 });
  const pending = assertRejects(
    () => sealerOf(backend).seal(secret, "measurement", aad),
    BackendError,
  );
  const closing = backend[Symbol.asyncDispose]();
  await device.release();
  await closing;
  assertEquals((await pending).code, "closed");
});

test("a newer TA cannot open what an older sealed, and the older cannot run after it", async (device) => {
  let blob: Bytes;
  {
    await using one = await open(device);
    blob = await sealerOf(one).seal(secret, "measurement", aad);
  }
  {
    await using two = await open(device, { codeVersion: 2 });
    const error = await refusal(() => sealerOf(two).unseal(blob, aad), "measurement_mismatch");
    assert(error.hint?.includes("recovery key"));
  }
  const error = await refusal(() => open(device), "state_invalid");
  assertEquals(error.nativeStatus?.value, 0x80000002);
  await using again = await open(device, { codeVersion: 2 });
  assertEquals((await again.measurement()).length, 48);
});

test("the attestation key outlives the session and is this device's", async (device) => {
  await using other = await makeTeeDevice();
  const keys: string[] = [];
  for (const one of [device, device, other]) {
    await using backend = await open(one);
    keys.push(await keyOf(backend));
  }
  assertEquals(keys[0], keys[1]);
  assertNotEquals(keys[0], keys[2]);
});

test("secure storage that was damaged is no first start", async (device) => {
  await (await open(device))[Symbol.asyncDispose]();
  for (const id of ["attestation key", "code version"] as const) {
    const before = await Deno.readFile(device.storagePath(id));
    await Deno.writeFile(device.storagePath(id), Uint8Array.of(0x58, 1, 2));
    const error = await refusal(() => open(device), "state_invalid");
    assert(error.hint?.includes("/var/lib/tee"), id);
    await Deno.writeFile(device.storagePath(id), before);
  }
  await (await open(device))[Symbol.asyncDispose]();
});

test("a slow TA stops nothing else", async (device) => {
  await using backend = await open(device);
  await device.setFault({ call: "invoke", holdMs: 30_000 });
  const attest = backend.attester?.attest(new Uint8Array(64));
  // Only an event loop that turns gets here while the TA is held.
  await new Promise((resolve) => setTimeout(resolve, 0));
  await device.release();
  assertEquals((await attest)?.data.length, 272);
});

test("the measurement that the build prints is the one that the TA reports", async (device) => {
  // What the Makefile computes, by hand: the substitute's sources are 0x11 all over.
  const text = new TextEncoder().encode("nautilus-tee/trustzone/measurement/v1\n");
  const about = Uint8Array.fromHex(`cb8899bcda92408089e457a9dfcead5800000001${"11".repeat(48)}`);
  const input = new Uint8Array(text.length + about.length);
  input.set(text);
  input.set(about, text.length);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-384", input));
  await using backend = await open(device);
  assertEquals((await backend.measurement()).toHex(), digest.toHex());
});

Deno.test({
  name: "the code version in the TA's header and in its Makefile is one" +
    (why === undefined ? "" : ` (skipped: ${why})`),
  ignore: why !== undefined,
  fn: async () => {
    const folder = new URL("../native/trustzone/", import.meta.url);
    const makefile = await Deno.readTextFile(new URL("Makefile", folder));
    const version = await compileAndRun(
      `#include <stdio.h>\n#include "${new URL("nautilus_ta.h", folder).pathname}"\n` +
        `int main(void) { printf("%d", NAUTILUS_TA_CODE_VERSION); return 0; }`,
    );
    assertEquals(/^VERSION := (\d+)$/m.exec(makefile)?.[1], version);
  },
});
