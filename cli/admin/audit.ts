/** `nautilus admin audit`: the audit log, checked record by record, and kept copies checked again. */
import * as v from "valibot";
import {
  AUDIT_CHAINS,
  type AuditChain,
  AuditRecord,
  type ChainVerdict,
  verifyAuditChain,
} from "../../api/audit/mod.ts";
import { MAX_AUDIT_PAGE } from "../../api/admin_schemas.ts";
import { Refused, UsageError } from "../command.ts";
import { readBoundedText } from "../files/bounded_read.ts";
import { fileReason } from "../files/reason.ts";

const MAX_FILE_BYTES = 256 << 20;

const PAGE = v.object({
  records: v.array(AuditRecord),
  newest: v.number(),
  oldest: v.number(),
  head: v.string(),
});
export type AuditPage = v.InferOutput<typeof PAGE>;

/** The last record that somebody has kept: what follows must name it. */
export interface AuditMark {
  readonly sequence: number;
  readonly hash: string;
}

/** `--chain`. @throws {UsageError} */
export function chainOf(text: string | undefined): AuditChain {
  const chain = AUDIT_CHAINS.find((name) => name === (text ?? "acts"));
  if (chain !== undefined) return chain;
  throw new UsageError(`--chain "${text}": one of ${AUDIT_CHAINS.join(", ")} is wanted`);
}

/** `--since SEQUENCE:HASH`, as an earlier run printed it. @throws {UsageError} */
export function markOf(text: string | undefined): AuditMark | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new UsageError(`--since "${text}": SEQUENCE:HASH of the last known record is wanted`);
  }
  return { sequence: Number(match[1]), hash: match[2] };
}

/**
 * Every record after `since`, page by page, checked.
 *
 * @param read one page
 * @throws {Refused} where a record is missing, changed or out of its place
 */
export async function readAudit(
  read: (after: number, limit: number) => Promise<unknown>,
  since: AuditMark | undefined,
): Promise<readonly AuditRecord[]> {
  const all: AuditRecord[] = [];
  let after = since?.sequence ?? 0;
  for (;;) {
    const result = v.safeParse(PAGE, await read(after, MAX_AUDIT_PAGE));
    if (!result.success) throw new Refused("the master's audit log cannot be read");
    const { records, newest, oldest, head } = result.output;
    if (since !== undefined && all.length === 0 && newest < since.sequence) {
      throw new Refused(
        `the audit log ends at record ${newest}, but ${since.sequence} was there: it was put back`,
      );
    }
    if (since !== undefined && all.length === 0 && oldest > since.sequence + 1) {
      throw new Refused(
        `records ${since.sequence + 1} to ${oldest - 1} are not kept any more; look more often`,
      );
    }
    all.push(...records);
    const last = records.at(-1);
    if (last === undefined || last.sequence >= newest) {
      requireIntact(verifyAuditChain(all, since));
      const end = last?.hash ?? all.at(-1)?.hash ?? since?.hash;
      if (end !== undefined && newest > 0 && end !== head) {
        throw new Refused(`the newest record is not the one that the master names: ${head}`);
      }
      return all;
    }
    after = last.sequence;
  }
}

/** Records kept as JSON lines. @throws {Refused} as readAudit; {UsageError} for a file that is none */
export async function readKeptAudit(
  path: string,
  since: AuditMark | undefined,
): Promise<readonly AuditRecord[]> {
  let text: string;
  try {
    text = await readBoundedText(path, MAX_FILE_BYTES);
  } catch (cause) {
    throw new UsageError(`--verify ${path}: ${fileReason(cause)}`, { cause });
  }
  const records = text.split("\n").filter((line) => line !== "").map((line, i) => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      value = undefined;
    }
    const result = v.safeParse(AuditRecord, value);
    if (!result.success) throw new Refused(`line ${i + 1} of ${path} is no audit record`);
    return result.output;
  });
  requireIntact(verifyAuditChain(records, since));
  return records;
}

function requireIntact(verdict: ChainVerdict): void {
  if (verdict.intact) return;
  throw new Refused(
    `the audit log is broken at record ${verdict.sequence}: ${verdict.reason}`,
  );
}

/** What to keep: the next `--since`. */
export function markText(records: readonly AuditRecord[], since: AuditMark | undefined): string {
  const last = records.at(-1);
  return last === undefined
    ? since === undefined ? "nothing" : `${since.sequence}:${since.hash}`
    : `${last.sequence}:${last.hash}`;
}
