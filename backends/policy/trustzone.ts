/** The policy section of OP-TEE attestation (ARM TrustZone). */
import * as v from "valibot";
import { anyOrList, hex } from "./schema.ts";

const Key = v.union([
  v.strictObject({ id: v.pipe(v.string(), v.minLength(1)), spki: v.pipe(v.string(), v.base64()) }),
  v.strictObject({
    id: v.pipe(v.string(), v.minLength(1)),
    /** Big-endian, hex. */
    modulus: v.pipe(v.string(), v.regex(/^[0-9a-f]{512,2048}$/)),
    exponent: v.pipe(v.string(), v.regex(/^[0-9a-f]{2,16}$/)),
  }),
], "must be {id, spki} or {id, modulus, exponent}");

/** Evidence that our TA signs itself. Its P-256 key stands among `keys`, too. */
const Ta = v.strictObject({
  measurements: anyOrList(hex(48)),
  minimumCodeVersion: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffffff)),
  /** The platform's attestation of the TA's memory: by a pinned RSA key, over one of `taMemoryDigests`. */
  platform: v.picklist(
    ["require", "if_given", "ignore"],
    'must be "require", "if_given" or "ignore"',
  ),
});

export const TrustZoneSection = v.strictObject({
  /** No chain leads to a vendor, so the devices' public keys themselves are pinned. */
  keys: v.pipe(v.array(Key), v.minLength(1, "must pin at least one device key")),
  /** What was hashed decides what a digest stands for; the evidence itself does not say which it is. */
  taHeaderDigests: v.optional(v.array(hex(32)), []),
  taMemoryDigests: v.optional(v.array(hex(32)), []),
  teeMemoryDigests: v.optional(v.array(hex(32)), []),
  /** Accept a digest that stands in none of the lists. */
  allowAnyDigest: v.optional(v.boolean(), false),
  /** Absent: only the platform's own attestation is accepted. */
  ta: v.optional(Ta),
});
export type TrustZoneSection = v.InferOutput<typeof TrustZoneSection>;
