/** Random histories against a model that is too simple to be wrong. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { bytes, openTestStore, text } from "../tests/fakes/test_store.ts";
import { webCryptoAead } from "./aead/webcrypto.ts";
import { StoreError } from "./errors.ts";
import { createMemoryLog, createMemoryMedium } from "./logs/memory.ts";
import type { KeyspaceName, KeyValue, Operation, Store } from "./types.ts";

interface ModelVersion {
  readonly key: string;
  readonly value: string | undefined;
  readonly revision: number;
  readonly created: number;
  readonly version: number;
}

/** Every version ever, in order; answers by filtering. */
class Model {
  versions: ModelVersion[] = [];
  revision = 1;
  compacted = 0;

  at(revision: number): ModelVersion[] {
    const newest = new Map<string, ModelVersion>();
    for (const version of this.versions) {
      if (version.revision <= revision) newest.set(version.key, version);
    }
    return [...newest.values()].filter((one) => one.value !== undefined)
      .sort((a, b) => a.key < b.key ? -1 : 1);
  }

  apply(changes: readonly { key: string; value: string | undefined }[]): void {
    const before = new Map(this.at(Infinity).map((one) => [one.key, one]));
    const real = changes.filter(({ key, value }) => value !== undefined || before.has(key));
    if (real.length === 0) return;
    this.revision++;
    for (const { key, value } of real) {
      const previous = before.get(key);
      this.versions.push({
        key,
        value,
        revision: this.revision,
        created: value === undefined ? 0 : previous?.created ?? this.revision,
        version: value === undefined ? 0 : (previous?.version ?? 0) + 1,
      });
    }
  }
}

const KEYSPACE_NAMES: readonly KeyspaceName[] = ["system", "k8s", "etcd"];
type Models = Readonly<Record<KeyspaceName, Model>>;

const keyspace = fc.constantFrom(...KEYSPACE_NAMES);
const key = fc.constantFrom("a", "a/1", "a/2", "b", "b/\u0001", "c");
const value = fc.string({ maxLength: 12 });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant("txn" as const),
      changes: fc.uniqueArray(
        fc.record({ keyspace, key, value: fc.option(value, { nil: undefined }) }),
        {
          selector: (one) => `${one.keyspace} ${one.key}`,
          minLength: 1,
          maxLength: 4,
        },
      ),
      alone: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("compact" as const),
      keyspace: fc.constantFrom<KeyspaceName>("k8s", "etcd"),
      back: fc.nat(6),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ type: "reopen" as const }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("rotate" as const), wait: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ type: "check" as const }) },
);

const shownKv = (kv: KeyValue) => [
  text(kv.key),
  text(kv.value),
  kv.createRevision,
  kv.modRevision,
  kv.version,
];

async function checkAgainst(store: Store, models: Models): Promise<void> {
  for (const name of KEYSPACE_NAMES) {
    const model = models[name];
    assertEquals(store.revision(name), model.revision);
    const oldest = name === "system" ? model.revision : Math.max(1, model.compacted);
    for (let revision = oldest; revision <= model.revision; revision++) {
      const { kvs, count } = await store.range(name, {
        key: bytes("\0"),
        rangeEnd: bytes("\0"),
        revision,
      });
      const expected = model.at(revision);
      assertEquals(count, expected.length);
      assertEquals(
        kvs.map(shownKv),
        expected.map((one) => [one.key, one.value, one.created, one.revision, one.version]),
      );
    }
    if (name !== "system") await checkWatch(store, name, model, oldest);
  }
}

async function checkWatch(
  store: Store,
  name: KeyspaceName,
  model: Model,
  oldest: number,
): Promise<void> {
  const expected = model.versions.filter((one) =>
    one.revision >= oldest && one.key >= "a/" && one.key < "b0"
  );
  using watcher = store.watch(name, {
    key: bytes("a/"),
    rangeEnd: bytes("b0"),
    startRevision: oldest,
  });
  const seen: unknown[] = [];
  if (expected.length > 0) {
    for await (const batch of watcher) {
      for (const { type, kv } of batch.events) {
        assertEquals(kv.modRevision, batch.revision);
        seen.push([batch.revision, text(kv.key), type === "put" ? text(kv.value) : undefined]);
      }
      if (seen.length >= expected.length) break;
    }
  }
  assertEquals(seen, expected.map((one) => [one.revision, one.key, one.value]));
}

async function play(
  steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
  cacheBytes: number,
  maxInFlight: number,
  reference: boolean,
): Promise<void> {
  const medium = createMemoryMedium();
  const open = () =>
    openTestStore({
      log: createMemoryLog(medium),
      cacheBytes,
      maxInFlight,
      checkpointFacts: 4,
      recordKeyLimit: 40,
      // Turn by turn with the transactions.
      pacer: { now: () => 0, pause: () => Promise.resolve() },
      ...(reference ? { aead: webCryptoAead() } : {}),
    });
  let store = await open();
  const models: Models = { system: new Model(), k8s: new Model(), etcd: new Model() };
  const running: Promise<unknown>[] = [];
  for (const one of steps) {
    switch (one.type) {
      case "txn": {
        const operations = one.changes.map((change): Operation =>
          change.value === undefined
            ? { type: "delete", keyspace: change.keyspace, key: bytes(change.key) }
            : {
              type: "put",
              keyspace: change.keyspace,
              key: bytes(change.key),
              value: bytes(change.value),
            }
        );
        running.push(store.txn({ compare: [], success: operations, failure: [] }));
        for (const name of KEYSPACE_NAMES) {
          models[name].apply(one.changes.filter((change) => change.keyspace === name));
        }
        if (one.alone) await Promise.all(running.splice(0));
        break;
      }
      case "compact": {
        await Promise.all(running.splice(0));
        const model = models[one.keyspace];
        const revision = model.revision - one.back;
        if (revision < 1 || revision <= model.compacted) continue;
        await store.compact(one.keyspace, revision);
        model.compacted = revision;
        break;
      }
      case "rotate":
        await store.rotateKeys();
        if (one.wait) {
          await Promise.all(running.splice(0));
          await store.rotationFinished();
          assertEquals(store.keyStatus().deks.length, 1);
        }
        break;
      case "reopen":
        await store[Symbol.asyncDispose]();
        await Promise.all(running.splice(0));
        store = await open();
        break;
      case "check":
        await Promise.all(running.splice(0));
        await checkAgainst(store, models);
        break;
    }
  }
  await Promise.all(running);
  await checkAgainst(store, models);
  await store[Symbol.asyncDispose]();
  store = await open();
  await checkAgainst(store, models);
  await store.rotationFinished();
  await store.verify();
  await checkAgainst(store, models);
  await store[Symbol.asyncDispose]();
}

Deno.test("a store does what its model does, whatever the history", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 40 }),
      fc.constantFrom(0, 600, 1 << 20),
      fc.constantFrom(1, 2, 3),
      fc.boolean(),
      play,
    ),
    { numRuns: Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 2000 : 60 },
  );
});

Deno.test("compact() below an earlier compaction is refused whatever came between", async () => {
  await using store = await openTestStore();
  for (let i = 0; i < 5; i++) {
    await store.txn({
      compare: [],
      success: [{ type: "put", keyspace: "k8s", key: bytes("k"), value: bytes(`${i}`) }],
      failure: [],
    });
  }
  await store.compact("k8s", 5);
  for (const revision of [1, 4, 5]) {
    const error = await store.compact("k8s", revision).then(() => undefined, (e) => e);
    assertEquals(error instanceof StoreError && error.code, "compacted");
  }
});
