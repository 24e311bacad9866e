/** The second floor of a node: the store, opened with the keys of the TEE. */
import type { Bytes, TeeBackend } from "../../backends/mod.ts";
import { type DurableLog, openStore, selectAead, type Store } from "../../store/mod.ts";
import { systemRandom } from "../random.ts";
import { readRecoveryPublicKeys } from "../files/recovery_keys.ts";
import { anchorsOf } from "./anchors.ts";
import { requireRecoveryChoice } from "./recovery_choice.ts";
import { hasStore, type OpenHost, openHost, type OpenNodeOptions } from "./host.ts";
import { requireAdminKey } from "./reconcile_config.ts";
import { requireSealing, sealingOf } from "./sealing.ts";
import { awaitStoreKey, type RecoveredKey } from "./unlock.ts";

/** The TEE and the store of a data directory that nobody else holds. */
export interface OpenData extends AsyncDisposable {
  readonly tee: TeeBackend;
  readonly store: Store;
}

/**
 * Opens TEE and store. What was opened is closed again when a later step fails.
 * @param recoveredKek the KEK of a store whose TEE is gone, where it comes back on this one
 * @throws {ConfigError | BootError}
 */
export async function openData(
  options: OpenNodeOptions,
  recoveredKek?: (host: OpenHost) => Promise<RecoveredKey>,
): Promise<OpenData> {
  const { config, step } = options;
  await using undo = new AsyncDisposableStack();
  const host = undo.use(await openHost(options));
  const { tee, log } = host;
  const known = await hasStore(config);
  if (tee.kind !== "SIMULATION" && !known) requireAdminKey(config);
  const key = await recoveredKek?.(host) ??
    (known && tee.sealer === undefined ? await unlock(host, options) : undefined);
  const store = undo.use(
    await step("store", () => openSealedStore(options, tee, log, key), (opened) => ({
      store_id: opened.storeId.toHex(),
      sequence: opened.head().sequence.toString(),
    })).finally(() => key?.kek.fill(0)),
  );
  for (const name of store.stats().freshness.acceptedLost) {
    options.log.warn(
      "LOST ANCHOR ACCEPTED: {name} is gone; if this is an older copy of the store, nothing tells",
      { name },
    );
  }
  const opened = undo.move();
  return {
    tee,
    store,
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** Where the TEE has no sealing key: the operator's recovery key opens what is there. */
async function unlock(host: OpenHost, options: OpenNodeOptions): Promise<RecoveredKey | undefined> {
  const { config, log, stopped, mode } = options;
  if (mode !== "create-or-open") requireSealing(host.tee, config);
  const { empty, head, keyring } = await host.log.start();
  if (empty && head === undefined && keyring === undefined) return undefined; // never was a store
  return await awaitStoreKey(host, { dataDir: config.dataDir, log, stopped });
}

async function openSealedStore(
  { config, mode }: OpenNodeOptions,
  tee: TeeBackend,
  log: DurableLog,
  key: RecoveredKey | undefined,
): Promise<Store> {
  const sealing = sealingOf(tee, config);
  let recoveryKeys: readonly Bytes[] = [];
  if (mode === "create-or-open") {
    const { empty, head, keyring } = await log.start();
    if (empty && head === undefined && keyring === undefined) {
      if (tee.kind !== "SIMULATION") requireRecoveryChoice(config, tee.sealer !== undefined);
      recoveryKeys = await readRecoveryPublicKeys(config.recoveryKey);
    }
  }
  return await openStore({
    log,
    aead: selectAead().provider,
    ...sealing,
    recoveryKeys,
    ...(key === undefined ? {} : { recover: key }),
    clock: Date.now,
    random: systemRandom,
    mode: mode === "create-or-open" ? mode : "open",
    readOnly: mode === "read-only",
    ...(mode === "read-only" ? { verify: "full" as const } : {}),
    anchors: anchorsOf(tee, config),
  });
}
