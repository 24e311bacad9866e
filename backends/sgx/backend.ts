/** Intel SGX: the whole program inside Gramine, or a key helper enclave through libsgx_urts. */
import * as v from "valibot";
import { decodeBackendConfig } from "../backend_config.ts";
import { BackendError } from "../errors.ts";
import type { BackendFactory, Bytes, ProbeResult } from "../mod.ts";
import { notLanded } from "../not_landed.ts";
import { found, librarySignal, notFound, pathSignal, type ProbeHost } from "../probe.ts";
import { createGramineAttestation } from "./gramine.ts";
import { checkedSgxQuote, GramineBackend } from "./gramine_backend.ts";

const GRAMINE_FOLDER = "/dev/attestation";
const ENCLAVE_DEVICES = ["/dev/sgx_enclave", "/dev/sgx/enclave"];
const URTS_LIBRARIES = ["libsgx_urts.so.2", "libsgx_urts.so.1", "libsgx_urts.so"];

/** Gramine's pseudo-files first, for they cover the program; then the enclave device and the SDK's runtime. */
export async function probeSgx(host: ProbeHost): Promise<ProbeResult> {
  const [gramine, attestationType, library, ...devices] = await Promise.all([
    pathSignal(host, GRAMINE_FOLDER),
    host.readText(`${GRAMINE_FOLDER}/attestation_type`),
    librarySignal(host, URTS_LIBRARIES),
    ...ENCLAVE_DEVICES.map((path) => pathSignal(host, path)),
  ]);
  const type = attestationType?.trim();
  const typeSignal = {
    name: `${GRAMINE_FOLDER}/attestation_type`,
    present: type !== undefined,
    ...(type === undefined ? {} : { detail: type }),
  };
  const signals = [gramine, typeSignal, ...devices, library];
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
  if (!library.present) {
    return notFound(
      signals,
      `${device.name} is there, but no libsgx_urts`,
      "install Intel's SGX runtime (libsgx-urts), or run under gramine-sgx",
    );
  }
  return found(signals, `${device.name} and ${library.name} are there`);
}

export interface SgxBackendDeps {
  readonly host: ProbeHost;
  readonly random: (length: number) => Bytes;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

const ConfigSchema = v.strictObject({
  /** Gramine's folder of pseudo-files. */
  attestation: v.optional(v.pipe(v.string(), v.startsWith("/")), GRAMINE_FOLDER),
});

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
      // The other way, a helper enclave through libsgx_urts, is found and not yet used.
      if (type === undefined) throw notLanded("SGX", await probe());
      if (type !== "dcap") {
        throw new BackendError("unavailable", `Gramine's attestation type is ${type}`, {
          kind: "SGX",
          hint: 'set sgx.remote_attestation = "dcap" in the manifest',
        });
      }
      const { random, clock } = deps;
      const gramine = createGramineAttestation(attestation);
      const reportData = random(64);
      const report = checkedSgxQuote(await gramine.quote(reportData), reportData);
      return new GramineBackend({ gramine, report, random, clock });
    },
  };
}
