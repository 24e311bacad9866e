/** AWS Nitro Enclaves, seen from inside the enclave. */
import type { BackendFactory, ProbeResult } from "../mod.ts";
import { notLanded } from "../not_landed.ts";
import { found, notFound, pathSignal, type ProbeHost } from "../probe.ts";

export const NSM_DEVICE = "/dev/nsm";
/** The parent instance's side: it starts enclaves and is none. */
const PARENT_DEVICE = "/dev/nitro_enclaves";

/** The security module's device; the parent's counts for nothing. */
export async function probeNitro(host: ProbeHost): Promise<ProbeResult> {
  const [device, parent] = await Promise.all([
    pathSignal(host, NSM_DEVICE),
    pathSignal(host, PARENT_DEVICE),
  ]);
  const signals = [device, parent];
  if (device.present) return found(signals, `${NSM_DEVICE} is there`);
  if (parent.present) {
    return notFound(
      signals,
      `${PARENT_DEVICE} makes this a parent instance, not an enclave`,
      "build an enclave image and run it with nitro-cli",
    );
  }
  return notFound(signals, `no ${NSM_DEVICE}: this is no Nitro enclave`);
}

export function createNitroFactory(deps: { readonly host: ProbeHost }): BackendFactory {
  const probe = (): Promise<ProbeResult> => probeNitro(deps.host);
  return {
    kind: "NITRO",
    securityLevel: 3,
    probe,
    async open() {
      throw notLanded("NITRO", await probe());
    },
  };
}
