/**
 * The key helper without SGX: a library that stands in for Intel's and runs our enclave's own C, and
 * "machines", folders with the platform's quoting keys under the Intel test hierarchy.
 */
import type { Endorsement } from "../../../backends/mod.ts";
import type { SgxPaths } from "../../../backends/ffi/sgx_library.ts";
import { makePlatform } from "../../pki/intel_platform.ts";
import { cachedBuild, compilerUnavailable } from "../c_program.ts";

const SDK = [
  "sgx_sdk.h",
  "sgx_tcrypto.h",
  "sgx_trts.h",
  "sgx_utils.h",
  "nautilus_t.h",
  "nautilus_u.h",
];
const NATIVE = ["enclave.c", "shim.c", "nautilus_sgx.h"];

/** The path of the substitute for libsgx_urts, libsgx_dcap_ql and libnautilus_sgx, all in one. */
export function buildSgxSubstitute(): Promise<string> {
  const native = new URL("../../../backends/native/sgx/", import.meta.url);
  return cachedBuild("sgx-substitute.so", [
    new URL("./sdk/substitute.c", import.meta.url),
    ...SDK.map((name) => new URL(`./sdk/${name}`, import.meta.url)),
    ...NATIVE.map((name) => new URL(name, native)),
  ], ["-shared", "-fPIC", "-fvisibility=hidden", "-I.", "-Wl,--no-as-needed", "-l:libcrypto.so.3"]);
}

/** Why it cannot be built here; undefined: it can. */
export async function sgxSubstituteUnavailable(): Promise<string | undefined> {
  const why = await compilerUnavailable(["stdint.h", "sys/random.h"]);
  if (why !== undefined) return why;
  try {
    await buildSgxSubstitute();
    return undefined;
  } catch (error) {
    return /libcrypto/.test(String(error)) ? "no libcrypto.so.3" : Promise.reject(error);
  }
}

export interface EnclaveText {
  readonly program: number;
  readonly signer?: number;
  readonly isvSvn?: number;
  readonly cpuSvn?: number;
}

/** One processor with its quoting keys. */
export interface SgxMachine {
  /** What stands for the three libraries. */
  readonly paths: SgxPaths;
  readonly collateral: readonly Endorsement[];
  /** Writes an enclave file and gives its path. */
  enclave(text: EnclaveText): Promise<string>;
  /** The next `count` calls of that name answer with `status`. */
  fail(call: string, status: number, count?: number): Promise<void>;
  /** Names of the calls so far, and forgets them. */
  calls(): Promise<readonly string[]>;
}

/** @param folder an empty one, the caller's to remove */
export async function makeSgxMachine(folder: string, processor: number): Promise<SgxMachine> {
  const library = await buildSgxSubstitute();
  const { quoting, endorsements } = await makePlatform({
    tee: "SGX",
    quoteVersion: 3,
    bodyType: 1,
    fmspc: `00a0b1c2d3e${processor}`,
  });
  await Deno.writeFile(`${folder}/quote.header`, quoting.header);
  await Deno.writeFile(`${folder}/quote.certified`, quoting.certified);
  await Deno.writeFile(`${folder}/attestation.key`, quoting.attestationKey);
  await Deno.writeFile(`${folder}/attestation.xy`, quoting.attestationXy);
  return {
    paths: { urts: library, shim: library, dcap: library },
    collateral: endorsements,
    async enclave({ program, signer = 0x51, isvSvn = 1, cpuSvn = 5 }) {
      const path = `${folder}/enclave-${program}-${signer}-${isvSvn}-${cpuSvn}`;
      await Deno.writeTextFile(
        path,
        `processor=${processor} program=${program} signer=${signer} isvsvn=${isvSvn} ` +
          `cpusvn=${cpuSvn} platform=${folder}\n`,
      );
      return path;
    },
    async fail(call, status, count = 1) {
      await Deno.writeTextFile(`${folder}/fault`, `${call} ${status.toString(16)} ${count}\n`);
    },
    async calls() {
      const path = `${folder}/calls.log`;
      try {
        const text = await Deno.readTextFile(path);
        await Deno.remove(path);
        return text.trimEnd().split("\n");
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return [];
        throw error;
      }
    },
  };
}
