/** What a store's key ring must have of recovery keys, and how the configuration says so. */
import { type Config, ConfigError } from "../../config.ts";
import type { Store } from "../../store/mod.ts";
import { readRecoveryPublicKeys, recoveryFingerprint } from "../files/recovery_keys.ts";

/**
 * A production master whose store is lost with its machine is not made without being told.
 * @param canSeal false: only a recovery key ever opens the store again, at every start
 * @throws {ConfigError} naming both ways
 */
export function requireRecoveryChoice(
  config: Pick<Config, "recoveryKey" | "noRecovery">,
  canSeal = true,
): void {
  if (config.recoveryKey.length > 0) return;
  if (!canSeal) {
    throw new ConfigError(
      "--recovery-key: this TEE has no sealing key, so every start needs the operator's recovery " +
        "key; without one the store would be lost when the master stops. " +
        "`nautilus key recovery-init --out DIR` makes a key pair, on the operator's own machine",
    );
  }
  if (config.noRecovery) return;
  throw new ConfigError(
    "--recovery-key or --no-recovery: the first start of a production master must say how its " +
      "store comes back when this TEE is gone. `nautilus key recovery-init --out DIR`, run on the " +
      "operator's own machine, makes a key pair: give its public file with --recovery-key. " +
      "--no-recovery means that everything is lost with this TEE, or with an upgrade that changes " +
      "its measurement",
  );
}

/**
 * Compares the configuration with the store's recovery keys; both directions of a difference are
 * said, none is passed over.
 * @param mayAdd in the simulation, and until the first configuration is sealed
 * @returns fingerprints of the keys that can recover the store, sorted
 * @throws {ConfigError}
 */
export async function reconcileRecoveryKeys(
  store: Store,
  config: Pick<Config, "recoveryKey" | "noRecovery" | "given">,
  mayAdd: boolean,
): Promise<string[]> {
  const present = recipientsOf(store);
  if (config.noRecovery && present.length > 0) {
    throw new ConfigError(
      `--no-recovery: this store has recovery keys (${present.join(", ")}), and this release ` +
        "cannot take one away; leave the setting out",
    );
  }
  if (!config.given.has("recoveryKey")) return present;
  const keys = await readRecoveryPublicKeys(config.recoveryKey);
  const wanted = keys.map(recoveryFingerprint);
  const surplus = present.filter((fingerprint) => !wanted.includes(fingerprint));
  if (surplus.length > 0) {
    throw new ConfigError(
      `--recovery-key: the store also has ${
        surplus.join(", ")
      }, which is not among the keys given; ` +
        "this release cannot take a recovery key away: name all of them, or leave the setting out",
    );
  }
  const missing = keys.filter((key) => !present.includes(recoveryFingerprint(key)));
  if (missing.length > 0 && !mayAdd) {
    throw new ConfigError(
      `--recovery-key: ${missing.map(recoveryFingerprint).join(", ")} is none of this store's ` +
        `recovery keys (${present.join(", ") || "it has none"}). They are sealed at the first ` +
        "start; only an authenticated admin may add one, and this release has no command for that",
    );
  }
  for (const key of missing) await store.addRecoveryKey(key);
  return recipientsOf(store);
}

function recipientsOf(store: Store): string[] {
  return store.keyStatus().wraps
    .flatMap((wrap) => wrap.type === "recovery" ? [wrap.recipient] : [])
    .sort();
}
