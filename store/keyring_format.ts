/**
 * The keyring on disk: LP(body) ‖ HMAC-SHA-256 over the body under a key derived from the KEK.
 * The body is JSON. It is decoded before it can be authenticated (the KEK stands in it, wrapped),
 * so the decoder trusts nothing.
 */
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";

const HEX_16 = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));
const HEX_32 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const BASE64 = v.pipe(v.string(), v.base64(), v.maxLength(1 << 20));
const COUNTER = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const U32 = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(0xffff_ffff));

const SEALER_WRAP = v.strictObject({
  type: v.literal("sealer"),
  policy: v.picklist(["measurement", "signer"]),
  blob: BASE64,
});

const RECOVERY_WRAP = v.strictObject({
  type: v.literal("recovery"),
  /** SHA-256 of the recovery public key. */
  recipient: HEX_32,
  public_key: BASE64,
  encapsulated: BASE64,
  ciphertext: BASE64,
});

/** To another program on this device, which an admin authorised to open the store after an upgrade. */
const SUCCESSOR_WRAP = v.strictObject({
  type: v.literal("successor"),
  measurement: v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2}){16,64}$/)),
  blob: BASE64,
});

const DEK = v.strictObject({
  id: U32,
  state: v.picklist(["active", "retired"]),
  /** 12-byte nonce, ciphertext, tag. */
  wrapped: BASE64,
  /** Where the log stood when it became active; absent for the first. */
  since: v.optional(v.strictObject({
    sequence: COUNTER,
    position: COUNTER,
    /** Live records of the time: each was, or will be, sealed anew under it. */
    records: COUNTER,
  })),
});

const BODY = v.strictObject({
  format: v.literal(1),
  store_id: HEX_16,
  /** Rises with every change; the head names it. */
  version: COUNTER,
  /** Salt of the secrets that recovery renews. */
  generation: HEX_32,
  wraps: v.pipe(
    v.array(v.variant("type", [SEALER_WRAP, RECOVERY_WRAP, SUCCESSOR_WRAP])),
    v.minLength(1),
    v.maxLength(64),
  ),
  deks: v.pipe(v.array(DEK), v.minLength(1), v.maxLength(1024)),
});

export type KeyringBody = v.InferOutput<typeof BODY>;
export type KeyringWrap = KeyringBody["wraps"][number];
export type KeyringDek = KeyringBody["deks"][number];
export type SealerWrap = v.InferOutput<typeof SEALER_WRAP>;
export type SuccessorWrap = v.InferOutput<typeof SUCCESSOR_WRAP>;
export type RecoveryWrap = v.InferOutput<typeof RECOVERY_WRAP>;

const MAC_BYTES = 32;

export interface EncodedKeyring {
  /** The exact bytes that the MAC covers. */
  readonly bodyBytes: Bytes;
  readonly body: KeyringBody;
  readonly mac: Bytes;
}

export function encodeKeyring(body: KeyringBody, mac: (bodyBytes: Bytes) => Bytes): Bytes {
  const bodyBytes = new TextEncoder().encode(JSON.stringify(body));
  const out = new Uint8Array(4 + bodyBytes.length + MAC_BYTES);
  new DataView(out.buffer).setUint32(0, bodyBytes.length);
  out.set(bodyBytes, 4);
  out.set(mac(bodyBytes), 4 + bodyBytes.length);
  return out;
}

/** @throws {StoreError} `keyring_altered` naming the field */
export function decodeKeyring(bytes: Bytes): EncodedKeyring {
  const altered = (what: string) =>
    new StoreError("keyring_altered", `the keyring is not what this program wrote: ${what}`, {
      hint: "restore the keyring with the rest of its data directory, or restore a backup",
    });
  if (bytes.length < 4 + MAC_BYTES) throw altered(`${bytes.length} bytes`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  if (bytes.length !== 4 + length + MAC_BYTES) {
    throw altered(`${bytes.length} bytes, its length field says ${4 + length + MAC_BYTES}`);
  }
  const bodyBytes = bytes.slice(4, 4 + length);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bodyBytes));
  } catch {
    // What the runtime says of it quotes the bytes and helps nobody.
    throw altered("its body is not JSON");
  }
  const parsed = v.safeParse(BODY, json);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw altered(`${v.getDotPath(issue) ?? "body"}: ${issue.message}`);
  }
  return { bodyBytes, body: parsed.output, mac: bytes.slice(4 + length) };
}
