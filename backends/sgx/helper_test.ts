import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  makeSgxMachine,
  type SgxMachine,
  sgxSubstituteUnavailable,
} from "../../tests/fakes/sgx/helper.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { BackendError, type BackendErrorCode } from "../errors.ts";
import type { Bytes, TeeBackend } from "../mod.ts";
import { openSgxHelper } from "./helper.ts";
import { openSgxHelperBackend } from "./helper_backend.ts";
import { HELPER_RESULT, QUOTE3_ERROR, SGX_STATUS, sgxFailure } from "./status.ts";

const why = await sgxSubstituteUnavailable();
const aad = new TextEncoder().encode("aad");
const secret = new TextEncoder().encode("thirty-two bytes and a little more");
const ENCLAVE_LOST = 0x0004, ENCLAVE_CRASHED = 0x1006, QL_ENCLAVE_LOST = 0xe014;

function test(name: string, fn: (machine: SgxMachine, folder: string) => Promise<void>): void {
  Deno.test({
    name: `SGX helper: ${name}${why === undefined ? "" : ` (skipped: ${why})`}`,
    ignore: why !== undefined,
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "nautilus-sgx-" });
      try {
        await fn(await makeSgxMachine(folder, 1), folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

async function open(
  machine: SgxMachine,
  text: Parameters<SgxMachine["enclave"]>[0] = { program: 1 },
): Promise<TeeBackend> {
  const enclave = await machine.enclave(text);
  return await openSgxHelperBackend({
    paths: machine.paths,
    enclave,
    spawnWorker,
    clock: Date.now,
  });
}

function sealerOf({ sealer }: TeeBackend): NonNullable<TeeBackend["sealer"]> {
  assert(sealer !== undefined);
  return sealer;
}

function attesterOf({ attester }: TeeBackend): NonNullable<TeeBackend["attester"]> {
  assert(attester !== undefined);
  return attester;
}

async function refusal(job: () => Promise<unknown>, code: BackendErrorCode): Promise<BackendError> {
  const error = await assertRejects(job, BackendError);
  assertEquals(error.code, code, `${error.code}: ${error.message}`);
  return error;
}

const random = (): Bytes => crypto.getRandomValues(new Uint8Array(64));

test("covers the helper alone", async (machine) => {
  await using backend = await open(machine);
  assertEquals([backend.kind, backend.covers, backend.securityLevel], ["SGX", "helper", 3]);
});

test("a lost enclave is made anew once, for all who call meanwhile", async (machine) => {
  await using backend = await open(machine);
  const sealer = sealerOf(backend);
  const before = await sealer.seal(secret, "measurement", aad);
  await machine.calls();
  await machine.fail("seal", ENCLAVE_LOST);
  const blobs = await Promise.all(
    Array.from({ length: 16 }, () => sealer.seal(secret, "measurement", aad)),
  );
  const calls = await machine.calls();
  const count = (name: string): number => calls.filter((call) => call === name).length;
  assertEquals(
    [count("sgx_destroy_enclave"), count("sgx_create_enclave"), count("seal")],
    [1, 1, 17],
  );
  for (const blob of [before, ...blobs]) assertEquals(await sealer.unseal(blob, aad), secret);
});

test("an enclave that is lost again is told, and the next call begins anew", async (machine) => {
  await using backend = await open(machine);
  const sealer = sealerOf(backend);
  await machine.fail("seal", ENCLAVE_LOST, 2);
  const error = await refusal(() => sealer.seal(secret, "signer", aad), "device_lost");
  assertEquals(error.nativeStatus, { name: "sgx_status_t", value: ENCLAVE_LOST });
  const blob = await sealer.seal(secret, "signer", aad);
  assertEquals(await sealer.unseal(blob, aad), secret);
});

test("a crashed enclave is not called again; the next call makes another", async (machine) => {
  await using backend = await open(machine);
  const sealer = sealerOf(backend);
  const blob = await sealer.seal(secret, "signer", aad);
  await machine.calls();
  await machine.fail("unseal", ENCLAVE_CRASHED);
  await refusal(() => sealer.unseal(blob, aad), "device_lost");
  assertEquals(await machine.calls(), ["unseal", "sgx_destroy_enclave"]);
  assertEquals(await sealer.unseal(blob, aad), secret);
});

test("a lost enclave comes back as the same program or not at all", async (machine) => {
  const enclave = await machine.enclave({ program: 1 });
  await using helper = await openSgxHelper({ paths: machine.paths, enclave, spawnWorker });
  const other = await Deno.readTextFile(await machine.enclave({ program: 2 }));
  const own = await Deno.readTextFile(enclave);
  await Deno.writeTextFile(enclave, other);
  await machine.fail("derive_key", ENCLAVE_LOST);
  const label = new Uint8Array(32);
  const error = await refusal(() => helper.deriveKey("signer", label), "io");
  assertStringIncludes(error.message, "is another one now");
  await Deno.writeTextFile(enclave, own);
  assertEquals((await helper.deriveKey("signer", label)).length, 32);
});

test("an enclave that cannot be made anew is told with the SDK's number", async (machine) => {
  await using backend = await open(machine);
  const { enclave } = machine;
  const path = await enclave({ program: 1 });
  await machine.fail("seal", ENCLAVE_LOST);
  await Deno.remove(path);
  const error = await refusal(() => sealerOf(backend).seal(secret, "signer", aad), "unavailable");
  assertStringIncludes(error.message, "SGX_ERROR_ENCLAVE_FILE_ACCESS");
  await enclave({ program: 1 });
  await sealerOf(backend).seal(secret, "signer", aad);
});

test("a lost quoting enclave is asked once more", async (machine) => {
  await using backend = await open(machine);
  await machine.fail("sgx_qe_get_quote", QL_ENCLAVE_LOST);
  await attesterOf(backend).attest(random());
  await machine.fail("sgx_qe_get_quote", QL_ENCLAVE_LOST, 2);
  const error = await refusal(() => attesterOf(backend).attest(random()), "device_lost");
  assertEquals(error.nativeStatus, { name: "quote3_error_t", value: QL_ENCLAVE_LOST });
});

test("every sgx_status_t, of an ecall and of the enclave itself, has code, name and hint", async (machine) => {
  await using backend = await open(machine);
  const sealer = sealerOf(backend);
  for (const [text, [name, code]] of Object.entries(SGX_STATUS)) {
    const status = Number(text);
    for (const call of ["seal", "sgx_get_key"]) {
      await machine.fail(call, status, 2);
      const error = await refusal(() => sealer.seal(secret, "signer", aad), code);
      assertStringIncludes(error.message, name);
      assertEquals(error.nativeStatus, { name: "sgx_status_t", value: status });
      assert(error.hint !== undefined || code === "tampered", `${name} has no hint`);
      await machine.fail("none", 0, 0);
    }
  }
});

test("every sgx_status_t of creating an enclave is told, and nothing is left open", async (machine) => {
  for (const [text, [name, code]] of Object.entries(SGX_STATUS)) {
    // A few that stand for each code: starting a Worker for all of them takes its time.
    if (![0x0001, 0x0004, 0x2001, 0x2005, 0x2006, 0x200f, 0x4001, 0x4004].includes(Number(text))) {
      continue;
    }
    await machine.fail("sgx_create_enclave", Number(text));
    const error = await refusal(() => open(machine), code);
    assertStringIncludes(error.message, name);
  }
});

test("every quote3_error_t has code, name and hint", async (machine) => {
  await using backend = await open(machine);
  for (const call of ["sgx_qe_get_target_info", "sgx_qe_get_quote_size", "sgx_qe_get_quote"]) {
    for (const [text, [name, code]] of Object.entries(QUOTE3_ERROR)) {
      const status = Number(text);
      await machine.fail(call, status, 2);
      const error = await refusal(() => attesterOf(backend).attest(random()), code);
      assertStringIncludes(error.message, name);
      assertEquals(error.nativeStatus, { name: "quote3_error_t", value: status });
      assert(error.hint !== undefined, `${name} has no hint`);
      await machine.fail("none", 0, 0);
    }
  }
  await attesterOf(backend).attest(random());
});

Deno.test("sgxFailure() keeps a number that is in no table", () => {
  const data = new Uint8Array(0);
  for (
    const [origin, status, name] of [["urts", 0x7777, "sgx_status_t"], [
      "dcap",
      0xe0fe,
      "quote3_error_t",
    ]] as const
  ) {
    const error = sgxFailure({ origin, call: "seal", status, data });
    assertEquals([error.code, error.nativeStatus], ["firmware", { name, value: status }]);
  }
  // The enclave's own answers mean nothing where the enclave was not reached.
  for (const [text, [name, code]] of Object.entries(HELPER_RESULT)) {
    const result = { call: "unseal", status: Number(text), data };
    const error = sgxFailure({ ...result, origin: "enclave" });
    assertEquals(error.code, code);
    assertStringIncludes(error.message, name);
    assertEquals(sgxFailure({ ...result, origin: "urts" }).code, "firmware");
  }
});

test("newer microcode and a newer enclave open what older ones sealed, and not the reverse", async (machine) => {
  const blobs: Bytes[] = [];
  {
    await using old = await open(machine, { program: 1, isvSvn: 1, cpuSvn: 5 });
    for (const policy of ["measurement", "signer"] as const) {
      blobs.push(await sealerOf(old).seal(secret, policy, aad));
    }
  }
  {
    await using updated = await open(machine, { program: 1, isvSvn: 1, cpuSvn: 6 });
    for (const blob of blobs) assertEquals(await sealerOf(updated).unseal(blob, aad), secret);
    await using upgraded = await open(machine, { program: 2, isvSvn: 2, cpuSvn: 6 });
    assertEquals(await sealerOf(upgraded).unseal(blobs[1] ?? secret, aad), secret);
    await refusal(() => sealerOf(upgraded).unseal(blobs[0] ?? secret, aad), "measurement_mismatch");
  }
  await using rolledBack = await open(machine, { program: 1, isvSvn: 1, cpuSvn: 4 });
  const error = await refusal(
    () => sealerOf(rolledBack).unseal(blobs[0] ?? secret, aad),
    "foreign_device",
  );
  assertEquals(error.nativeStatus, { name: "sgx_status_t", value: 0x3003 });
  assertStringIncludes(error.hint ?? "", "older than what sealed this");
});

test("another signer is refused, naming both", async (machine) => {
  await using one = await open(machine, { program: 1, signer: 0x51 });
  await using two = await open(machine, { program: 1, signer: 0x52 });
  const blob = await sealerOf(one).seal(secret, "signer", aad);
  const error = await refusal(() => sealerOf(two).unseal(blob, aad), "signer_mismatch");
  assertStringIncludes(error.message, "51".repeat(32));
  assertStringIncludes(error.message, "52".repeat(32));
});

test("what is missing or wrong is told plainly", async (machine, folder) => {
  const { paths } = machine;
  const enclave = await machine.enclave({ program: 1 });
  const attempt = (over: Partial<typeof paths>, file = enclave) =>
    openSgxHelper({ paths: { ...paths, ...over }, enclave: file, spawnWorker });
  const missing = await refusal(() => attempt({ urts: `${folder}/none.so` }), "unavailable");
  assertStringIncludes(missing.message, "cannot load the SGX helper");
  // A library without the functions that are wanted.
  await refusal(() => attempt({ shim: "libc.so.6" }), "unavailable");
  await refusal(() => attempt({}, `${folder}/none`), "unavailable");
  await Deno.writeTextFile(`${folder}/broken`, "no enclave");
  const invalid = await refusal(() => attempt({}, `${folder}/broken`), "unavailable");
  assertStringIncludes(invalid.message, "SGX_ERROR_INVALID_ENCLAVE");
});
