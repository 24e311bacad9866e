/**
 * Recovery: a store whose TEE is gone is opened on another one. The recovery private key never
 * touches a host: the new host publishes evidence that binds an ephemeral key, the operator
 * verifies it offline and wraps the KEK anew to that key.
 *
 * 1. `createRecoveryRequest` (new host)   2. `rewrapForRecovery` (operator, offline, after appraising
 * the evidence against `recoveryReportData`)   3. `acceptRecovery` (new host), then `openStore` with
 * its result as `recover`.
 */
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import * as v from "valibot";
import type { Attester, Bytes, Evidence } from "../backends/mod.ts";
import { concatBytes, equalBytes, utf8 } from "./bytes.ts";
import { StoreError } from "./errors.ts";
import { createHpkeKeyPair, type HpkeKeyPair, hpkeOpen, hpkeSeal } from "./hpke.ts";
import { decodeKeyring, type RecoveryWrap } from "./keyring_format.ts";

const WRAP_INFO = utf8("nautilus-tee/recovery-key/v1");
const RESPONSE_INFO = utf8("nautilus-tee/recovery-response/v1");
/** Another string, so that whoever carries the answer can neither add nor take away the consent. */
const RESPONSE_INFO_WITHOUT_ANCHOR = utf8(
  "nautilus-tee/recovery-response/v1/accept-lost-anchor",
);
const REQUEST_CONTEXT = utf8("nautilus-tee/recovery-request/v1");

/** Made by the operator, offline; only the public key reaches a master. */
export function createRecoveryKeyPair(): Promise<HpkeKeyPair> {
  return createHpkeKeyPair();
}

/** The KEK, wrapped to a recovery public key (32 bytes), for the keyring. */
export async function wrapForRecovery(
  kek: Bytes,
  storeId: Bytes,
  publicKey: Bytes,
): Promise<RecoveryWrap> {
  const wrap = await hpkeSeal(publicKey, WRAP_INFO, storeId, kek);
  return {
    type: "recovery",
    recipient: sha256(publicKey).toHex(),
    public_key: publicKey.toBase64(),
    encapsulated: wrap.encapsulated.toBase64(),
    ciphertext: wrap.ciphertext.toBase64(),
  };
}

/** What the new host publishes. JSON. */
export interface RecoveryRequest {
  readonly v: 1;
  /** Hex, 16 bytes. */
  readonly store_id: string;
  /** Hex, SHA-256 of the keyring's bytes: the operator wraps for this very keyring. */
  readonly keyring_sha256: string;
  /** Base64, 32 bytes: HPKE public key, made for this request. */
  readonly ephemeral_key: string;
  /** Base64 of the keyring, so that the operator needs nothing else. */
  readonly keyring: string;
  readonly evidence: {
    readonly media_type: string;
    readonly data: string;
    readonly endorsements: readonly { readonly type: string; readonly data: string }[];
  };
}

/** What the operator hands back. JSON. */
export interface RecoveryResponse {
  readonly v: 1;
  readonly store_id: string;
  readonly encapsulated: string;
  readonly ciphertext: string;
  /** The operator's consent that an anchor which is gone tells no rollback any more. */
  readonly accept_lost_anchor?: true;
}

const BASE64 = v.pipe(v.string(), v.base64());
const HEX_16 = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));
const HEX_32 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

const REQUEST = v.strictObject({
  v: v.literal(1),
  store_id: HEX_16,
  keyring_sha256: HEX_32,
  ephemeral_key: BASE64,
  keyring: BASE64,
  evidence: v.strictObject({
    media_type: v.string(),
    data: BASE64,
    endorsements: v.array(v.strictObject({ type: v.string(), data: BASE64 })),
  }),
});

const RESPONSE = v.strictObject({
  v: v.literal(1),
  store_id: HEX_16,
  encapsulated: BASE64,
  ciphertext: BASE64,
  accept_lost_anchor: v.exactOptional(v.literal(true)),
});

/** @throws {StoreError} `invalid_request` naming the field */
export function decodeRecoveryRequest(json: unknown): RecoveryRequest {
  return decode(REQUEST, json, "recovery request");
}

/** @throws {StoreError} `invalid_request` naming the field */
export function decodeRecoveryResponse(json: unknown): RecoveryResponse {
  return decode(RESPONSE, json, "recovery response");
}

/** The 64 bytes that the evidence of a request must bind. */
export function recoveryReportData(
  request: Pick<RecoveryRequest, "store_id" | "keyring_sha256" | "ephemeral_key">,
): Bytes {
  return new Uint8Array(sha512(concatBytes(
    REQUEST_CONTEXT,
    Uint8Array.fromHex(request.store_id),
    Uint8Array.fromHex(request.keyring_sha256),
    Uint8Array.fromBase64(request.ephemeral_key),
  )));
}

/**
 * Who can rewrap a keyring (its bytes): SHA-256 of each recovery public key, hex. Not yet
 * authenticated: the keyring's code is under the key that recovery brings.
 * @throws {StoreError} `keyring_altered`
 */
export function recoveryRecipients(keyringBytes: Bytes): readonly string[] {
  return decodeKeyring(keyringBytes).body.wraps.flatMap((wrap) =>
    wrap.type === "recovery" ? [wrap.recipient] : []
  );
}

/** On the new host. The private key stays in its memory until `acceptRecovery`. */
export async function createRecoveryRequest(
  keyringBytes: Bytes,
  attester: Attester,
): Promise<{ request: RecoveryRequest; ephemeralPrivateKey: Bytes }> {
  const { body } = decodeKeyring(keyringBytes);
  const pair = await createHpkeKeyPair();
  const bound = {
    v: 1,
    store_id: body.store_id,
    keyring_sha256: sha256(keyringBytes).toHex(),
    ephemeral_key: pair.publicKey.toBase64(),
  } as const;
  const evidence = await attester.attest(recoveryReportData(bound));
  return {
    request: { ...bound, keyring: keyringBytes.toBase64(), evidence: shown(evidence) },
    ephemeralPrivateKey: pair.privateKey,
  };
}

/**
 * On the operator's machine, after the request's evidence was appraised: whoever skips that hands
 * the store to whoever asks.
 * @param acceptLostAnchor the store may open there without the anchor that it had
 * @throws {StoreError} `invalid_request`: no wrap for this key, or the request contradicts itself
 */
export async function rewrapForRecovery(
  request: RecoveryRequest,
  recoveryKey: HpkeKeyPair,
  acceptLostAnchor = false,
): Promise<RecoveryResponse> {
  const keyringBytes = Uint8Array.fromBase64(request.keyring);
  const { body } = decodeKeyring(keyringBytes);
  if (
    sha256(keyringBytes).toHex() !== request.keyring_sha256 || body.store_id !== request.store_id
  ) {
    throw new StoreError(
      "invalid_request",
      "recovery request: its keyring is not the one it names",
    );
  }
  const storeId = Uint8Array.fromHex(body.store_id);
  const recipient = sha256(recoveryKey.publicKey).toHex();
  const wrap = body.wraps.find((one): one is RecoveryWrap =>
    one.type === "recovery" && one.recipient === recipient
  );
  if (wrap === undefined) {
    throw new StoreError(
      "invalid_request",
      `recovery key ${recipient} is none of this store's recovery keys`,
      { hint: "use the private key that belongs to a recovery key of this store" },
    );
  }
  const kek = await hpkeOpen(recoveryKey.privateKey, WRAP_INFO, storeId, {
    encapsulated: Uint8Array.fromBase64(wrap.encapsulated),
    ciphertext: Uint8Array.fromBase64(wrap.ciphertext),
  });
  if (kek === undefined) {
    throw new StoreError("keyring_altered", "the recovery wrap in the keyring does not open");
  }
  const answer = await hpkeSeal(
    Uint8Array.fromBase64(request.ephemeral_key),
    acceptLostAnchor ? RESPONSE_INFO_WITHOUT_ANCHOR : RESPONSE_INFO,
    storeId,
    kek,
  );
  kek.fill(0);
  return {
    v: 1,
    store_id: body.store_id,
    encapsulated: answer.encapsulated.toBase64(),
    ciphertext: answer.ciphertext.toBase64(),
    ...(acceptLostAnchor ? { accept_lost_anchor: true } : {}),
  };
}

/**
 * On the new host: the KEK, for `openStore({ recover })`. Whether it is the right one is checked
 * there, against the keyring's authentication code.
 * @throws {StoreError} `invalid_request`
 */
export async function acceptRecovery(
  request: RecoveryRequest,
  response: RecoveryResponse,
  ephemeralPrivateKey: Bytes,
): Promise<Bytes> {
  const storeId = Uint8Array.fromHex(response.store_id);
  if (!equalBytes(storeId, Uint8Array.fromHex(request.store_id))) {
    throw new StoreError("invalid_request", "recovery response: it is for another store");
  }
  const info = response.accept_lost_anchor === true ? RESPONSE_INFO_WITHOUT_ANCHOR : RESPONSE_INFO;
  const kek = await hpkeOpen(ephemeralPrivateKey, info, storeId, {
    encapsulated: Uint8Array.fromBase64(response.encapsulated),
    ciphertext: Uint8Array.fromBase64(response.ciphertext),
  });
  if (kek === undefined) {
    throw new StoreError("invalid_request", "recovery response: it is not for this request", {
      hint: "make a new request and have it wrapped again",
    });
  }
  return kek;
}

function shown(evidence: Evidence): RecoveryRequest["evidence"] {
  return {
    media_type: evidence.mediaType,
    data: evidence.data.toBase64(),
    endorsements: evidence.endorsements.map(({ type, data }) => ({ type, data: data.toBase64() })),
  };
}

function decode<T>(
  schema: v.BaseSchema<unknown, T, v.BaseIssue<unknown>>,
  json: unknown,
  name: string,
): T {
  const parsed = v.safeParse(schema, json);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new StoreError(
    "invalid_request",
    `${name}: ${v.getDotPath(issue) ?? "document"}: ${issue.message}`,
  );
}
