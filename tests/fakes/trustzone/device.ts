/**
 * A TrustZone host for tests: our TA's own sources on a trusted OS of OpenSSL and files (core.c),
 * behind libteec's functions (libteec.c). A folder is the device.
 */
import { cachedBuild, compilerUnavailable } from "../c_program.ts";

const TA = new URL("../../../backends/native/trustzone/", import.meta.url);
const TA_FILES = [
  "nautilus_ta.h",
  "ta_internal.h",
  "entry.c",
  "measurement.c",
  "keys.c",
  "seal.c",
  "attest.c",
];

/** Why it cannot be compiled here; undefined: it can. */
export function teecUnavailable(): Promise<string | undefined> {
  return compilerUnavailable(["openssl/core_names.h"]);
}

export interface TaBuild {
  /** Of the "sources", repeated 48 times: another one is another program. */
  readonly digestByte?: number;
  readonly codeVersion?: number;
}

/** Sources of the substitute; the first is compiled. */
const SOURCES = [
  new URL("./libteec.c", import.meta.url),
  new URL("./core.c", import.meta.url),
  new URL("./tee_internal_api.h", import.meta.url),
  ...TA_FILES.map((name) => new URL(name, TA)),
];

function flags({ digestByte = 0x11, codeVersion = 1 }: TaBuild): string[] {
  return [
    "-I.",
    `-DNAUTILUS_CODE_DIGEST=${Array(48).fill(digestByte).join(",")}`,
    `-DNAUTILUS_TA_CODE_VERSION=${codeVersion}`,
    "-Wl,--no-as-needed",
    "-lcrypto",
    "-lpthread",
  ];
}

/** Path of a libteec with this TA behind it. */
export function buildTeec(build: TaBuild = {}): Promise<string> {
  return cachedBuild("libteec.so", SOURCES, ["-shared", "-fPIC", ...flags(build)]);
}

/** Path of a program that calls the TA with hostile parameters, under the sanitizers of the compiler. */
export function buildTaFuzzer(): Promise<string> {
  const sanitizers = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  return cachedBuild("ta-fuzz", [new URL("./fuzz.c", import.meta.url), ...SOURCES], [
    ...flags({}),
    ...sanitizers,
  ]);
}

/** What a call answers instead of what it would. */
export interface TeecFault {
  readonly call: "init" | "open" | "invoke";
  /** TEEC_Result; 0 with one of the others. */
  readonly result?: number;
  readonly origin?: number;
  /** Claimed as the output's size. */
  readonly size?: number;
  /** Bytes written behind the output's buffer. */
  readonly beyond?: number;
  /** Waits for `release()`, at most so long. */
  readonly holdMs?: number;
  readonly once?: boolean;
}

export interface FakeTeeDevice extends AsyncDisposable {
  /** The context's name. */
  readonly path: string;
  setFault(fault: TeecFault | undefined): Promise<void>;
  /** Lets calls go on that are held. */
  release(): Promise<void>;
  /** Every command answers these bytes. */
  setReply(bytes: Uint8Array | undefined): Promise<void>;
  /** Secure storage: what the TA keeps under `id`, as the normal world's file. */
  storagePath(id: "code version" | "attestation key"): string;
}

/** @param attestationKey PKCS #8 or PKCS #1 DER of an RSA key: this device has the attestation PTA. */
export async function makeTeeDevice(attestationKey?: Uint8Array): Promise<FakeTeeDevice> {
  const path = await Deno.makeTempDir({ prefix: "nautilus-tee-device-" });
  await Deno.writeFile(`${path}/huk`, crypto.getRandomValues(new Uint8Array(32)));
  if (attestationKey !== undefined) await Deno.writeFile(`${path}/pta_key`, attestationKey);
  const put = async (name: string, data: Uint8Array | undefined): Promise<void> => {
    if (data !== undefined) return await Deno.writeFile(`${path}/${name}`, data);
    try {
      await Deno.remove(`${path}/${name}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  return {
    path,
    async setFault(fault) {
      if (fault === undefined) return await put("fault", undefined);
      const { call, result = 0, origin = 3, size = 0, beyond = 0, holdMs = 0 } = fault;
      const words = [call, result.toString(16), origin, size, beyond, holdMs, fault.once ? 1 : 0];
      if (holdMs > 0) await put("hold", new Uint8Array(0));
      await put("fault", new TextEncoder().encode(`${words.join(" ")}\n`));
    },
    release: () => put("hold", undefined),
    setReply: (bytes) => put("reply", bytes),
    storagePath: (id) => `${path}/object ${id}`,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}
