import { assert, assertEquals, assertRejects } from "@std/assert";
import { createRecoveryKeyPair, scanBackup, type Store } from "../../store/mod.ts";
import { commit, openTestStore, put } from "../../tests/fakes/test_store.ts";
import { GrpcError } from "./grpc/status.ts";
import { snapshotStream } from "./snapshot.ts";

async function take(store: Store): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const { blob } of snapshotStream(store)) {
    assert(blob.length <= 256 * 1024);
    parts.push(blob);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

Deno.test("snapshotStream() is a whole backup, and ends as etcd's clients check it", async () => {
  const { publicKey } = await createRecoveryKeyPair();
  await using store = await openTestStore({ recoveryKeys: [publicKey] });
  for (let i = 0; i < 60; i++) await commit(store, put("etcd", `k${i}`, "v".repeat(10_000)));
  const snapshot = await take(store);
  assertEquals(snapshot.length % 512, 32);
  const body = snapshot.subarray(0, snapshot.length - 32);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  assertEquals(snapshot.subarray(body.length), digest);
  let at = 0;
  const { header, trailer, bytes } = await scanBackup({
    read(into) {
      const piece = snapshot.subarray(at, at + into.length);
      into.set(piece);
      at += piece.length;
      return Promise.resolve(piece.length === 0 ? null : piece.length);
    },
  });
  assertEquals(header.storeId, store.storeId);
  assertEquals(trailer, {
    sequence: Number(store.head().sequence),
    records: store.stats().liveRecords,
    timeMs: 1_790_000_000_000,
  });
  assertEquals(bytes, snapshot.length);
});

Deno.test("snapshotStream() refuses a store that nobody could restore", async () => {
  await using store = await openTestStore();
  const refusal = await assertRejects(() => take(store), GrpcError);
  assertEquals(refusal.code, 9);
  assert(refusal.message.includes("no recovery key"));
});
