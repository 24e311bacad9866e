/**
 * The configuration in force: sealed at the first start; afterwards a value that differs is refused,
 * naming both. The simulation, which protects nothing, takes what it is given at every start; its
 * digest follows.
 */
import type { Bytes } from "../../backends/mod.ts";
import { type Config, ConfigError, flagName } from "../../config.ts";
import type { Store } from "../../store/mod.ts";
import { reconcileRecoveryKeys } from "./recovery_choice.ts";
import {
  canonical,
  configDigest,
  decodeSealed,
  encodeSealed,
  SEALED_CONFIG_KEY,
  type SealedConfig,
  sealedPart,
} from "./sealed_config.ts";

/**
 * The configuration in force.
 * @param mutable `true` in the simulation only.
 * @throws {ConfigError} when a given setting differs from the sealed one.
 */
export async function reconcileConfig(
  store: Store,
  config: Config,
  mutable: boolean,
): Promise<{ readonly sealed: SealedConfig; readonly digest: Bytes; readonly changed: boolean }> {
  const found = (await store.range("system", { key: SEALED_CONFIG_KEY })).kvs[0];
  const current = found === undefined ? undefined : decodeSealed(found.value);
  if (current === undefined && !mutable) requireAdminKey(config);
  const recoveryKey = await reconcileRecoveryKeys(store, config, mutable || current === undefined);
  const wanted = await sealedPart(config, recoveryKey);
  if (current !== undefined && !mutable) refuseDifferences(current, wanted, config.given);
  const sealed = mutable || current === undefined ? wanted : { ...current, recoveryKey };
  const changed = current === undefined || canonical(current) !== canonical(sealed);
  if (changed) {
    await store.txn({
      compare: [],
      success: [{
        type: "put",
        keyspace: "system",
        key: SEALED_CONFIG_KEY,
        value: encodeSealed(sealed),
      }],
      failure: [],
    });
  }
  return { sealed, digest: await configDigest(sealed), changed };
}

/**
 * A master that nobody can administer is refused before it is made.
 * @throws {ConfigError}
 */
export function requireAdminKey(config: Pick<Config, "adminKey">): void {
  if (config.adminKey !== undefined) return;
  throw new ConfigError(
    "--admin-key: the first start of a production master needs the admin's public key; it is " +
      "sealed, and nobody can administer the master without it. " +
      "`nautilus admin keygen --out FILE` makes a key pair",
  );
}

function refuseDifferences(
  current: SealedConfig,
  wanted: SealedConfig,
  given: ReadonlySet<keyof Config>,
): void {
  for (const field of Object.keys(current) as (keyof SealedConfig)[]) {
    // Recovery keys were compared with the key ring itself.
    if (field === "v" || field === "recoveryKey") continue;
    // The TEE was opened by what is given now, so silence about the plugin is another one, too.
    if (!given.has(field) && field !== "teePlugin" && field !== "teePluginConfig") continue;
    const [was, is] = [canonical(current[field]), canonical(wanted[field])];
    if (was !== is) {
      throw new ConfigError(
        `--${flagName(field)}: ${shown(is)} differs from the sealed configuration, which has ${
          shown(was)
        }; ` +
          "only an authenticated admin can change it",
      );
    }
  }
}

/** Policies are whole files: their beginning tells which one it is. */
function shown(json: string): string {
  return json.length <= 200 ? json : `${json.slice(0, 200)}…`;
}
