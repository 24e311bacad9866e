/** `open` of a backend whose TEE is not here says what `detect` says. */
import { BackendError } from "./errors.ts";
import type { ProbeResult, TeeType } from "./mod.ts";

/** @throws {BackendError} `unavailable` with the probe's reason and hint, where it says no */
export function refuseWhereAbsent(kind: TeeType, probe: ProbeResult): void {
  if (probe.available) return;
  throw new BackendError("unavailable", `no ${kind} here: ${probe.reason}`, {
    kind,
    ...(probe.hint === undefined ? {} : { hint: probe.hint }),
  });
}
