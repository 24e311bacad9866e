/** One entry of the audit log, and the hash that ties it to the one before. */
import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import * as v from "valibot";

/** What admins did, and who was refused: apart, so that a flood of one pushes nothing out of the other. */
export const AUDIT_CHAINS = ["acts", "refusals"] as const;
export type AuditChain = (typeof AUDIT_CHAINS)[number];

/** Hex of SHA-256. */
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const text = v.pipe(v.string(), v.maxLength(512));

/** What is told of an act or a refusal. A secret stands here only as its HMAC. */
export const AuditEvent = v.strictObject({
  /** `admin.login`, `admin.key`, `kubernetes.create`, `refused`, `outcome` … */
  action: text,
  /** `admin`, or "" where nobody was told by name. */
  actor: text,
  /** Address of the client; "" where the call came from within. */
  address: text,
  /** Method and path; no query, no body. */
  request: text,
  request_id: text,
  /** HTTP status; null before there is one. */
  status: v.nullable(v.number()),
  /** First 16 bytes of the HMAC of the presented token, hex; null without one. */
  credential: v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/))),
  detail: text,
});
export type AuditEvent = v.InferOutput<typeof AuditEvent>;

export const AuditRecord = v.strictObject({
  v: v.literal(1),
  chain: v.picklist(AUDIT_CHAINS),
  /** From 1, without gaps. */
  sequence: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  /** Milliseconds since the epoch, by the master's clock. */
  at_ms: v.pipe(v.number(), v.safeInteger()),
  ...AuditEvent.entries,
  /** Refusals that were counted and not written since the record before. */
  suppressed: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  previous: hash,
  hash,
});
export type AuditRecord = v.InferOutput<typeof AuditRecord>;

/** What comes before the first record. */
export const NO_RECORD_HASH = "0".repeat(64);

/** SHA-256 over `"nautilus-tee/audit/v1" 0x00` and the record without `hash` as RFC 8785 JSON; hex. */
export function auditHash(record: Omit<AuditRecord, "hash">): string {
  const { hash: _hash, ...rest } = { hash: undefined, ...record };
  const json = canonicalize(rest);
  if (json === undefined) throw new TypeError("an audit record without a JSON form");
  return createHash("sha256").update("nautilus-tee/audit/v1\0").update(json).digest("hex");
}

export type ChainVerdict =
  | { readonly intact: true; readonly head: string }
  /** The first record that does not fit, and why. */
  | { readonly intact: false; readonly sequence: number; readonly reason: string };

/**
 * Whether records follow each other without gap or change.
 * @param start the hash that the first record must name as `previous`; undefined: whatever it says
 *   (the older part was kept elsewhere or has been dropped)
 */
export function verifyAuditChain(
  records: readonly AuditRecord[],
  start?: { readonly hash: string; readonly sequence: number },
): ChainVerdict {
  const [first] = records;
  let previous = start?.hash ?? first?.previous ?? NO_RECORD_HASH;
  let sequence = start === undefined ? first?.sequence ?? 1 : start.sequence + 1;
  if (start === undefined && sequence === 1) previous = NO_RECORD_HASH;
  for (const record of records) {
    const no = (reason: string): ChainVerdict => ({ intact: false, sequence, reason });
    if (record.sequence !== sequence) return no(`record ${record.sequence} stands in its place`);
    if (record.chain !== first?.chain) return no("it is of another chain");
    if (record.previous !== previous) return no("it does not follow the record before");
    if (record.hash !== auditHash(record)) return no("it was changed");
    previous = record.hash;
    sequence++;
  }
  return { intact: true, head: previous };
}
