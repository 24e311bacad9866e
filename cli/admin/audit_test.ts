import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { auditHash, NO_RECORD_HASH } from "../../api/audit/record.ts";
import type { AuditRecord } from "../../api/audit/mod.ts";
import { chainOf, markOf, markText, readAudit } from "./audit.ts";
import { Refused, UsageError } from "../command.ts";

function log(count: number): AuditRecord[] {
  const records: AuditRecord[] = [];
  for (let sequence = 1; sequence <= count; sequence++) {
    const record = {
      v: 1,
      chain: "acts",
      sequence,
      at_ms: sequence,
      action: "admin.login",
      actor: "admin",
      address: "",
      request: "",
      request_id: "",
      status: null,
      credential: null,
      detail: "",
      suppressed: 0,
      previous: records.at(-1)?.hash ?? NO_RECORD_HASH,
    } as const;
    records.push({ ...record, hash: auditHash(record) });
  }
  return records;
}

/** A master that keeps records from `oldest` on and gives three at a time. */
function master(records: readonly AuditRecord[], oldest = 1) {
  return (after: number) =>
    Promise.resolve({
      records: records.filter(({ sequence }) => sequence > after && sequence >= oldest).slice(0, 3),
      newest: records.length,
      oldest,
      head: records.at(-1)?.hash ?? NO_RECORD_HASH,
    });
}

function mark(record: AuditRecord | undefined) {
  if (record === undefined) throw new TypeError("there is no such record");
  return { sequence: record.sequence, hash: record.hash };
}

Deno.test("readAudit() reads page by page, from a mark on, or from what is still kept", async () => {
  const records = log(8);
  assertEquals(await readAudit(master([]), undefined), []);
  assertEquals(await readAudit(master(records), undefined), records);
  assertEquals(await readAudit(master(records, 5), undefined), records.slice(4));
  assertEquals(await readAudit(master(records), mark(records[4])), records.slice(5));
  assertEquals(await readAudit(master(records), mark(records[7])), []);
  assertEquals(markText(records, undefined), `8:${records[7]?.hash}`);
});

Deno.test("readAudit() refuses what was changed, dropped, cut off or put back", async () => {
  const records = log(8);
  const changed = records.map((record) =>
    record.sequence === 4 ? { ...record, detail: "x" } : record
  );
  const other = { sequence: 4, hash: "0".repeat(64) };
  const cases: readonly [Parameters<typeof readAudit>[0], Parameters<typeof readAudit>[1]][] = [
    [master(changed), undefined],
    [master(records.toSpliced(3, 1)), undefined],
    [master(records), other],
    [master(log(3)), mark(records[5])],
    [master(records, 7), mark(records[3])],
    [async (after) => ({ ...await master(records)(after), head: "1".repeat(64) }), undefined],
    [() => Promise.resolve({ records: "none" }), undefined],
  ];
  for (const [read, since] of cases) {
    await assertRejects(() => readAudit(read, since), Refused);
  }
});

Deno.test("chainOf() and markOf() name what they want", () => {
  assertEquals([chainOf(undefined), chainOf("refusals")], ["acts", "refusals"]);
  assertThrows(() => chainOf("all"), UsageError);
  assertEquals(markOf(undefined), undefined);
  assertEquals(markOf(`7:${"a".repeat(64)}`), { sequence: 7, hash: "a".repeat(64) });
  assertThrows(() => markOf("7"), UsageError);
});
