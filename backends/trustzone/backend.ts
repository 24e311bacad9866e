/** ARM TrustZone through the GlobalPlatform TEE Client API. */
import type { BackendFactory, ProbeResult } from "../mod.ts";
import { notLanded } from "../not_landed.ts";
import { found, librarySignal, notFound, pathSignal, type ProbeHost } from "../probe.ts";

export const TEE_DEVICE = "/dev/tee0";
export const TEEC_LIBRARIES = ["libteec.so.2", "libteec.so.1"] as const;
const SUPPLICANT_DEVICE = "/dev/teepriv0";

/** The client device and libteec; on x86-64 the same device belongs to AMD's TEE, which is not this one. */
export async function probeTrustZone(host: ProbeHost): Promise<ProbeResult> {
  const [device, supplicant, library] = await Promise.all([
    pathSignal(host, TEE_DEVICE),
    pathSignal(host, SUPPLICANT_DEVICE),
    librarySignal(host, TEEC_LIBRARIES),
  ]);
  const signals = [device, supplicant, library];
  if (host.arch !== "aarch64") {
    return notFound(
      signals,
      device.present
        ? `${TEE_DEVICE} on ${host.arch} is AMD's TEE, not TrustZone`
        : `TrustZone is of ARM, not ${host.arch}`,
    );
  }
  if (!device.present) {
    return notFound(
      signals,
      `no ${TEE_DEVICE}: no trusted OS, or its driver is not loaded`,
      "use a firmware with OP-TEE, and load the driver: modprobe optee",
    );
  }
  if (!library.present) {
    return notFound(
      signals,
      `${TEE_DEVICE} is there, but no libteec`,
      "install the TEE client library (Debian: libteec2, tee-supplicant)",
    );
  }
  return found(signals, `${TEE_DEVICE} and ${library.name} are there`);
}

export function createTrustZoneFactory(deps: { readonly host: ProbeHost }): BackendFactory {
  const probe = (): Promise<ProbeResult> => probeTrustZone(deps.host);
  return {
    kind: "TrustZone",
    securityLevel: 2,
    probe,
    async open() {
      throw notLanded("TrustZone", await probe());
    },
  };
}
