/** The JSON of a node's attestation bundle, decoded strictly; nothing of it is verified here. */
import * as v from "valibot";
import type { AttestationBundle, SignedStatement } from "./attestation.ts";
import { BackendError, type Bytes } from "./mod.ts";
import { hex } from "./policy/schema.ts";

const MAX_BUNDLE_CHARACTERS = 4 << 20;
const base64 = v.pipe(
  v.string(),
  v.regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, "must be base64"),
);
const TeeTypeSchema = v.picklist(["SGX", "SEV", "TrustZone", "TDX", "NITRO", "SIMULATION"]);
const CoversSchema = v.picklist(["program", "image", "helper", "none"]);
const hexText = v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2})*$/, "must be lower-case hex"));
const seconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const shared = {
  tee_type: TeeTypeSchema,
  security_level: v.picklist([1, 2, 3]),
  covers: CoversSchema,
  measurement: hexText,
  timestamp: seconds,
};

const BundleSchema: v.GenericSchema<AttestationBundle> = v.strictObject({
  enclave_id: hex(16),
  ...shared,
  certificate: base64,
  signed: base64,
  signature: base64,
  evidence: v.strictObject({
    media_type: v.string(),
    data: base64,
    endorsements: v.pipe(
      v.array(v.strictObject({ type: v.string(), data: base64 })),
      v.maxLength(64),
    ),
  }),
});

const StatementSchema: v.GenericSchema<SignedStatement> = v.strictObject({
  v: v.literal(1),
  nonce: v.nullable(v.pipe(hexText, v.minLength(16), v.maxLength(128))),
  boot_id: hex(16),
  identity_key: base64,
  tls_key: base64,
  config_digest: hex(32),
  store_id: hex(16),
  incarnation: hex(16),
  store_head: v.strictObject({
    sequence: v.pipe(v.string(), v.regex(/^(?:0|[1-9][0-9]{0,19})$/)),
    digest: hexText,
  }),
  successors: v.exactOptional(
    v.pipe(v.array(v.pipe(hexText, v.maxLength(128))), v.minLength(1), v.maxLength(16)),
  ),
  ...shared,
});

/** A bundle and the statement inside, decoded; nothing of it is verified yet. */
export interface DecodedBundle {
  readonly bundle: AttestationBundle;
  readonly statement: SignedStatement;
  /** The exact bytes in `signed`. */
  readonly signed: Bytes;
  readonly evidence: Bytes;
}

/** @throws {BackendError} `malformed`, naming the field */
export function parseBundle(text: string): DecodedBundle {
  if (text.length > MAX_BUNDLE_CHARACTERS) {
    throw malformed(`larger than ${MAX_BUNDLE_CHARACTERS} characters`);
  }
  const bundle = decodeJson(BundleSchema, text, "bundle");
  const signed = Uint8Array.fromBase64(bundle.signed);
  let inner: string;
  try {
    inner = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(signed);
  } catch (cause) {
    throw malformed("signed is not UTF-8", cause);
  }
  return {
    bundle,
    statement: decodeJson(StatementSchema, inner, "signed"),
    signed,
    evidence: Uint8Array.fromBase64(bundle.evidence.data),
  };
}

function decodeJson<T>(schema: v.GenericSchema<T>, text: string, what: string): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw malformed(`${what} is not JSON`, cause);
  }
  const result = v.safeParse(schema, json);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw malformed(`${what}.${v.getDotPath(issue) ?? ""}: ${issue.message}`);
}

function malformed(message: string, cause?: unknown): BackendError {
  return new BackendError("malformed", `attestation bundle: ${message}`, { cause });
}
