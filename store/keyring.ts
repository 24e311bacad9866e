/**
 * The keyring: the KEK (held only as wraps) and the DEKs under it. Authenticated as a whole, kept
 * in the log, replaced atomically with an append. See docs/KEYS.md.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { BackendError, type Bytes, type Sealer, type SealPolicy } from "../backends/mod.ts";
import { AeadError, type AeadProvider } from "./aead.ts";
import { concatBytes, equalBytes, utf8 } from "./bytes.ts";
import { StoreError } from "./errors.ts";
import { deriveKey } from "./kdf.ts";
import {
  decodeKeyring,
  encodeKeyring,
  type KeyringBody,
  type SealerWrap,
} from "./keyring_format.ts";
import { ID_BYTES, NONCE_BYTES, TAG_BYTES } from "./record.ts";
import { wrapForRecovery } from "./recovery.ts";

const KEY_BYTES = 32;
const KEK_CONTEXT = utf8("nautilus-tee/kek/v1");

/** The unwrapped keyring. Wiped by `wipeKeyring`. */
export interface Keyring {
  readonly body: KeyringBody;
  readonly storeId: Bytes;
  /** 32 bytes. */
  readonly kek: Bytes;
  /** By key id; 32 bytes each. */
  readonly deks: ReadonlyMap<number, Bytes>;
  readonly activeDek: number;
}

export interface OpenedKeyring extends Keyring {
  /** It opened because an admin of the program before authorised this one. */
  readonly isSuccessor: boolean;
}

export interface KeyringDeps {
  readonly aead: AeadProvider;
  /** Undefined: the TEE has no sealing key. */
  readonly sealer: Sealer | undefined;
  readonly random: (length: number) => Bytes;
}

/**
 * A new store's keyring: KEK, one DEK, wraps by the sealer and to each recovery key.
 * @throws {StoreError} `invalid_request` where nothing could ever open it again
 */
export async function createKeyring(
  deps: KeyringDeps,
  policy: SealPolicy,
  recoveryKeys: readonly Bytes[] = [],
): Promise<{ keyring: Keyring; bytes: Bytes }> {
  if (deps.sealer === undefined && recoveryKeys.length === 0) {
    throw new StoreError("invalid_request", "a store without a sealer needs a recovery key");
  }
  const storeId = deps.random(ID_BYTES);
  const kek = deps.random(KEY_BYTES);
  const dek = deps.random(KEY_BYTES);
  const body: KeyringBody = {
    format: 1,
    store_id: storeId.toHex(),
    version: 1,
    generation: deps.random(KEY_BYTES).toHex(),
    wraps: [
      ...await wrapsBySealer(deps.sealer, policy, kek, storeId),
      ...await Promise.all(recoveryKeys.map((key) => wrapForRecovery(kek, storeId, key))),
    ],
    deks: [{
      id: 1,
      state: "active",
      wrapped: (await wrapDek(deps, kek, storeId, 1, dek)).toBase64(),
    }],
  };
  const keyring = { body, storeId, kek, deks: new Map([[1, dek]]), activeDek: 1 };
  return { keyring, bytes: sealKeyring(keyring) };
}

/**
 * The keyring of a recovered store: wrapped by this TEE instead of the one that is gone, secrets of
 * a new generation. Recovery wraps stay.
 */
export async function renewKeyring(
  deps: KeyringDeps,
  policy: SealPolicy,
  keyring: Keyring,
): Promise<{ keyring: Keyring; bytes: Bytes }> {
  const { kek, storeId } = keyring;
  const body: KeyringBody = {
    ...keyring.body,
    version: keyring.body.version + 1,
    generation: deps.random(KEY_BYTES).toHex(),
    wraps: [
      ...await wrapsBySealer(deps.sealer, policy, kek, storeId),
      ...keyring.body.wraps.filter((wrap) => wrap.type === "recovery"),
    ],
  };
  const renewed = { ...keyring, body };
  return { keyring: renewed, bytes: sealKeyring(renewed) };
}

/** With one more recovery key, or the same where it is there already. */
export async function addRecoveryWrap(
  keyring: Keyring,
  publicKey: Bytes,
): Promise<{ keyring: Keyring; bytes: Bytes }> {
  const wrap = await wrapForRecovery(keyring.kek, keyring.storeId, publicKey);
  const others = keyring.body.wraps.filter((one) =>
    one.type !== "recovery" || one.recipient !== wrap.recipient
  );
  const body: KeyringBody = {
    ...keyring.body,
    version: keyring.body.version + 1,
    wraps: [...others, wrap],
  };
  const next = { ...keyring, body };
  return { keyring: next, bytes: sealKeyring(next) };
}

export async function wrapsBySealer(
  sealer: Sealer | undefined,
  policy: SealPolicy,
  kek: Bytes,
  storeId: Bytes,
): Promise<SealerWrap[]> {
  if (sealer === undefined) return [];
  const blob = await sealer.seal(kek, policy, kekAad(storeId));
  return [{ type: "sealer", policy, blob: blob.toBase64() }];
}

/** The keyring's bytes with its MAC. */
export function sealKeyring(keyring: Pick<Keyring, "body" | "kek" | "storeId">): Bytes {
  return encodeKeyring(keyring.body, (body) => keyringMac(keyring.kek, keyring.storeId, body));
}

/**
 * Unwraps the KEK by the sealer and checks the whole.
 * @throws {StoreError} `keyring_altered`, or `keyring_sealed_elsewhere` whose cause says which of
 * measurement and device does not fit
 */
export async function openKeyring(deps: KeyringDeps, bytes: Bytes): Promise<OpenedKeyring> {
  const encoded = decodeKeyring(bytes);
  const storeId = Uint8Array.fromHex(encoded.body.store_id);
  const { kek, isSuccessor } = await unwrapKek(deps.sealer, encoded.body, storeId);
  return { ...await unlockKeyring(deps, bytes, kek), isSuccessor };
}

/** Checks and unwraps the rest with a KEK that is already there (recovery). */
export async function unlockKeyring(
  deps: Pick<KeyringDeps, "aead">,
  bytes: Bytes,
  kek: Bytes,
): Promise<Keyring> {
  const { body, bodyBytes, mac } = decodeKeyring(bytes);
  const storeId = Uint8Array.fromHex(body.store_id);
  if (kek.length !== KEY_BYTES || !equalBytes(mac, keyringMac(kek, storeId, bodyBytes))) {
    throw new StoreError(
      "keyring_altered",
      "the keyring's authentication code does not fit: it was altered after it was written",
      { hint: "restore the keyring with the rest of its data directory, or restore a backup" },
    );
  }
  const deks = new Map<number, Bytes>();
  let activeDek: number | undefined;
  for (const dek of body.deks) {
    deks.set(
      dek.id,
      await unwrapDek(deps, kek, storeId, dek.id, Uint8Array.fromBase64(dek.wrapped)),
    );
    if (dek.state === "active") activeDek = dek.id;
  }
  if (activeDek === undefined) {
    throw new StoreError("keyring_altered", "the keyring has no active data key");
  }
  return { body, storeId, kek, deks, activeDek };
}

export function wipeKeyring(keyring: Keyring): void {
  keyring.kek.fill(0);
  for (const dek of keyring.deks.values()) dek.fill(0);
}

/** What a KEK wrap by the sealer is bound to. */
export function kekAad(storeId: Bytes): Bytes {
  return concatBytes(KEK_CONTEXT, storeId);
}

async function unwrapKek(
  sealer: Sealer | undefined,
  body: KeyringBody,
  storeId: Bytes,
): Promise<{ readonly kek: Bytes; readonly isSuccessor: boolean }> {
  const sealed = (["sealer", "successor"] as const).flatMap((type) =>
    body.wraps.filter((wrap) => wrap.type === type)
  );
  if (sealer === undefined || sealed.length === 0) {
    throw new StoreError(
      "keyring_sealed_elsewhere",
      sealer === undefined
        ? "this TEE has no sealing key: it opens no store by itself"
        : "this store was made on a TEE without a sealing key: only its recovery keys open it",
      { hint: "bring it back with a recovery key (docs/KEYS.md)" },
    );
  }
  const refusals: unknown[] = [];
  for (const wrap of sealed) {
    if (wrap.type === "recovery") continue;
    try {
      const kek = await sealer.unseal(Uint8Array.fromBase64(wrap.blob), kekAad(storeId));
      return { kek, isSuccessor: wrap.type === "successor" };
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      refusals.push(error);
    }
  }
  const elsewhere = refusals.find((error) =>
    error instanceof BackendError &&
    (error.code === "measurement_mismatch" || error.code === "foreign_device" ||
      error.code === "policy_unsupported")
  );
  if (elsewhere instanceof BackendError) {
    throw new StoreError(
      "keyring_sealed_elsewhere",
      `the keyring was sealed elsewhere: ${elsewhere.message}`,
      {
        cause: elsewhere,
        hint: elsewhere.hint ??
          "start the program that sealed it on the device that sealed it, or recover with a recovery key",
      },
    );
  }
  const altered = refusals.find((error) =>
    error instanceof BackendError && (error.code === "tampered" || error.code === "malformed")
  );
  if (altered !== undefined || refusals.length === 0) {
    throw new StoreError("keyring_altered", "no wrap of the keyring's key opens here", {
      cause: altered,
      hint:
        "restore the keyring with the rest of its data directory, or recover with a recovery key",
    });
  }
  throw refusals[0];
}

function keyringMac(kek: Bytes, storeId: Bytes, body: Bytes): Bytes {
  return new Uint8Array(hmac(sha256, deriveKey(kek, storeId, "keyring-mac"), body));
}

export async function wrapDek(
  deps: Pick<KeyringDeps, "aead" | "random">,
  kek: Bytes,
  storeId: Bytes,
  id: number,
  dek: Bytes,
): Promise<Bytes> {
  using key = await deps.aead.importKey(deriveKey(kek, storeId, "dek-wrap"));
  const nonce = deps.random(NONCE_BYTES);
  const out = new Uint8Array(NONCE_BYTES + dek.length + TAG_BYTES);
  out.set(nonce);
  await key.sealInto(dek, nonce, dekAad(storeId, id), out.subarray(NONCE_BYTES));
  return out;
}

async function unwrapDek(
  deps: Pick<KeyringDeps, "aead">,
  kek: Bytes,
  storeId: Bytes,
  id: number,
  wrapped: Bytes,
): Promise<Bytes> {
  using key = await deps.aead.importKey(deriveKey(kek, storeId, "dek-wrap"));
  try {
    return await key.open(
      wrapped.slice(NONCE_BYTES),
      wrapped.slice(0, NONCE_BYTES),
      dekAad(storeId, id),
    );
  } catch (cause) {
    if (!(cause instanceof AeadError) || cause.code === "provider") throw cause;
    throw new StoreError("keyring_altered", `data key ${id} of the keyring does not open`, {
      cause,
    });
  }
}

function dekAad(storeId: Bytes, id: number): Bytes {
  const number = new Uint8Array(4);
  new DataView(number.buffer).setUint32(0, id);
  return concatBytes(utf8("nautilus-tee/dek/v1"), storeId, number);
}
