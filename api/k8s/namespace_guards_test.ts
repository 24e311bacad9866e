import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import type { Compare } from "../../store/mod.ts";
import { bytes, openTestStore, put } from "../../tests/fakes/test_store.ts";
import { NamespaceGuards } from "./namespace_guards.ts";
import { createResourceTable } from "./resources.ts";
import { StatusError } from "./status.ts";

const KEY = "/registry/core/namespaces/made";
const metadata = (more: object) =>
  JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name: "made", ...more } });

Deno.test("of() reads a namespace once until something changes, and never remembers a refusal", async () => {
  await using store = await openTestStore();
  const table = createResourceTable();
  const guards = new NamespaceGuards(store);
  const write = (value: string) =>
    store.txn({ compare: [], success: [put("k8s", KEY, value)], failure: [] });
  await assertRejects(() => guards.of(table, "made"), StatusError, "not found");
  const { revisions: made } = await write(metadata({}));
  const guard = await guards.of(table, "made");
  const unchangedSince = (operand: number): Compare => ({
    keyspace: "k8s",
    key: bytes(KEY),
    target: "mod",
    result: "equal",
    operand,
  });
  assertEquals(guard, unchangedSince(made.k8s));
  assertStrictEquals(await guards.of(table, "made"), guard);
  const { revisions: changed } = await write(metadata({ labels: { a: "b" } }));
  assertEquals(await guards.of(table, "made"), unchangedSince(changed.k8s));
  await write(metadata({ deletionTimestamp: "2026-11-22T12:00:00Z" }));
  for (let i = 0; i < 2; i++) {
    await assertRejects(() => guards.of(table, "made"), StatusError, "being terminated");
  }
});
