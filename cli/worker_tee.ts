/**
 * The TEE that a worker runs in, opened when a master first demands evidence: the same backends, and
 * the same names of settings, as a master's own.
 */
import type { Logger } from "@logtape/logtape";
import {
  BackendError,
  type BackendErrorCode,
  type Bytes,
  type TeeBackend,
} from "../backends/mod.ts";
import { type Config, ConfigError, loadConfig } from "../config.ts";
import type { CommandIo } from "./command.ts";
import { openHardware, selectTee } from "./node/tee.ts";
import { NoEvidence, type OwnEvidence } from "./worker_join.ts";

/** What of the environment says which TEE there is. */
const TEE_VARIABLES = [
  "TEE_MODE",
  "NAUTILUS_TEE_PLUGIN",
  "NAUTILUS_TEE_PLUGIN_CONFIG",
  "NAUTILUS_TEE_KEY",
] as const;

/** What asking again does not change. */
const LASTING = [
  "unavailable",
  "not_genuine",
  "config_invalid",
  "policy_unsupported",
  "state_invalid",
] as const satisfies readonly BackendErrorCode[];

export interface WorkerTee extends AsyncDisposable {
  /** @throws {NoEvidence} where there is no TEE, or none that gives evidence */
  attest(reportData: Bytes): Promise<OwnEvidence>;
}

export interface WorkerTeeOptions {
  readonly io: Pick<CommandIo, "env" | "isRoot" | "hostName" | "spawnWorker" | "hardware">;
  /** `simulation`, `production` or `auto`; undefined: as the environment says. */
  readonly mode: string | undefined;
  /** Where the simulation keeps its device: beside the worker's state file. */
  readonly folder: string;
  readonly log: Logger;
}

/** Touches no device. @throws {ConfigError} for a mode that is none */
export function openWorkerTee(options: WorkerTeeOptions): WorkerTee {
  const config = teeConfig(options);
  let opened: Promise<TeeBackend> | undefined;
  return {
    async attest(reportData) {
      try {
        opened ??= openTee(config, options);
        const tee = await opened;
        if (tee.attester === undefined) {
          throw new BackendError("unavailable", `${tee.kind} gives no evidence`, {
            kind: tee.kind,
          });
        }
        return { teeType: tee.kind, evidence: await tee.attester.attest(reportData) };
      } catch (error) {
        opened = undefined; // a device that comes back is found the next time
        const lasting = error instanceof ConfigError ||
          (error instanceof BackendError && LASTING.some((code) => code === error.code));
        if (!lasting) throw error; // throttled, an error of the device: tried again
        const hint = error instanceof BackendError ? error.hint : undefined;
        throw new NoEvidence(
          "the master demands evidence of the worker's own TEE, and there is none here: " +
            error.message + (hint === undefined ? "" : `; ${hint}`),
          { cause: error },
        );
      }
    },
    async [Symbol.asyncDispose]() {
      const tee = await opened?.catch(() => undefined);
      await tee?.[Symbol.asyncDispose]();
    },
  };
}

function teeConfig({ io, mode, folder }: WorkerTeeOptions): Config {
  const env = Object.fromEntries(TEE_VARIABLES.flatMap((name) => {
    const value = io.env[name];
    return value === undefined ? [] : [[name, value]];
  }));
  return loadConfig({
    flags: { dataDir: folder, ...(mode === undefined ? {} : { teeMode: mode }) },
    env,
    isRoot: io.isRoot,
    hostName: io.hostName,
  });
}

async function openTee(config: Config, { io, log }: WorkerTeeOptions): Promise<TeeBackend> {
  const { spawnWorker, hardware } = io;
  const options = { config, log, spawnWorker, hardware };
  const factory = await selectTee(options);
  return factory.kind === "SIMULATION"
    ? await factory.open({ dataDir: config.dataDir, create: true })
    : await openHardware(factory, options);
}
