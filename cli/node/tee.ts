/** The TEE that a command runs on: found, opened, and shown to be genuine before a key is touched. */
import type { Logger } from "@logtape/logtape";
import { hardwareFactories } from "../../backends/hardware.ts";
import {
  BackendError,
  type BackendFactory,
  type Bytes,
  type Sealer,
  type SealPolicy,
  type TeeBackend,
  type TeeType,
} from "../../backends/mod.ts";
import { createPluginFactory } from "../../backends/plugin/backend.ts";
import { createProbeHost, type ProbeHost } from "../../backends/probe.ts";
import { createRegistry } from "../../backends/registry.ts";
import { createSimulationFactory } from "../../backends/simulation/backend.ts";
import { measureProgram } from "../../backends/simulation/program.ts";
import { type Config, ConfigError } from "../../config.ts";
import { runningProgram } from "../program.ts";

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

export function systemRandom(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
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

/** What keys are sealed with; no sealer where the TEE has no sealing key (TDX). */
export interface Sealing {
  readonly sealer: Sealer | undefined;
  readonly sealPolicy: SealPolicy;
}

/**
 * The sealer and the policy that keys are sealed under here.
 * @throws {ConfigError} where the TEE cannot honour the policy
 */
export function sealingOf(tee: TeeBackend, config: Config): Sealing {
  if (tee.sealer === undefined) {
    if (config.sealPolicy === "default") return { sealer: undefined, sealPolicy: "measurement" };
    throw new ConfigError(
      `--seal-policy: ${tee.kind} has no sealing key and cannot honour "${config.sealPolicy}"`,
    );
  }
  const sealPolicy = config.sealPolicy !== "default"
    ? config.sealPolicy
    : tee.kind === "SIMULATION"
    ? "signer"
    : "measurement";
  if (!tee.sealer.policies.includes(sealPolicy)) {
    throw new ConfigError(
      `--seal-policy: ${tee.kind} cannot honour "${sealPolicy}"; ` +
        `it can: ${tee.sealer.policies.join(", ")}`,
    );
  }
  return { sealer: tee.sealer, sealPolicy };
}

/** As {@link sealingOf}. @throws {BackendError} `policy_unsupported` where the TEE has no sealing key */
export function requireSealing(
  tee: TeeBackend,
  config: Config,
): { readonly sealer: Sealer; readonly sealPolicy: SealPolicy } {
  const { sealer, sealPolicy } = sealingOf(tee, config);
  if (sealer !== undefined) return { sealer, sealPolicy };
  throw new BackendError("policy_unsupported", `${tee.kind} has no sealing key`, {
    kind: tee.kind,
    hint: "`nautilus serve` asks the operator's recovery key for the store's key at every start " +
      "(docs/KEYS.md); nothing else opens a store here",
  });
}
