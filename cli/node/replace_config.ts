/** The few fields of the sealed configuration that change while a store lives: the key of its admin, its TEE. */
import type { Bytes } from "../../backends/mod.ts";
import type { Config } from "../../config.ts";
import { type Store, StoreError } from "../../store/mod.ts";
import {
  configDigest,
  decodeSealed,
  encodeSealed,
  SEALED_CONFIG_KEY,
  type SealedConfig,
  teePart,
} from "./sealed_config.ts";

/**
 * Seals another admin key in the place of the present one.
 * @returns the configuration in force from now on, and its digest
 * @throws {StoreError} where somebody else changed the configuration meanwhile
 */
export function replaceAdminKey(
  store: Store,
  adminKey: string,
): Promise<{ readonly sealed: SealedConfig; readonly digest: Bytes }> {
  return replaceFields(store, { adminKey });
}

/**
 * Seals what was said of the TEE that a store was recovered on, in the place of what was said of the
 * one that is gone: its plugin and its key. The operator has appraised its evidence.
 * @throws {StoreError} as {@link replaceAdminKey}
 */
export async function replaceTee(
  store: Store,
  config: Pick<Config, "teePlugin" | "teePluginConfig" | "teeKey">,
): Promise<void> {
  const [found] = (await store.range("system", { key: SEALED_CONFIG_KEY })).kvs;
  // A master that ended before its first configuration was sealed has nothing to replace.
  if (found !== undefined) await replaceFields(store, teePart(config));
}

async function replaceFields(
  store: Store,
  fields: Partial<SealedConfig>,
): Promise<{ readonly sealed: SealedConfig; readonly digest: Bytes }> {
  const [found] = (await store.range("system", { key: SEALED_CONFIG_KEY })).kvs;
  if (found === undefined) throw new StoreError("format", "there is no sealed configuration");
  const sealed: SealedConfig = { ...decodeSealed(found.value), ...fields };
  const { succeeded } = await store.txn({
    compare: [{
      keyspace: "system",
      key: SEALED_CONFIG_KEY,
      target: "mod",
      result: "equal",
      operand: found.modRevision,
    }],
    success: [{
      type: "put",
      keyspace: "system",
      key: SEALED_CONFIG_KEY,
      value: encodeSealed(sealed),
    }],
    failure: [],
  });
  if (!succeeded) throw new StoreError("format", "the sealed configuration changed meanwhile");
  return { sealed, digest: await configDigest(sealed) };
}
