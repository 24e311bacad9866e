/** Intel SGX: the whole program inside Gramine, or a key helper enclave through libsgx_urts. */
import * as v from "valibot";
import { refuseWhereAbsent } from "../absent.ts";
import { decodeBackendConfig } from "../backend_config.ts";
import { BackendError } from "../errors.ts";
import type { SpawnWorker } from "../ffi/worker_channel.ts";
import type { BackendFactory, Bytes, ProbeResult } from "../mod.ts";
import { found, librarySignal, notFound, pathSignal, type ProbeHost } from "../probe.ts";
import { createGramineAttestation } from "./gramine.ts";
import { GramineBackend } from "./gramine_backend.ts";
import { openSgxHelperBackend } from "./helper_backend.ts";
import { checkedSgxQuote } from "./quote.ts";

const GRAMINE_FOLDER = "/dev/attestation";
const ENCLAVE_DEVICES = ["/dev/sgx_enclave", "/dev/sgx/enclave"];
const URTS_LIBRARIES = ["libsgx_urts.so.2", "libsgx_urts.so.1", "libsgx_urts.so"];
const DCAP_LIBRARIES = ["libsgx_dcap_ql.so.1", "libsgx_dcap_ql.so"];
/** What this release builds in native/sgx, and where it is installed. */
const SHIM = "/usr/lib/nautilus/libnautilus_sgx.so";
const ENCLAVE = "/usr/lib/nautilus/nautilus_enclave.signed.so";

/** Gramine's pseudo-files first, for they cover the program; then the enclave device and the SDK's runtime. */
export async function probeSgx(host: ProbeHost): Promise<ProbeResult> {
  const [gramine, attestationType, urts, dcap, shim, enclave, ...devices] = await Promise.all([
    pathSignal(host, GRAMINE_FOLDER),
    host.readText(`${GRAMINE_FOLDER}/attestation_type`),
    librarySignal(host, URTS_LIBRARIES),
    librarySignal(host, DCAP_LIBRARIES),
    pathSignal(host, SHIM),
    pathSignal(host, ENCLAVE),
    ...ENCLAVE_DEVICES.map((path) => pathSignal(host, path)),
  ]);
  const type = attestationType?.trim();
  const typeSignal = {
    name: `${GRAMINE_FOLDER}/attestation_type`,
    present: type !== undefined,
    ...(type === undefined ? {} : { detail: type }),
  };
  const signals = [gramine, typeSignal, ...devices, urts, dcap, shim, enclave];
  if (host.arch !== "x86_64") return notFound(signals, `SGX is of x86-64, not ${host.arch}`);
  if (type === "dcap") return found(signals, "inside Gramine, with DCAP attestation");
  if (gramine.present) {
    return notFound(
      signals,
      `inside Gramine, whose attestation type is ${type ?? "unreadable"}`,
      'set sgx.remote_attestation = "dcap" in the manifest',
    );
  }
  const device = devices.find(({ present }) => present);
  if (device === undefined) {
    return notFound(
      signals,
      `none of ${ENCLAVE_DEVICES.join(", ")}`,
      "enable SGX in the firmware, and use Linux >= 5.11",
    );
  }
  if (!urts.present) {
    return notFound(
      signals,
      `${device.name} is there, but no libsgx_urts`,
      "install Intel's SGX runtime (libsgx-urts), or run under gramine-sgx",
    );
  }
  const missing = [dcap, shim, enclave].find(({ present }) => !present);
  if (missing !== undefined) {
    return notFound(
      signals,
      `${device.name} and ${urts.name} are there, but no ${missing.name}`,
      missing === dcap
        ? "install Intel's quoting library (libsgx-dcap-ql), or run under gramine-sgx"
        : "build and install the key helper (backends/native/sgx), or run under gramine-sgx",
    );
  }
  return found(signals, `${device.name}, ${urts.name} and the key helper enclave are there`);
}

export interface SgxBackendDeps {
  readonly host: ProbeHost;
  readonly spawnWorker: SpawnWorker;
  readonly random: (length: number) => Bytes;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

const Path = v.pipe(v.string(), v.startsWith("/"));

const ConfigSchema = v.strictObject({
  /** Gramine's folder of pseudo-files. */
  attestation: v.optional(Path, GRAMINE_FOLDER),
  /** The signed enclave, and the library of its untrusted half. */
  enclave: v.optional(Path, ENCLAVE),
  shim: v.optional(Path, SHIM),
  /** Intel's; unset: where the distribution has them. */
  urts: v.optional(Path),
  dcap: v.optional(Path),
});

type SgxConfig = v.InferOutput<typeof ConfigSchema>;

/** The helper's libraries: as configured, else found, else for the dynamic linker to look for. */
async function helperPaths(host: ProbeHost, config: SgxConfig) {
  const [urts, dcap] = await Promise.all([
    librarySignal(host, URTS_LIBRARIES),
    librarySignal(host, DCAP_LIBRARIES),
  ]);
  const place = (signal: typeof urts): string =>
    signal.present ? signal.detail ?? signal.name : signal.name;
  return {
    urts: config.urts ?? place(urts),
    dcap: config.dcap ?? place(dcap),
    shim: config.shim,
  };
}

export function createSgxFactory(deps: SgxBackendDeps): BackendFactory {
  const probe = (): Promise<ProbeResult> => probeSgx(deps.host);
  return {
    kind: "SGX",
    securityLevel: 3,
    probe,
    async open(config) {
      const decoded = decodeBackendConfig("SGX", ConfigSchema, config ?? {});
      const { attestation } = decoded;
      const type = (await deps.host.readText(`${attestation}/attestation_type`))?.trim();
      const { random, clock, spawnWorker, host } = deps;
      if (type === undefined) {
        if (decoded.enclave === ENCLAVE) refuseWhereAbsent("SGX", await probe());
        const paths = await helperPaths(host, decoded);
        const { enclave } = decoded;
        return await openSgxHelperBackend({ paths, enclave, spawnWorker, clock });
      }
      if (type !== "dcap") {
        throw new BackendError("unavailable", `Gramine's attestation type is ${type}`, {
          kind: "SGX",
          hint: 'set sgx.remote_attestation = "dcap" in the manifest',
        });
      }
      const gramine = createGramineAttestation(attestation);
      const reportData = random(64);
      const report = checkedSgxQuote(await gramine.quote(reportData), reportData);
      return new GramineBackend({ gramine, report, random, clock });
    },
  };
}
