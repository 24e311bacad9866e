/** `open` of a backend whose probe is real and whose rest this build does not contain. */
import { BackendError } from "./errors.ts";
import type { ProbeResult, TeeType } from "./mod.ts";

/** Says what is there and that this build cannot use it: never a pretence of a TEE. */
export function notLanded(kind: TeeType, probe: ProbeResult): BackendError {
  if (!probe.available) {
    return new BackendError("unavailable", `no ${kind} here: ${probe.reason}`, {
      kind,
      ...(probe.hint === undefined ? {} : { hint: probe.hint }),
    });
  }
  return new BackendError(
    "not_landed",
    `${kind} is here (${probe.reason}), but this build cannot use it yet`,
    { kind, hint: "use a build with this backend; TEE_MODE=simulation protects nothing" },
  );
}
