/** Intel TDX, seen from inside the trust domain. */
import type { BackendFactory, ProbeResult } from "../mod.ts";
import { notLanded } from "../not_landed.ts";
import { cpuFlagSignal, found, notFound, pathSignal, type ProbeHost, tsmSignal } from "../probe.ts";

export const TDX_GUEST_DEVICE = "/dev/tdx_guest";

/** The guest device or CPU flag say that this is a TD; quotes need configfs-tsm besides. */
export async function probeTdx(host: ProbeHost): Promise<ProbeResult> {
  const [device, flag, tsm] = await Promise.all([
    pathSignal(host, TDX_GUEST_DEVICE),
    cpuFlagSignal(host, "tdx_guest"),
    tsmSignal(host),
  ]);
  const signals = [device, flag, tsm];
  if (host.arch !== "x86_64") return notFound(signals, `TDX is of x86-64, not ${host.arch}`);
  if (tsm.provider === "tdx_guest") return found(signals, "configfs-tsm reports for tdx_guest");
  if (!device.present && !flag.present) {
    return notFound(signals, `no ${TDX_GUEST_DEVICE}: this is no TDX guest`);
  }
  if (!device.present) {
    return notFound(
      signals,
      `the CPU says TDX guest, but there is no ${TDX_GUEST_DEVICE}`,
      "load the driver: modprobe tdx-guest",
    );
  }
  if (!tsm.present) {
    return notFound(
      signals,
      `${TDX_GUEST_DEVICE} is there, but no configfs-tsm to get quotes from`,
      "use Linux >= 6.7 and mount configfs: mount -t configfs none /sys/kernel/config",
    );
  }
  return found(signals, `${TDX_GUEST_DEVICE} and configfs-tsm are there`);
}

export function createTdxFactory(deps: { readonly host: ProbeHost }): BackendFactory {
  const probe = (): Promise<ProbeResult> => probeTdx(deps.host);
  return {
    kind: "TDX",
    securityLevel: 3,
    probe,
    async open() {
      throw notLanded("TDX", await probe());
    },
  };
}
