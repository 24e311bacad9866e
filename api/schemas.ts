/** The only decoder of request JSON of our own endpoints: bytes in, checked and typed values out. */
import * as v from "valibot";
import { decodeJson } from "./json.ts";
import { ApiProblem } from "./problem.ts";
import { isDns1123Subdomain } from "./k8s/names.ts";

const MAX_STRING = 256;

/** Names of fields whose values never appear in an answer or a log. */
const SECRET_FIELDS: ReadonlySet<string> = new Set(["seal_token"]);

const anyBase64 = v.pipe(
  v.string(),
  v.regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, "must be base64"),
  v.transform((text) => Uint8Array.fromBase64(text)),
);

const base64 = (bytes: number) =>
  v.pipe(
    anyBase64,
    v.check((value) => value.length === bytes, `must be ${bytes} bytes in base64`),
  );

/** A Sui address or object id, as written canonically. */
const address = v.pipe(v.string(), v.regex(/^0x[0-9a-f]{64}$/, "must be 0x and 64 hex digits"));

const nodeId = v.pipe(
  v.string(),
  v.maxLength(253),
  v.check(
    isDns1123Subdomain,
    "must be a DNS-1123 subdomain: lower case letters, digits, '-' and '.', 253 at most",
  ),
);

/** Seconds since the epoch, as the worker says; shown, never believed. */
const timestamp = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** MIST. Beyond 2^53 it is a decimal string (WIRE.md). */
const amount = v.union([
  v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  v.pipe(v.string(), v.regex(/^(0|[1-9][0-9]{0,19})$/, "must be a decimal u64")),
]);

const quantity = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const percent = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(100));

export const RegisterWorkerRequest = v.strictObject({
  node_id: nodeId,
  seal_token: v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_STRING)),
  timestamp,
  /** What K3s needs to join is asked for. */
  k3s: v.optional(v.literal(true)),
  /** Absent: the bare bearer form. */
  proof: v.optional(v.strictObject({
    /** The wallet's. */
    address,
    /** SPKI, Ed25519. */
    node_key: base64(44),
    challenge: v.pipe(
      v.string(),
      v.regex(/^[0-9a-f]{162}$/, "must be the 81 bytes of a challenge in hex"),
    ),
    /** Sui personal message signature, serialized; zkLogin's are long. */
    wallet_signature: v.pipe(v.string(), v.minLength(1), v.maxLength(8192)),
    node_signature: base64(64),
    /** Of the worker's own TEE; only where the challenge asks for it. */
    evidence: v.optional(v.strictObject({
      tee_type: v.picklist(["SGX", "SEV", "TrustZone", "TDX", "NITRO", "SIMULATION"]),
      data: anyBase64,
      endorsements: v.optional(
        v.pipe(
          v.array(
            v.strictObject({ type: v.pipe(v.string(), v.maxLength(64)), data: anyBase64 }),
          ),
          v.maxLength(64),
        ),
        [],
      ),
    })),
  })),
});
export type RegisterWorkerRequest = v.InferOutput<typeof RegisterWorkerRequest>;

export const AdmissionChallengeRequest = v.strictObject({ node_id: nodeId, address });
export type AdmissionChallengeRequest = v.InferOutput<typeof AdmissionChallengeRequest>;

export const LeaveRequest = v.strictObject({ node_id: nodeId, timestamp });
export type LeaveRequest = v.InferOutput<typeof LeaveRequest>;

export const HeartbeatRequest = v.strictObject({
  node_id: nodeId,
  timestamp,
  stake_status: v.pipe(v.string(), v.maxLength(32)),
  stake_amount: amount,
  running_pods: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(100_000)),
  resource_usage: v.strictObject({
    cpu_percent: percent,
    memory_percent: percent,
    disk_percent: percent,
  }),
  /** What the machine has; absent: the Node says nothing of it. */
  capacity: v.optional(v.strictObject({
    cpu_cores: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(65_536)),
    memory_bytes: quantity,
    disk_bytes: quantity,
    pods: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(100_000))),
  })),
});
export type HeartbeatRequest = v.InferOutput<typeof HeartbeatRequest>;

export const SuiEventsRequest = v.strictObject({
  /** Base58 of 32 bytes. Only a hint that something happened. */
  digest: v.pipe(
    v.string(),
    v.regex(/^[1-9A-HJ-NP-Za-km-z]{32,44}$/, "must be a transaction digest in base58"),
  ),
});
export type SuiEventsRequest = v.InferOutput<typeof SuiEventsRequest>;

/**
 * Decodes a body against a schema.
 *
 * @throws {ApiProblem} 400 with the field's name; a secret's value is never repeated.
 */
export function decodeBody<const S extends v.GenericSchema>(
  schema: S,
  bytes: Uint8Array,
): v.InferOutput<S> {
  const document = decodeJson(bytes);
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw new ApiProblem(400, "invalid_field", "the body: expected an object");
  }
  const result = v.safeParse(schema, document, { abortEarly: true, abortPipeEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue) ?? "";
  const where = field === "" ? "the body" : `field "${field}"`;
  if (issue.expected === "never") {
    throw new ApiProblem(400, "unknown_field", `${where} is not known here`, { field });
  }
  if (issue.received === "undefined") {
    throw new ApiProblem(400, "missing_field", `${where} is missing`, { field });
  }
  const hasOwnWords = issue.kind === "validation" && issue.expected === null;
  const expectation = hasOwnWords
    ? issue.message
    : `expected ${issue.expected ?? "another value"}${received(field, issue.received)}`;
  throw new ApiProblem(400, "invalid_field", `${where}: ${expectation}`.slice(0, 400), { field });
}

function received(field: string, text: string): string {
  return SECRET_FIELDS.has(field) ? "" : `, received ${text.slice(0, 100)}`;
}

/** Bytes of a nonce: hex, 8 to 64 bytes. @throws {ApiProblem} 400 naming `nonce`. */
export function decodeNonce(text: string): Uint8Array<ArrayBuffer> {
  const invalid = (why: string) =>
    new ApiProblem(400, "invalid_nonce", `query parameter "nonce" ${why}`, { field: "nonce" });
  if (!/^[0-9a-fA-F]*$/.test(text)) throw invalid("must be hexadecimal");
  if (text.length % 2 !== 0) throw invalid("must be whole bytes: an even number of hex digits");
  if (text.length < 16 || text.length > 128) {
    throw invalid(`must be 8 to 64 bytes, not ${text.length / 2}`);
  }
  return Uint8Array.fromHex(text);
}
