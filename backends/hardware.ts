/** The hardware backends, in the order in which they are asked. */
import type { BackendFactory } from "./mod.ts";
import { createNitroFactory } from "./nitro/backend.ts";
import { createSevSnpFactory, type SevSnpBackendDeps } from "./sev_snp/backend.ts";
import { createSgxFactory } from "./sgx/backend.ts";
import { createTdxFactory } from "./tdx/backend.ts";
import { createTrustZoneFactory } from "./trustzone/backend.ts";

/** What the backends need of the program: the host, Workers that re-enter it, randomness. */
export type HardwareDeps = SevSnpBackendDeps;

/** SGX, SEV, TrustZone as the first implementation asked, then TDX and NITRO. */
export function hardwareFactories(deps: HardwareDeps): readonly BackendFactory[] {
  return [
    createSgxFactory(deps),
    createSevSnpFactory(deps),
    createTrustZoneFactory(deps),
    createTdxFactory(deps),
    createNitroFactory(deps),
  ];
}
