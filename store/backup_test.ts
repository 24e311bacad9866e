import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import type { Bytes } from "../backends/mod.ts";
import { createTestSealer } from "../tests/fakes/test_sealer.ts";
import {
  bytes,
  commit,
  listing,
  openTestStore,
  put,
  testStoreOptions,
} from "../tests/fakes/test_store.ts";
import { BackupReader, type BackupSource, EtcdFraming } from "./backup_format.ts";
import { concatBytes } from "./bytes.ts";
import { StoreError } from "./errors.ts";
import { fileAnchor } from "./file_anchor.ts";
import { createHpkeKeyPair } from "./hpke.ts";
import { createMemoryLog, createMemoryMedium, type MemoryMedium } from "./logs/memory.ts";
import { openSqliteLog } from "./logs/sqlite.ts";
import { openStore } from "./open.ts";
import { acceptRecovery, createRecoveryRequest, rewrapForRecovery } from "./recovery.ts";
import { hasAllOf, type RestoredStore, restoreStore, standingStore } from "./restore.ts";
import type { BackupSummary, Store } from "./types.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
const operator = await createHpkeKeyPair();
const elsewhere = createTestSealer({ device: 2, measurement: 1 });

function openBackedUp(medium: MemoryMedium = createMemoryMedium()): Promise<Store> {
  return openTestStore({
    log: createMemoryLog(medium),
    recoveryKeys: [operator.publicKey],
  });
}

interface Taken {
  readonly pieces: readonly Bytes[];
  readonly summary: BackupSummary;
}

async function take(store: Store, between?: (piece: number) => Promise<unknown>): Promise<Taken> {
  let summary: BackupSummary | undefined;
  const pieces: Bytes[] = [];
  const stream = store.backup((end) => summary = end);
  for await (const piece of stream) {
    pieces.push(piece);
    await between?.(pieces.length);
  }
  assert(summary !== undefined);
  return { pieces, summary };
}

/** Gives its bytes in odd pieces, as a pipe does. */
function source(all: Bytes): BackupSource {
  let at = 0;
  return {
    read(into) {
      const count = Math.min(into.length, all.length - at, 7_001);
      into.set(all.subarray(at, at + count));
      at += count;
      return Promise.resolve(count === 0 ? null : count);
    },
  };
}

/** What the operator's answer brings: the KEK, by the recovery path. */
async function kekOf(keyring: Bytes): Promise<Bytes> {
  const attester = {
    attest: (reportData: Bytes) =>
      Promise.resolve({ mediaType: "application/test", data: reportData, endorsements: [] }),
  };
  const { request, ephemeralPrivateKey } = await createRecoveryRequest(keyring, attester);
  const response = await rewrapForRecovery(request, operator);
  return await acceptRecovery(request, response, ephemeralPrivateKey);
}

async function restored(all: Bytes, path: string): Promise<RestoredStore> {
  const reader = new BackupReader(source(all));
  const header = await reader.header();
  const { aead, clock } = testStoreOptions();
  return await restoreStore({
    reader,
    header,
    kek: await kekOf(header.keyring),
    path,
    aead,
    sealer: elsewhere,
    sealPolicy: "measurement",
    clock,
    random,
  });
}

async function inFolder(body: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(`${folder}/store.sqlite`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function reopen(path: string, overrides: Parameters<typeof openTestStore>[0] = {}): Promise<Store> {
  return openStore(testStoreOptions({
    log: openSqliteLog({ path }),
    sealer: elsewhere,
    mode: "open",
    ...overrides,
  }));
}

Deno.test("restoreStore() brings back what backup() saw, under a new incarnation and new secrets", async () => {
  await inFolder(async (path) => {
    await using store = await openBackedUp();
    for (let i = 0; i < 30; i++) await commit(store, put("etcd", `k${i % 7}`, `v${i}`));
    await commit(store, put("k8s", "object", "o"), put("system", "worker", "w"));
    const { pieces, summary } = await take(store);
    const made = await restored(concatBytes(...pieces), path);
    assertEquals(made.sequence, summary.sequence);
    assertEquals(made.revisions, summary.revisions);
    assertEquals(made.records, summary.records);
    assertEquals(made.takenAtMs, 1_790_000_000_000);
    assertEquals(summary.bytes, pieces.reduce((sum, piece) => sum + piece.length, 0));
    await using back = await reopen(path);
    for (const keyspace of ["etcd", "k8s", "system"] as const) {
      assertEquals(await listing(back, keyspace), await listing(store, keyspace));
    }
    assertEquals(await listing(back, "etcd", 20), await listing(store, "etcd", 20));
    assertEquals(back.storeId, store.storeId);
    assertEquals(back.head().sequence, summary.sequence + 2n);
    assertNotEquals(back.incarnation, store.incarnation);
    for (const purpose of ["identity", "tls", "session-token", "admin-token"] as const) {
      assertNotEquals(await back.secret(purpose), await store.secret(purpose), purpose);
    }
    assertEquals(await back.secret("etcd-ca"), await store.secret("etcd-ca"));
    await commit(back, put("etcd", "after", "x"));
    assertEquals(await back.verify(), back.stats().liveRecords);
  });
});

Deno.test("backup() under write load stands for the one state that its end names", async () => {
  await inFolder(async (path) => {
    await using store = await openBackedUp();
    const value = "x".repeat(3_000);
    for (let i = 0; i < 900; i++) await commit(store, put("k8s", `k${i}`, `${i}${value}`));
    const states = new Map<bigint, readonly [string[], string[]]>();
    const note = async () =>
      states.set(store.head().sequence, [
        await listing(store, "etcd"),
        await listing(store, "system"),
      ]);
    await note();
    let written = 0;
    const { pieces, summary } = await take(store, async () => {
      if (written >= 8) return;
      for (let i = 0; i < 3; i++) {
        // Overwritten at once in system: told, then gone.
        await commit(
          store,
          put("system", `lane${i}`, `${written}`),
          put("etcd", "k", `${written++}`),
        );
        await note();
      }
      await commit(store, put("k8s", `k${written}`, "compacted"));
      await store.compact("k8s", store.revision("k8s"));
      await note();
    });
    assert(pieces.length > 4, "too few pieces to write between them");
    await restored(concatBytes(...pieces), path);
    await using back = await reopen(path);
    // What compaction does afterwards has sequence numbers, too, and changes nothing that is seen.
    const seen = [...states].findLast(([sequence]) => sequence <= summary.sequence)?.[1];
    assert(seen !== undefined, "the backup stands for no state that there was");
    assertEquals([await listing(back, "etcd"), await listing(back, "system")], [...seen]);
    assertEquals(await listing(back, "k8s"), await listing(store, "k8s"));
  });
});

Deno.test("backup() refuses a store that nobody could restore, and a closed one", async () => {
  const store = await openTestStore();
  const refusal = await assertRejects(() => take(store), StoreError);
  assertEquals(refusal.code, "no_recovery_key");
  assertEquals(store.failure, undefined);
  await store[Symbol.asyncDispose]();
  assertEquals((await assertRejects(() => take(store), StoreError)).code, "closed");
});

Deno.test("backup() of a disk that lies stops the store", async () => {
  const medium = createMemoryMedium();
  await using store = await openBackedUp(medium);
  await commit(store, put("etcd", "k", "v"));
  const [position, record] = [...medium.records].at(-1)!;
  record[80]! ^= 1;
  medium.records.set(position, record);
  const refusal = await assertRejects(() => take(store), StoreError);
  assertEquals(refusal.code, "record_altered");
  assertEquals(store.failure?.code, "record_altered");
});

Deno.test("backup() of a log that lost a record stops the store", async () => {
  const medium = createMemoryMedium();
  await using store = await openBackedUp(medium);
  await commit(store, put("etcd", "k", "v"));
  medium.records.delete([...medium.records.keys()].at(-1)!);
  assertEquals((await assertRejects(() => take(store), StoreError)).code, "record_missing");
  assertEquals(store.failure?.code, "record_missing");
});

Deno.test("restoreStore() refuses a backup with any byte changed, cut, joined or moved, and makes no store of it", async () => {
  await using store = await openBackedUp();
  // Three chunks, so that they can change places.
  for (let i = 0; i < 600; i++) await commit(store, put("etcd", `k${i}`, "v"));
  const { pieces } = await take(store);
  const { pieces: others } = await take(store);
  const all = concatBytes(...pieces);
  assert(pieces.length >= 4, "too few chunks");
  const flipped = (at: number) => {
    const copy = all.slice();
    copy[at]! ^= 1;
    return copy;
  };
  const [header, first, second, ...rest] = pieces;
  const starts = pieces.map((_, i) => pieces.slice(0, i).reduce((sum, one) => sum + one.length, 0));
  const altered: Readonly<Record<string, Bytes>> = {
    "nothing": new Uint8Array(0),
    "another file": new Uint8Array(4_000),
    "the header only": header!,
    "cut within a chunk": all.slice(0, all.length - 5),
    "cut between two chunks": concatBytes(...pieces.slice(0, -1)),
    "two chunks changed places": concatBytes(header!, second!, first!, ...rest),
    "a chunk left out": concatBytes(header!, second!, ...rest),
    "a chunk repeated": concatBytes(header!, first!, first!, second!, ...rest),
    "a chunk of another backup": concatBytes(header!, others[1]!, second!, ...rest),
    "its end from another backup": concatBytes(...pieces.slice(0, -1), others.at(-1)!),
    "something behind it": concatBytes(all, new Uint8Array(1)),
    "a length": flipped(starts[1]!),
    "the last byte of a length": flipped(starts[1]! + 3),
    "a mark of the last chunk": flipped(starts[1]! + 4),
    "the mark of the last chunk gone": flipped(starts.at(-1)! + 4),
    "the sequence at its end": flipped(starts.at(-1)! + 12),
    "the time at its end": flipped(starts.at(-1)! + 28),
    "the salt": flipped(40),
    "the key ring": flipped(header!.length - 1),
    "a chunk": flipped(starts[2]! + 1_000),
    "the last byte": flipped(all.length - 1),
  };
  for (const [what, bytes] of Object.entries(altered)) {
    await inFolder(async (path) => {
      const refusal = await assertRejects(() => restored(bytes, path), StoreError, "", what);
      assert(["backup_altered", "keyring_altered"].includes(refusal.code), `${what}: ${refusal}`);
      const opened = await assertRejects(() => reopen(path), StoreError, "", what);
      assert(["keyring_missing", "head_mismatch"].includes(opened.code), `${what}: ${opened}`);
    });
  }
});

Deno.test("restoreStore() takes a backup as etcd's clients get it, and refuses a wrong digest", async () => {
  await using store = await openBackedUp();
  await commit(store, put("etcd", "k", "v"));
  const framing = new EtcdFraming();
  const { pieces } = await take(store);
  for (const piece of pieces) framing.add(piece);
  const framed = concatBytes(...pieces, framing.end());
  assertEquals(framed.length % 512, 32);
  await inFolder(async (path) => {
    await restored(framed, path);
    await using back = await reopen(path);
    assertEquals(await listing(back, "etcd"), ["k=v"]);
  });
  framed[framed.length - 1]! ^= 1;
  await inFolder(async (path) => {
    const refusal = await assertRejects(() => restored(framed, path), StoreError);
    assertEquals(refusal.code, "backup_altered");
  });
});

Deno.test("a backup shows no key name, no value, and not how many records it has beside its trailer", async () => {
  await using store = await openBackedUp();
  await commit(store, put("etcd", "very-secret-name", "very-secret-value"));
  const { pieces } = await take(store);
  const shown = new TextDecoder("latin1").decode(concatBytes(...pieces.slice(1)));
  assert(!shown.includes("very-secret"));
  assert(!shown.includes(new TextDecoder("latin1").decode(store.storeId)));
});

Deno.test("standingStore() and hasAllOf() tell an ancestor from a newer store and from a fork", async () => {
  const medium = createMemoryMedium();
  const { aead } = testStoreOptions();
  const made = await openBackedUp(medium);
  await commit(made, put("etcd", "k", "1"));
  const older = structuredClone(medium);
  await commit(made, put("etcd", "k", "2"));
  const { pieces } = await take(made);
  const kek = await kekOf(medium.keyring!);
  await commit(made, put("etcd", "k", "3"));
  await made[Symbol.asyncDispose]();
  await inFolder(async (path) => {
    const back = await restored(concatBytes(...pieces), path);
    const stands = async (of: MemoryMedium) => {
      await using log = createMemoryLog(of);
      const standing = await standingStore(log, aead, { kek });
      return standing.kind === "same" ? hasAllOf(back, standing.head) : standing.kind;
    };
    assertEquals(await stands(createMemoryMedium()), "none");
    assertEquals(await stands(older), true);
    assertEquals(await stands(medium), false);
    // Another run of the older copy: as far, but another history.
    await using forked = await openBackedUp(older);
    await commit(forked, put("etcd", "k", "fork"));
    assertEquals(await stands(older), false);
    const other = createMemoryMedium();
    await using _other = await openBackedUp(other);
    assertEquals(await stands(other), "other");
    assertEquals(await stands({ ...older, head: bytes("no head") }), "unreadable");
  });
});

Deno.test("standingStore() tells by this TEE's sealer how far a store got, where this TEE made it", async () => {
  const medium = createMemoryMedium();
  const { aead, sealer } = testStoreOptions();
  const made = await openBackedUp(medium);
  await commit(made, put("etcd", "k", "1"));
  const { storeId } = made;
  const { sequence } = made.head();
  await made[Symbol.asyncDispose]();
  const stands = async (key: Parameters<typeof standingStore>[2], of = medium) => {
    await using log = createMemoryLog(of);
    return await standingStore(log, aead, key);
  };
  const standing = await stands({ sealer, storeId });
  assert(standing.kind === "same");
  assertEquals(BigInt(standing.head.sequence), sequence);
  assertEquals((await stands({ sealer, storeId: random(16) })).kind, "other");
  // Another TEE, or one without a sealing key: the recovery key tells later.
  assertEquals((await stands({ sealer: elsewhere, storeId })).kind, "sealed");
  assertEquals((await stands({ sealer: undefined, storeId })).kind, "sealed");
  assertEquals((await stands({ sealer, storeId }, createMemoryMedium())).kind, "none");
  const damaged = { ...medium, keyring: bytes("no key ring") };
  assertEquals((await stands({ sealer, storeId }, damaged)).kind, "unreadable");
});

Deno.test("a backup whose key ring is damaged, or another store's, says so in words of its own", async () => {
  await using store = await openBackedUp();
  const { pieces: [header] } = await take(store);
  const refusal = (from: string, to: string) => {
    const at = new TextDecoder("latin1").decode(header).indexOf(from);
    const damaged = header!.slice();
    damaged.set(bytes(to), at);
    return assertRejects(() => new BackupReader(source(damaged)).header(), StoreError);
  };
  const noJson = await refusal('{"format"', "{\0format\0");
  assertEquals(noJson.code, "backup_altered");
  assertEquals(
    noJson.message,
    "the backup is not what was written: its key ring is damaged: the keyring is not what this " +
      "program wrote: its body is not JSON",
  );
  assertEquals(noJson.cause, undefined);
  const id = store.storeId.toHex();
  const foreign = await refusal(id, "0".repeat(32));
  assertEquals(
    foreign.message,
    `the backup is not what was written: its key ring is of the store ${"0".repeat(32)}, its ` +
      `header of ${id}`,
  );
});

Deno.test("a restored store begins without the anchor of the one that was, which refuses it", async () => {
  await inFolder(async (path) => {
    const anchors = (name: string) => ({ anchors: { records: [fileAnchor(`${path}.${name}`)] } });
    const store = await openTestStore({
      ...anchors("old"),
      recoveryKeys: [operator.publicKey],
    });
    await commit(store, put("etcd", "k", "1"));
    const { pieces } = await take(store);
    await commit(store, put("etcd", "k", "2"));
    await store[Symbol.asyncDispose]();
    await restored(concatBytes(...pieces), path);
    const refusal = await assertRejects(() => reopen(path, anchors("old")), StoreError);
    assertEquals(refusal.code, "rollback");
    for (let start = 0; start < 2; start++) {
      await using back = await reopen(path, anchors("new"));
      assertEquals(await listing(back, "etcd"), ["k=1"]);
      assertEquals(back.stats().freshness.protection, "accident");
    }
    // From then on it is wanted.
    assertEquals((await assertRejects(() => reopen(path), StoreError)).code, "rollback");
  });
});

Deno.test("backup() while keys are rotated: what it holds is restored, and its rotation goes on there", async () => {
  await inFolder(async (path) => {
    await using store = await openBackedUp();
    for (let i = 0; i < 400; i++) await commit(store, put("etcd", `k${i}`, `v${i}`.repeat(200)));
    const expected = await listing(store, "etcd");
    await store.rotateKeys();
    const { pieces } = await take(store);
    await store.rotationFinished();
    await restored(concatBytes(...pieces), path);
    await using back = await reopen(path);
    assertEquals(await listing(back, "etcd"), expected);
    await back.rotationFinished();
    await back.verify();
    assertEquals(back.keyStatus().deks.map(({ id, state }) => [id, state]), [[2, "active"]]);
    assertEquals(await listing(back, "etcd"), expected);
  });
});
