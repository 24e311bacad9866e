import { assertEquals, assertRejects } from "@std/assert";
import { StoreError } from "../../store/mod.ts";
import { openTestStore } from "../../tests/fakes/test_store.ts";
import { createMemoryLog, createMemoryMedium, type Store } from "../../store/mod.ts";
import { createTestSealer } from "../../tests/fakes/test_sealer.ts";
import { openAuditLog } from "./log.ts";
import { type AuditEvent, type AuditRecord, verifyAuditChain } from "./record.ts";

const clock = () => 1_790_000_000_000;

function event(detail: string): AuditEvent {
  return {
    action: "admin.login",
    actor: "admin",
    address: "192.0.2.1",
    request: "POST /api/v1/admin/login",
    request_id: "r-1",
    status: null,
    credential: null,
    detail,
  };
}

async function open(store: Store, keep = 1_000) {
  const secret = await store.secret("audit");
  return await openAuditLog(store, secret, clock, { acts: keep, refusals: keep });
}

Deno.test("openAuditLog() chains records, and goes on where it was", async () => {
  const [medium, sealer] = [createMemoryMedium(), createTestSealer()];
  {
    await using store = await openTestStore({ log: createMemoryLog(medium), sealer });
    const log = await open(store);
    await Promise.all(["a", "b", "c"].map((detail) => log.act(event(detail))));
  }
  await using store = await openTestStore({ log: createMemoryLog(medium), sealer });
  const log = await open(store);
  await log.act(event("d"));
  const page = await log.read("acts", 0, 100);
  assertEquals(page.records.map(({ sequence, detail }) => [sequence, detail]), [
    [1, "a"],
    [2, "b"],
    [3, "c"],
    [4, "d"],
  ]);
  assertEquals(verifyAuditChain(page.records), { intact: true, head: page.head });
  const rest = await log.read("acts", 2, 1);
  assertEquals(rest.records.map(({ sequence }) => sequence), [3]);
  const second = page.records[1];
  assertEquals(
    verifyAuditChain(rest.records, { hash: second?.hash ?? "", sequence: 2 }).intact,
    true,
  );
  assertEquals((await log.read("acts", 4, 10)).records, []);
});

Deno.test("verifyAuditChain() tells a change, a gap, an exchange, a cut beginning", async () => {
  await using store = await openTestStore();
  const log = await open(store);
  for (const detail of ["a", "b", "c"]) await log.act(event(detail));
  const { records } = await log.read("acts", 0, 10);
  const [a, b, c] = records;
  if (a === undefined || b === undefined || c === undefined) throw new Error("three were written");
  const verdict = (list: readonly AuditRecord[]) => {
    const result = verifyAuditChain(list);
    return result.intact ? "intact" : `${result.sequence}: ${result.reason}`;
  };
  assertEquals(verdict([a, b, c]), "intact");
  assertEquals(verdict([a, { ...b, detail: "x" }, c]), "2: it was changed");
  assertEquals(verdict([a, { ...b, at_ms: b.at_ms + 1 }, c]), "2: it was changed");
  assertEquals(verdict([a, c]), "2: record 3 stands in its place");
  assertEquals(verdict([b, a, c]), "3: record 1 stands in its place");
  assertEquals(
    verdict([{ ...a, previous: b.hash }, b, c]),
    "1: it does not follow the record before",
  );
  assertEquals(verdict([b, c]), "intact");
  assertEquals(verifyAuditChain([b, c], { hash: a.hash, sequence: 1 }).intact, true);
  assertEquals(verifyAuditChain([c], { hash: a.hash, sequence: 1 }).intact, false);
});

Deno.test("the audit log keeps a bounded number, and what it keeps still holds together", async () => {
  await using store = await openTestStore();
  const log = await open(store, 5);
  for (let i = 1; i <= 12; i++) await log.act(event(String(i)));
  const page = await log.read("acts", 0, 100);
  assertEquals([page.oldest, page.newest, page.records.length], [8, 12, 5]);
  assertEquals(verifyAuditChain(page.records).intact, true);
  const reopened = await open(store, 5);
  await reopened.act(event("13"));
  assertEquals((await reopened.read("acts", 0, 100)).records.map(({ detail }) => detail), [
    "9",
    "10",
    "11",
    "12",
    "13",
  ]);
});

Deno.test("refused() writes at a bounded rate, counts the rest, and leaves acts alone", async () => {
  await using store = await openTestStore();
  let now = clock();
  const log = await openAuditLog(store, await store.secret("audit"), () => now);
  await log.act(event("login"));
  for (let i = 0; i < 500; i++) log.refused(event("no"));
  await log.settled();
  now += 60_000;
  log.refused(event("later"));
  await log.settled();
  const { records } = await log.read("refusals", 0, 1_000);
  assertEquals([records.length, records.at(-1)?.suppressed], [201, 300]);
  assertEquals(verifyAuditChain(records).intact, true);
  assertEquals((await log.read("acts", 0, 10)).newest, 1);
});

Deno.test("act() rejects where the store cannot write", async () => {
  const store = await openTestStore();
  const log = await open(store);
  await store[Symbol.asyncDispose]();
  await assertRejects(() => log.act(event("a")), StoreError);
});

Deno.test("fingerprint() is keyed: another store gives another", async () => {
  await using one = await openTestStore();
  await using two = await openTestStore();
  const [a, b] = [await open(one), await open(two)];
  assertEquals(a.fingerprint("token").length, 32);
  assertEquals(a.fingerprint("token") === b.fingerprint("token"), false);
});
