/** The keyring's data keys: the next one, and the end of those that no record needs any more. */
import type { Bytes } from "../backends/mod.ts";
import type { AeadProvider } from "./aead.ts";
import { StoreError } from "./errors.ts";
import { type Keyring, sealKeyring, wrapDek } from "./keyring.ts";
import type { KeyringBody, KeyringDek } from "./keyring_format.ts";

const DEK_BYTES = 32;
const LAST_KEY_ID = 0xffff_ffff;

export interface ChangedKeyring {
  readonly keyring: Keyring;
  readonly bytes: Bytes;
}

/** With the next data key as the active one; the former stay until no record needs them. */
export async function addDataKey(
  deps: { readonly aead: AeadProvider; readonly random: (length: number) => Bytes },
  keyring: Keyring,
  since: NonNullable<KeyringDek["since"]>,
): Promise<ChangedKeyring> {
  const id = Math.max(...keyring.deks.keys()) + 1;
  if (id > LAST_KEY_ID) throw new StoreError("too_large", "the keyring has no more key ids");
  const dek = deps.random(DEK_BYTES);
  const { kek, storeId } = keyring;
  const wrapped = (await wrapDek(deps, kek, storeId, id, dek)).toBase64();
  const former = keyring.body.deks.map((one) => ({ ...one, state: "retired" as const }));
  return changed(
    { ...keyring, deks: new Map([...keyring.deks, [id, dek]]), activeDek: id },
    { deks: [...former, { id, state: "active", wrapped, since }] },
  );
}

/** Without the retired data keys. Their bytes are the caller's to wipe. */
export function dropRetiredDataKeys(keyring: Keyring): ChangedKeyring {
  const { activeDek } = keyring;
  return changed(
    { ...keyring, deks: new Map([...keyring.deks].filter(([id]) => id === activeDek)) },
    { deks: keyring.body.deks.filter(({ id }) => id === activeDek) },
  );
}

/** A keyring with other fields, one version on. */
export function changed(
  keyring: Keyring,
  fields: Partial<Pick<KeyringBody, "deks" | "wraps">>,
): ChangedKeyring {
  const body = { ...keyring.body, ...fields, version: keyring.body.version + 1 };
  const next = { ...keyring, body };
  return { keyring: next, bytes: sealKeyring(next) };
}

/**
 * How many records each data key has sealed, heads included: what was written since it became
 * active, and what was sealed anew. At most: a place that stayed empty counts, too.
 */
export function dataKeyUses(
  deks: readonly KeyringDek[],
  now: { readonly sequence: number; readonly nextPosition: number },
): ReadonlyMap<number, number> {
  const uses = new Map<number, number>();
  for (const [i, { id, since }] of deks.entries()) {
    const end = deks[i + 1]?.since ?? { sequence: now.sequence, position: now.nextPosition };
    const begin = since ?? { sequence: 0, position: 0, records: 0 };
    uses.set(id, end.sequence - begin.sequence + end.position - begin.position + begin.records);
  }
  return uses;
}
