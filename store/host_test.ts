/**
 * Plays the host: between runs of the store it may edit, cut, replay, mix, copy and fork what is on
 * the medium. Detected must be everything but a whole older state, and that where an anchor is newer.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { createTestSealer } from "../tests/fakes/test_sealer.ts";
import { bytes, commit, listing, openTestStore, put } from "../tests/fakes/test_store.ts";
import type { Bytes } from "../backends/mod.ts";
import type { AnchorOptions, RecordAnchor } from "./anchor.ts";
import { equalBytes } from "./bytes.ts";
import { StoreError, type StoreErrorCode } from "./errors.ts";
import type { DurableLog } from "./log.ts";
import { createMemoryLog, createMemoryMedium, type MemoryMedium } from "./logs/memory.ts";
import type { KeyspaceName, Store } from "./types.ts";

const NIGHTLY = Deno.env.get("NAUTILUS_NIGHTLY") === "1";

/** What an integrity refusal may say. */
const REFUSALS: ReadonlySet<StoreErrorCode> = new Set<StoreErrorCode>([
  "keyring_missing",
  "keyring_altered",
  "keyring_sealed_elsewhere",
  "foreign_record",
  "record_altered",
  "record_missing",
  "head_mismatch",
  "format",
]);

function copy(medium: MemoryMedium): MemoryMedium {
  return {
    records: new Map(medium.records),
    checkpoint: new Map(medium.checkpoint),
    head: medium.head,
    keyring: medium.keyring,
  };
}

/** The content as text, in an order of its own: equal where every byte is. */
function fingerprint(medium: MemoryMedium, withCheckpoint = false): string {
  const records = [...medium.records].sort(([a], [b]) => a - b);
  return JSON.stringify([
    records.map(([position, record]) => [position, record.toHex()]),
    medium.head?.toHex(),
    medium.keyring?.toHex(),
    // Chunks of the checkpoint may be missing: they only save time.
    withCheckpoint && [...medium.checkpoint].map(([chunk, bytes]) => [chunk, bytes.toHex()]),
  ]);
}

/** A medium that remembers every state that was durable. */
class Host {
  medium = createMemoryMedium();
  states: MemoryMedium[] = [];

  log(): DurableLog {
    const inner = createMemoryLog(this.medium);
    return {
      name: "host",
      start: () => inner.start(),
      append: async (append) => {
        await inner.append(append);
        this.states.push(copy(this.medium));
      },
      replay: (from) => inner.replay(from),
      read: (positions) => inner.read(positions),
      checkpoint: () => inner.checkpoint(),
      tags: (from) => inner.tags(from),
      copy: () => inner.copy(),
      size: () => inner.size(),
      reclaim: () => inner.reclaim(),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
  }
}

/** An anchor out of the host's reach. */
class TestAnchor implements RecordAnchor {
  readonly name = "test anchor";
  readonly protection = "host";
  bytes: Bytes | undefined;

  read(): Promise<Bytes | undefined> {
    return Promise.resolve(this.bytes);
  }

  compareAndSet(expected: Bytes | undefined, next: Bytes): Promise<boolean> {
    const same = this.bytes === undefined || expected === undefined
      ? this.bytes === expected
      : equalBytes(this.bytes, expected);
    if (!same) return Promise.resolve(false);
    this.bytes = next;
    return Promise.resolve(true);
  }
}

/** How many states the anchor has seen: the sequence number stands in the head's header and in the anchor. */
function anchoredStates(anchor: TestAnchor, states: readonly MemoryMedium[]): number {
  if (anchor.bytes === undefined) return 0;
  const anchored = new DataView(anchor.bytes.buffer).getBigUint64(32);
  return states.findLastIndex(({ head }) =>
    new DataView(head!.buffer).getBigUint64(40) <= anchored
  ) + 1;
}

const keyspace = fc.constantFrom<KeyspaceName>("system", "k8s", "etcd");
const key = fc.constantFrom("a", "b", "c", "d");

const work = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constant("put" as const), keyspace, key, value: fc.string() }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("delete" as const), keyspace, key }) },
  { weight: 1, arbitrary: fc.constant({ type: "compact" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "restart" as const }) },
  // Begun, and left running behind what follows; or waited for.
  { weight: 1, arbitrary: fc.record({ type: fc.constant("rotate" as const), wait: fc.boolean() }) },
);
type Work = typeof work extends fc.Arbitrary<infer T> ? T : never;

/** Edits of the medium. Numbers are taken modulo what is there. */
const edit = fc.oneof(
  fc.record({ type: fc.constant("flip" as const), which: fc.nat(), bit: fc.nat() }),
  fc.record({ type: fc.constant("flip head" as const), bit: fc.nat() }),
  fc.record({ type: fc.constant("flip keyring" as const), bit: fc.nat() }),
  fc.record({
    type: fc.constant("cut" as const),
    which: fc.nat(),
    bytes: fc.integer({ min: 1, max: 200 }),
  }),
  fc.record({ type: fc.constant("remove" as const), which: fc.nat() }),
  fc.record({ type: fc.constant("swap" as const), which: fc.nat(), other: fc.nat() }),
  fc.record({ type: fc.constant("repeat" as const), which: fc.nat(), at: fc.nat() }),
  fc.record({ type: fc.constant("bring back" as const), state: fc.nat(), which: fc.nat() }),
  fc.record({ type: fc.constant("old head" as const), state: fc.nat() }),
  fc.record({ type: fc.constant("old whole" as const), state: fc.nat() }),
  fc.record({ type: fc.constant("flip chunk" as const), which: fc.nat(), bit: fc.nat() }),
  fc.record({ type: fc.constant("remove chunk" as const), which: fc.nat() }),
  fc.record({ type: fc.constant("old chunk" as const), state: fc.nat(), which: fc.nat() }),
  fc.record({ type: fc.constant("foreign" as const), which: fc.nat(), at: fc.nat() }),
  fc.record({
    type: fc.constantFrom(
      "no head" as const,
      "no keyring" as const,
      "no records" as const,
      "foreign head" as const,
      "foreign keyring" as const,
    ),
  }),
);
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

function flipped(bytes: Bytes, bit: number): Bytes {
  const out = bytes.slice();
  out[(bit >> 3) % out.length]! ^= 1 << (bit & 7);
  return out;
}

function pick<T>(items: readonly T[], number: number): T | undefined {
  return items[number % Math.max(1, items.length)];
}

function tamper(
  medium: MemoryMedium,
  step: Edit,
  states: readonly MemoryMedium[],
  foreign: MemoryMedium,
): MemoryMedium {
  const { records } = medium;
  const positions = [...records.keys()];
  switch (step.type) {
    case "flip": {
      const at = pick(positions, step.which);
      if (at !== undefined) records.set(at, flipped(records.get(at)!, step.bit));
      break;
    }
    case "cut": {
      const at = pick(positions, step.which);
      if (at !== undefined) records.set(at, records.get(at)!.slice(0, -step.bytes));
      break;
    }
    case "flip head":
      if (medium.head !== undefined) medium.head = flipped(medium.head, step.bit);
      break;
    case "flip keyring":
      if (medium.keyring !== undefined) medium.keyring = flipped(medium.keyring, step.bit);
      break;
    case "remove": {
      const at = pick(positions, step.which);
      if (at !== undefined) records.delete(at);
      break;
    }
    case "swap": {
      const a = pick(positions, step.which);
      const b = pick(positions, step.other);
      if (a === undefined || b === undefined) break;
      const held = records.get(a)!;
      records.set(a, records.get(b)!);
      records.set(b, held);
      break;
    }
    case "repeat": {
      const from = pick(positions, step.which);
      if (from !== undefined) records.set(step.at % 200, records.get(from)!);
      break;
    }
    case "bring back": {
      const state = pick(states, step.state)!;
      const from = pick([...state.records], step.which);
      if (from !== undefined) records.set(...from);
      break;
    }
    case "old head":
      medium.head = pick(states, step.state)!.head;
      break;
    case "flip chunk": {
      const at = pick([...medium.checkpoint.keys()], step.which);
      if (at === undefined) break;
      medium.checkpoint.set(at, flipped(medium.checkpoint.get(at)!, step.bit));
      break;
    }
    case "remove chunk": {
      const at = pick([...medium.checkpoint.keys()], step.which);
      if (at !== undefined) medium.checkpoint.delete(at);
      break;
    }
    case "old chunk": {
      const from = pick([...pick(states, step.state)!.checkpoint], step.which);
      if (from !== undefined) medium.checkpoint.set(...from);
      break;
    }
    case "old whole":
      return copy(pick(states, step.state)!);
    case "foreign": {
      const from = pick([...foreign.records.values()], step.which)!;
      records.set(step.at % 200, from);
      break;
    }
    case "no head":
      medium.head = undefined;
      break;
    case "no keyring":
      medium.keyring = undefined;
      break;
    case "no records":
      records.clear();
      break;
    case "foreign head":
      medium.head = foreign.head;
      break;
    case "foreign keyring":
      medium.keyring = foreign.keyring;
      break;
  }
  return medium;
}

async function perform(store: Store, step: Exclude<Work, { type: "restart" }>): Promise<void> {
  switch (step.type) {
    case "put":
      await commit(store, put(step.keyspace, step.key, step.value));
      break;
    case "delete":
      await commit(store, { type: "delete", keyspace: step.keyspace, key: bytes(step.key) });
      break;
    case "compact":
      if (store.revision("etcd") > store.compactedRevision("etcd")) {
        await store.compact("etcd", store.revision("etcd"));
      }
      break;
    case "rotate":
      await store.rotateKeys();
      if (step.wait) await store.rotationFinished();
      break;
  }
}

async function foreignMedium(): Promise<MemoryMedium> {
  const medium = createMemoryMedium();
  await using store = await openTestStore({ log: createMemoryLog(medium) });
  for (let i = 0; i < 5; i++) await commit(store, put("etcd", `f${i}`, "foreign"));
  return medium;
}

async function contents(store: Store): Promise<unknown> {
  return [
    await listing(store, "system"),
    await listing(store, "k8s"),
    await listing(store, "etcd"),
  ];
}

async function play(
  history: readonly Work[],
  edits: readonly Edit[],
  anchored: boolean,
  full: boolean,
  foreign: MemoryMedium,
): Promise<void> {
  const host = new Host();
  const anchor = new TestAnchor();
  const anchors: AnchorOptions = anchored ? { records: [anchor], everyCommits: 3 } : {};
  const open = () => openTestStore({ log: host.log(), anchors, checkpointFacts: 3 });
  let store = await open();
  for (const step of history) {
    if (step.type === "restart") {
      await store[Symbol.asyncDispose]();
      store = await open();
    } else {
      await perform(store, step);
    }
  }
  // The power fails here: nothing is closed, so the anchor may be behind.
  const expected = await contents(store);
  const states = host.states.slice();
  const known = states.map((one) => fingerprint(one));
  const seen = new TestAnchor();
  seen.bytes = anchor.bytes;
  const seenStates = anchoredStates(seen, states);
  let medium = copy(states.at(-1)!);
  await store[Symbol.asyncDispose]();

  for (const step of edits) medium = tamper(medium, step, states, foreign);
  const before = fingerprint(medium, true);
  const state = known.lastIndexOf(fingerprint(medium));
  const chunksWhole = state >= 0 && [...medium.checkpoint].every(([chunk, bytes]) => {
    const was = states[state]!.checkpoint.get(chunk);
    return was !== undefined && equalBytes(was, bytes);
  });
  const nothing = medium.head === undefined && medium.keyring === undefined &&
    medium.records.size === 0 && medium.checkpoint.size === 0;
  const opened = await settle(openTestStore({
    log: createMemoryLog(medium),
    checkpointFacts: 3,
    verify: full ? "full" : "index",
    anchors: anchored ? { records: [seen] } : {},
  }));
  const refusal = opened instanceof StoreError ? opened : undefined;
  try {
    if (refusal !== undefined) {
      assertEquals(fingerprint(medium, true), before, "a refused opening changed the medium");
    }
    if (nothing) {
      // A new store is made in an empty folder, unless an anchor knows better.
      assertEquals(refusal?.code, anchored ? "rollback" : undefined);
    } else if (state < 0) {
      if (!full && !(opened instanceof StoreError)) {
        // Altered beneath a tag that the checkpoint knows: told as soon as it is read.
        const lie = await assertRejects(() => opened.verify(), StoreError);
        assert(REFUSALS.has(lie.code), lie.message);
        assertEquals(opened.failure?.code, lie.code);
        return;
      }
      assert(refusal !== undefined, "an altered medium was opened");
      assert(
        REFUSALS.has(refusal.code) || (anchored && refusal.code === "rollback"),
        `refused with ${refusal.code}: ${refusal.message}`,
      );
    } else if (anchored && state + 1 < seenStates) {
      assert(refusal !== undefined, "an older state was opened in spite of its anchor");
      // A chunk of another state may be told first.
      if (chunksWhole) assertEquals(refusal.code, "rollback");
    } else if (chunksWhole) {
      assertEquals(refusal, undefined);
    } else if (refusal !== undefined) {
      // An altered chunk is refused, an old one may be: it says what was true then.
      assert(REFUSALS.has(refusal.code), `refused with ${refusal.code}: ${refusal.message}`);
    }
    if (state === known.length - 1 && !(opened instanceof StoreError)) {
      assertEquals(await contents(opened), expected);
    }
  } finally {
    if (!(opened instanceof StoreError)) await opened[Symbol.asyncDispose]();
  }
}

async function settle(opening: Promise<Store>): Promise<Store | StoreError> {
  try {
    return await opening;
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
}

Deno.test("whatever the host does to the medium is refused, but for a whole older state without an anchor", async () => {
  const foreign = await foreignMedium();
  await fc.assert(
    fc.asyncProperty(
      fc.array(work, { minLength: 1, maxLength: 25 }),
      fc.array(edit, { maxLength: 3 }),
      fc.boolean(),
      fc.boolean(),
      (history, edits, anchored, full) => play(history, edits, anchored, full, foreign),
    ),
    { numRuns: NIGHTLY ? 20_000 : 400 },
  );
});

async function filled(): Promise<MemoryMedium> {
  const medium = createMemoryMedium();
  await using store = await openTestStore({ log: createMemoryLog(medium) });
  for (let i = 0; i < 6; i++) {
    await commit(store, put("etcd", "a", `${i}`), put("k8s", "b", `${i}`));
  }
  await commit(store, put("system", "s", "1"));
  return medium;
}

async function refusal(
  medium: MemoryMedium,
  overrides: Parameters<typeof openTestStore>[0] = {},
): Promise<StoreError> {
  return await assertRejects(
    () => openTestStore({ log: createMemoryLog(medium), ...overrides }),
    StoreError,
  );
}

Deno.test("each refusal says what and where", async () => {
  const whole = await filled();
  const cases: [string, (medium: MemoryMedium) => void, StoreErrorCode, RegExp][] = [
    [
      "a bit of a value",
      (m) => m.records.set(3, flipped(m.records.get(3)!, 8 * 90)),
      "record_altered",
      /position 3 \(sequence 3, index 0 of 2\) does not authenticate/,
    ],
    [
      "a removed record",
      (m) => m.records.delete(5),
      "record_missing",
      /1 of 14 records are missing.*version 3 of the key in record at position 7/,
    ],
    [
      "a moved record",
      (m) => m.records.set(5, m.records.get(3)!),
      "record_altered",
      /position 5 .*does not belong in its place, after .*position 4/,
    ],
    [
      "a record of another store",
      (m) => {
        const foreign = m.records.get(4)!.slice();
        foreign[8]! ^= 1;
        m.records.set(4, foreign);
      },
      "foreign_record",
      /position 4 belongs to another store/,
    ],
    ["no head", (m) => m.head = undefined, "head_mismatch", /head is missing/],
    ["no keyring", (m) => m.keyring = undefined, "keyring_missing", /no keyring/],
    [
      "an altered keyring",
      (m) => m.keyring = flipped(m.keyring!, 8 * (m.keyring!.length - 3)),
      "keyring_altered",
      /authentication code/,
    ],
    [
      "another format",
      (m) => {
        const record = m.records.get(2)!.slice();
        record[0] = 9;
        m.records.set(2, record);
      },
      "format",
      /position 2: format version 9/,
    ],
  ];
  for (const [name, attack, code, message] of cases) {
    const medium = copy(whole);
    attack(medium);
    const error = await refusal(medium);
    assertEquals(error.code, code, name);
    assert(message.test(error.message), `${name}: ${error.message}`);
    assert(error.hint !== undefined, `${name} has no hint`);
  }
});

Deno.test("a keyring sealed for another measurement or on another device is told apart", async () => {
  const whole = await filled();
  const cases = [
    [{ device: 1, measurement: 2 }, "measurement_mismatch"],
    [{ device: 2, measurement: 1 }, "foreign_device"],
  ] as const;
  for (const [tee, code] of cases) {
    const error = await refusal(copy(whole), { sealer: createTestSealer(tee) });
    assertEquals(error.code, "keyring_sealed_elsewhere");
    const cause: unknown = error.cause;
    assert(cause instanceof Error && "code" in cause);
    assertEquals(cause.code, code);
  }
});

Deno.test("a disk that starts to lie under the running store stops it", async () => {
  for (const lie of ["flip", "swap", "remove"] as const) {
    const medium = createMemoryMedium();
    await using store = await openTestStore({ log: createMemoryLog(medium), cacheBytes: 0 });
    for (let i = 0; i < 4; i++) await commit(store, put("etcd", `k${i}`, `value ${i}`));
    const [, first, second] = [...medium.records.keys()];
    if (lie === "remove") medium.records.delete(first!);
    else if (lie === "swap") medium.records.set(first!, medium.records.get(second!)!);
    else medium.records.set(first!, flipped(medium.records.get(first!)!, 700));
    const error = await assertRejects(() => listing(store, "etcd"), StoreError);
    assertEquals(error.code, lie === "remove" ? "record_missing" : "record_altered");
    assertEquals(store.failure, error);
    const refused = await assertRejects(() => commit(store, put("etcd", "x", "y")), StoreError);
    assertEquals(refused, error);
  }
});

Deno.test("two masters on copies of one directory: the second one is stopped by the anchor", async () => {
  const host = new Host();
  const anchor = new TestAnchor();
  const anchors: AnchorOptions = { records: [anchor], everyCommits: 2 };
  await (await openTestStore({ log: host.log(), anchors }))[Symbol.asyncDispose]();
  const fork = copy(host.medium);
  await using first = await openTestStore({ log: createMemoryLog(host.medium), anchors });
  await commit(first, put("etcd", "a", "first"));
  const refused = await refusal(fork, { anchors });
  assertEquals(refused.code, "rollback");
  // One that was already running when the other advanced the anchor.
  const running = copy(host.medium);
  await using second = await openTestStore({ log: createMemoryLog(running), anchors });
  for (let i = 0; i < 6; i++) await commit(first, put("etcd", "a", `${i}`)).catch(() => {});
  assertEquals(first.failure?.code, "anchor_conflict");
  await commit(second, put("etcd", "a", "second"));
});
