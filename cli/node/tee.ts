/** The TEE that a command runs on: found, opened, and shown to be genuine before a key is touched. */
import type { Logger } from "@logtape/logtape";
import { hardwareFactories } from "../../backends/hardware.ts";
import {
  type BackendFactory,
  type Bytes,
  type TeeBackend,
  type TeeType,
} from "../../backends/mod.ts";
import { createPluginFactory } from "../../backends/plugin/backend.ts";
import { createProbeHost, type ProbeHost } from "../../backends/probe.ts";
import { createRegistry } from "../../backends/registry.ts";
import { createSimulationFactory } from "../../backends/simulation/backend.ts";
import { measureProgram } from "../../backends/simulation/program.ts";
import { type Config, ConfigError } from "../../config.ts";
import { runningProgram } from "./program.ts";
import { systemRandom } from "../random.ts";

/**
 * Another hardware than this machine's under the vendors' roots: devices of a test and who vouches
 * for them. The program itself never has one; a test's own main does (tests/fakes/boot/main.ts).
 */
export interface HardwareWorld {
  readonly host: ProbeHost;
  /** What `open` of a backend is given. */
  readonly configs: Readonly<Partial<Record<TeeType, unknown>>>;
  /**
   * In the place of the appraisal under the vendors' roots and the configured key.
   * @throws where it is not genuine
   */
  appraise(tee: TeeBackend, teeKey: string | undefined): Promise<unknown>;
}

export interface TeeOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly spawnWorker: (name: string) => Worker;
  /** The program's measurement, where it was begun already. */
  readonly measuring?: Promise<Bytes> | undefined;
  readonly hardware?: HardwareWorld | undefined;
}

/**
 * The hardware backends that may run a master: a configured plugin alone, else those of this build.
 * Somebody who names a plugin means it; another TEE would open another store.
 */
export function eligibleHardware(
  { config, spawnWorker, hardware }: Pick<TeeOptions, "config" | "spawnWorker" | "hardware">,
): readonly BackendFactory[] {
  const { teePlugin } = config;
  if (teePlugin !== undefined) {
    return [createPluginFactory(teePlugin, { spawnWorker, clock: Date.now })];
  }
  return hardwareFactories({
    host: hardware?.host ?? createProbeHost(),
    spawnWorker,
    random: systemRandom,
    clock: Date.now,
  });
}

/** The backend that the configuration means. @throws {BackendError} `unavailable` with every reason */
export async function selectTee(options: TeeOptions): Promise<BackendFactory> {
  const { config, log, measuring } = options;
  const measurement = config.teeMode === "simulation"
    ? measuring ?? measureProgram(runningProgram())
    : Promise.reject(new TypeError("only the simulation measures the program itself"));
  measurement.catch(() => {}); // awaited, and thrown, when the backend asks for it
  const registry = createRegistry(
    eligibleHardware(options),
    createSimulationFactory({
      measureProgram: () => measurement,
      random: systemRandom,
      clock: Date.now,
    }),
  );
  const { factory, detections } = await registry.select(config.teeMode);
  for (const { kind, probe } of detections) {
    log.debug("probed {kind}: {reason}", { kind, reason: probe.reason });
  }
  return factory;
}

/**
 * Opens hardware and has it prove itself.
 * @throws {ConfigError} for a key where a vendor vouches
 * @throws {BackendError} `not_genuine`, and what opening throws
 */
export async function openHardware(
  factory: BackendFactory,
  { config, hardware }: TeeOptions,
): Promise<TeeBackend> {
  await using undo = new AsyncDisposableStack();
  const { teePlugin, teePluginConfig } = config;
  if (config.teeKey !== undefined && factory.kind !== "TrustZone") {
    throw new ConfigError(`--tee-key is for TrustZone, and this is ${factory.kind}`);
  }
  const tee = undo.use(
    await factory.open(
      teePlugin === undefined
        ? hardware?.configs[factory.kind] ?? {}
        : { config: teePluginConfig ?? "" },
    ),
  );
  await (hardware?.appraise ?? appraiseUnderVendorRoots)(tee, config.teeKey);
  undo.move();
  return tee;
}

/** Only hardware pays for loading the verifiers. */
async function appraiseUnderVendorRoots(
  tee: TeeBackend,
  teeKey: string | undefined,
): Promise<void> {
  const [{ createWebCryptoVerifier }, { createEvidenceVerifier }, { appraiseSelf }] = await Promise
    .all([
      import("../../backends/signatures.ts"),
      import("../../backends/verification.ts"),
      import("./self_appraisal.ts"),
    ]);
  await appraiseSelf(tee, {
    verifier: createEvidenceVerifier({ signatures: createWebCryptoVerifier() }),
    random: systemRandom,
    now: Date.now,
    teeKey,
  });
}
