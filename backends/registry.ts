/**
 * The registry: which backends there are, in which order they are asked, and which one a mode
 * means. Entries are explicit; the simulation stands apart and is chosen, never fallen into.
 */
import { BackendError } from "./errors.ts";
import type { BackendFactory, ProbeResult, TeeType } from "./mod.ts";

export interface Detection {
  readonly kind: TeeType;
  readonly probe: ProbeResult;
}

export type SelectMode = "auto" | "production" | "simulation";

export interface Selection {
  readonly factory: BackendFactory;
  /** Every hardware probe, in registry order; empty for the simulation, which asks nobody. */
  readonly detections: readonly Detection[];
}

export interface Registry {
  /** Hardware kinds in the order of asking. */
  readonly kinds: readonly TeeType[];
  /** Probes all hardware at once; answers stand in registry order. Never throws. */
  detect(): Promise<readonly Detection[]>;
  /**
   * The backend that `mode` means; with several kinds of hardware the first in order.
   *
   * @throws {BackendError} `config_invalid` for an unknown mode, `unavailable` where `production`
   * or `auto` find no hardware or no simulation is registered.
   */
  select(mode: string): Promise<Selection>;
}

const MODES: readonly SelectMode[] = ["auto", "production", "simulation"];

async function probe(factory: BackendFactory): Promise<Detection> {
  try {
    return { kind: factory.kind, probe: await factory.probe() };
  } catch (cause) {
    // A probe must not throw; one that does says nothing about the others.
    const reason = `probing failed: ${cause instanceof Error ? cause.message : String(cause)}`;
    return { kind: factory.kind, probe: { available: false, signals: [], reason } };
  }
}

/**
 * @param hardware the factories in the order of asking.
 * @param simulation answers to mode `simulation` alone.
 * @throws {BackendError} `duplicate` where two entries have one kind, or the simulation stands
 * among the hardware.
 */
export function createRegistry(
  hardware: readonly BackendFactory[],
  simulation?: BackendFactory,
): Registry {
  const entries = Object.freeze([...hardware]);
  const seen = new Set<TeeType>(["SIMULATION"]);
  for (const { kind } of entries) {
    if (seen.has(kind)) {
      const message = kind === "SIMULATION"
        ? "the simulation is not hardware: pass it on its own"
        : `two backends of kind ${kind}`;
      throw new BackendError("duplicate", message, { kind });
    }
    seen.add(kind);
  }
  if (simulation !== undefined && simulation.kind !== "SIMULATION") {
    throw new BackendError("duplicate", `${simulation.kind} cannot stand in as the simulation`, {
      kind: simulation.kind,
    });
  }

  const detect = (): Promise<readonly Detection[]> => Promise.all(entries.map(probe));

  return {
    kinds: Object.freeze(entries.map(({ kind }) => kind)),
    detect,
    async select(mode) {
      const known = MODES.find((candidate) => candidate === mode);
      if (known === undefined) {
        throw new BackendError(
          "config_invalid",
          `TEE_MODE is ${JSON.stringify(mode)}, valid are: ${MODES.join(", ")}`,
        );
      }
      if (known === "simulation") {
        if (simulation === undefined) {
          throw new BackendError("unavailable", "this build contains no simulation");
        }
        return { factory: simulation, detections: [] };
      }
      const detections = await detect();
      const index = detections.findIndex((detection) => detection.probe.available);
      const factory = entries[index];
      if (factory !== undefined) return { factory, detections };
      const reasons = detections.map((found) => `${found.kind}: ${found.probe.reason}`);
      throw new BackendError(
        "unavailable",
        `TEE_MODE is ${known} and this host offers no TEE` +
          (reasons.length === 0 ? "" : ` (${reasons.join("; ")})`),
        {
          hint: known === "auto"
            ? "run on a TEE host, or choose TEE_MODE=simulation, which protects nothing"
            : "run on a TEE host; `nautilus detect` says what was looked at",
        },
      );
    },
  };
}
