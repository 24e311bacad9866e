/** AMD SEV-SNP, seen from inside the guest. */
import type { BackendFactory, ProbeResult } from "../mod.ts";
import { notLanded } from "../not_landed.ts";
import { found, notFound, pathSignal, type ProbeHost, tsmSignal } from "../probe.ts";

export const SEV_GUEST_DEVICE = "/dev/sev-guest";
const PLATFORM_DEVICE = "/sys/devices/platform/sev-guest";
/** The host's side. Present on the machine that runs guests, and no sign of being one. */
const HOST_DEVICE = "/dev/sev";

/** Guest signals of SEV-SNP; `/dev/sev` and kvm_amd's parameters are the host's and count for nothing. */
export async function probeSevSnp(host: ProbeHost): Promise<ProbeResult> {
  const [device, platform, tsm, hostDevice] = await Promise.all([
    pathSignal(host, SEV_GUEST_DEVICE),
    pathSignal(host, PLATFORM_DEVICE),
    tsmSignal(host),
    pathSignal(host, HOST_DEVICE),
  ]);
  const signals = [device, platform, tsm, hostDevice];
  if (host.arch !== "x86_64") return notFound(signals, `SEV-SNP is of x86-64, not ${host.arch}`);
  if (device.present) return found(signals, `${SEV_GUEST_DEVICE} is there`);
  if (tsm.provider === "sev_guest") return found(signals, "configfs-tsm reports for sev_guest");
  if (platform.present) {
    return notFound(
      signals,
      `the guest has ${PLATFORM_DEVICE} but no ${SEV_GUEST_DEVICE}`,
      "load the driver: modprobe sev-guest",
    );
  }
  if (hostDevice.present) {
    return notFound(
      signals,
      `${HOST_DEVICE} makes this an SEV host, not a guest`,
      "run the master inside an SEV-SNP guest of this host",
    );
  }
  return notFound(signals, `no ${SEV_GUEST_DEVICE}: this is no SEV-SNP guest`);
}

export function createSevSnpFactory(deps: { readonly host: ProbeHost }): BackendFactory {
  const probe = (): Promise<ProbeResult> => probeSevSnp(deps.host);
  return {
    kind: "SEV",
    securityLevel: 2,
    probe,
    async open() {
      throw notLanded("SEV", await probe());
    },
  };
}
