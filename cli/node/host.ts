/** The first floor of a node: the data directory's lock, the TEE, and a store that is still closed. */
import { BackendError, type BackendFactory, type TeeBackend } from "../../backends/mod.ts";
import type { Config } from "../../config.ts";
import { acquireDataDirLock, type DurableLog, openSqliteLog, StoreError } from "../../store/mod.ts";
import { makePrivateDirectory } from "../files/written.ts";
import { finishRestore, isRestoreReady } from "./restore_swap.ts";
import type { Step } from "./steps.ts";
import { openHardware, selectTee, type TeeOptions } from "./tee.ts";

export interface OpenNodeOptions extends TeeOptions {
  readonly step: Step;
  /** `open` refuses where there is no store; `read-only` also changes nothing in it. */
  readonly mode: "create-or-open" | "open" | "read-only";
  /** Recovery begins: the store is another TEE's, and the simulation makes a device of its own. */
  readonly newDevice?: boolean;
  /** Ends the waiting for a store's key, where the TEE has no sealing key. */
  readonly stopped?: AbortSignal;
}

/** The TEE and the still closed store of a data directory that nobody else holds. */
export interface OpenHost extends AsyncDisposable {
  readonly tee: TeeBackend;
  readonly log: DurableLog;
}

/**
 * Takes the lock and opens the TEE. What was opened is closed again when a later step fails.
 * @throws {ConfigError | BootError}
 */
export async function openHost(options: OpenNodeOptions): Promise<OpenHost> {
  const { config, step } = options;
  await using undo = new AsyncDisposableStack();
  // Asked before anything is made: where there is no TEE, nothing is left behind.
  const factory = await step("detect", () => selectTee(options), ({ kind }) => ({ kind }));
  if (options.mode === "create-or-open") refuseWithoutDisk(factory);
  await step("data directory", async () => {
    if (options.mode === "create-or-open") await makePrivateDirectory(config.dataDir);
    else await refuseWithoutStore(config);
    undo.use(await acquireDataDirLock(config.dataDir));
    await finishRestore(config.dataDir, config.anchorFile, Date.now());
  }, () => ({ path: config.dataDir }));
  // Its Worker starts while the TEE is opened; nothing is read before the store asks.
  const log = openSqliteLog({ path: storePath(config), spawnWorker: options.spawnWorker });
  undo.use(log);
  const tee = undo.use(
    await step("tee", () => openTee(factory, options), ({ kind, covers }) => ({ kind, covers })),
  );
  const opened = undo.move();
  return { tee, log, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

/** The master's file in the data directory. */
export function storePath(config: Config): string {
  return `${config.dataDir}/store.sqlite`;
}

/** Whether there is a store. */
export async function hasStore(config: Config): Promise<boolean> {
  try {
    await Deno.lstat(storePath(config));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** @throws {BackendError} `unavailable` where a TEE has no place for a store */
function refuseWithoutDisk({ kind }: BackendFactory): void {
  if (kind !== "NITRO") return;
  throw new BackendError(
    "unavailable",
    "a Nitro enclave has no disk, no network and no sealing key: a master cannot run in it",
    {
      kind,
      hint: "it would need a store and a network over vsock from the parent instance, and a key " +
        "broker such as KMS; `nautilus detect` works here",
    },
  );
}

/** Looking for a store makes nothing: a mistyped directory stays as it was. */
async function refuseWithoutStore(config: Config): Promise<void> {
  if (await hasStore(config) || await isRestoreReady(config.dataDir)) return;
  throw new StoreError("keyring_missing", `there is no store in ${config.dataDir}`, {
    hint: "set --data-dir to the data directory of a master; `nautilus serve` makes a new one",
  });
}

function openTee(factory: BackendFactory, options: OpenNodeOptions): Promise<TeeBackend> {
  const { config, newDevice } = options;
  if (factory.kind !== "SIMULATION") return openHardware(factory, options);
  return hasStore(config).then((known) =>
    factory.open({ dataDir: config.dataDir, create: newDevice === true || !known })
  );
}
