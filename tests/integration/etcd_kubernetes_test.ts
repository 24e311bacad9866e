/**
 * What a kube-apiserver does to its etcd: its four transaction shapes, lists in pages at one
 * revision, watches with previous values and progress, leases, all at once; and a check that
 * the history could have happened one operation at a time.
 */
import { assert, assertEquals } from "@std/assert";
import {
  CompactionRequest,
  CompactionResponse,
  Compare,
  DeleteRangeRequest,
  LeaseGrantRequest,
  LeaseGrantResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  TxnRequest,
  TxnResponse,
  WatchCreateRequest,
  WatchProgressRequest,
  WatchRequest,
  WatchResponse,
} from "../../api/etcd/messages.ts";
import type { EtcdClient } from "../etcd/client.ts";
import { type HistoryOperation, isLinearizable, type Model } from "../etcd/linearizability.ts";
import { type OwnEtcd, startOwnEtcd } from "../etcd/own.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const KV = "/etcdserverpb.KV/";

interface Held {
  readonly mod: number;
  readonly value: string;
}
type Input =
  | { readonly verb: "get" }
  | { readonly verb: "create"; readonly value: string }
  | { readonly verb: "update"; readonly expected: number; readonly value: string }
  | { readonly verb: "delete"; readonly expected: number };
/** `done` with the new revision, or what was there instead (undefined: nothing). */
type Output =
  | { readonly done: true; readonly revision: number }
  | { readonly done: false; readonly found: Held | undefined };

/** "Nothing": the modification revision of a key that is not there is 0. */
const ABSENT: Held = { mod: 0, value: "" };

/** One key of a kube-apiserver's storage. */
const MODEL: Model<Held, Input, Output> = {
  initial: ABSENT,
  key: (state) => `${state.mod}:${state.value}`,
  step(state, input, output) {
    const expected = input.verb === "create"
      ? 0
      : input.verb === "get"
      ? undefined
      : input.expected;
    if (output.done) {
      if (state.mod !== expected) return undefined;
      return input.verb === "create" || input.verb === "update"
        ? { mod: output.revision, value: input.value }
        : ABSENT;
    }
    const found = output.found ?? ABSENT;
    const same = state.mod === found.mod && state.value === found.value;
    return same && state.mod !== expected ? state : undefined;
  },
};

function guard(key: Uint8Array<ArrayBuffer>, modRevision: number): Compare {
  return Compare.of({ result: 0, target: 2, key, modRevision });
}

/** The shapes of the apiserver's etcd3 storage: create has no else, update and delete read what is there. */
async function send(client: EtcdClient, key: string, input: Input): Promise<Output> {
  const k = utf8(key);
  const get = RequestOp.of({ requestRange: RangeRequest.of({ key: k }) });
  if (input.verb === "get") {
    const answer = await client.call(KV + "Range", RangeRequest, RangeResponse, { key: k });
    assert(answer.ok);
    return { done: false, found: held(answer.value.kvs[0]) };
  }
  const operation = input.verb === "delete"
    ? RequestOp.of({ requestDeleteRange: DeleteRangeRequest.of({ key: k }) })
    : RequestOp.of({ requestPut: PutRequest.of({ key: k, value: utf8(input.value) }) });
  const answer = await client.call(KV + "Txn", TxnRequest, TxnResponse, {
    compare: [guard(k, input.verb === "create" ? 0 : input.expected)],
    success: [operation],
    failure: [get],
  });
  assert(answer.ok, answer.ok ? "" : answer.message);
  if (answer.value.succeeded) return { done: true, revision: answer.value.header!.revision };
  return { done: false, found: held(answer.value.responses[0]?.responseRange?.kvs[0]) };
}

function held(
  kv: { readonly modRevision: number; readonly value: Uint8Array } | undefined,
): Held | undefined {
  return kv === undefined ? undefined : { mod: kv.modRevision, value: text(kv.value) };
}

/** A small generator, so that a failure can be played again. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

const KEYS = ["/registry/pods/a", "/registry/pods/b", "/registry/pods/c"];

type Histories = Map<string, HistoryOperation<Input, Output>[]>;

function emptyHistories(): Histories {
  return new Map(KEYS.map((key) => [key, []]));
}

async function worker(
  own: OwnEtcd,
  seed: number,
  rounds: number,
  histories: Histories,
): Promise<void> {
  const client = await own.connect();
  const pick = random(seed);
  const known = new Map<string, number>();
  for (let i = 0; i < rounds; i++) {
    const key = KEYS[pick(KEYS.length)]!;
    const value = `${seed}/${i}`;
    const expected = known.get(key) ?? 0;
    const verb = expected === 0 ? pick(3) : 3 + pick(5);
    const input: Input = verb < 1
      ? { verb: "get" }
      : verb < 3
      ? { verb: "create", value }
      : verb < 6
      ? { verb: "update", expected, value }
      : verb < 7
      ? { verb: "delete", expected }
      : { verb: "get" };
    const calledAt = performance.now();
    const output = await send(client, key, input);
    histories.get(key)!.push({ input, output, calledAt, returnedAt: performance.now() });
    if (!output.done) known.set(key, output.found?.mod ?? 0);
    else known.set(key, input.verb === "delete" ? 0 : output.revision);
  }
  await client.close();
}

Deno.test("concurrent apiserver transactions are linearizable", async () => {
  await using own = await startOwnEtcd();
  const histories = emptyHistories();
  const seed = Date.now() % 100_000;
  await Promise.all(Array.from({ length: 8 }, (_, i) => worker(own, seed + i, 60, histories)));
  for (const [key, history] of histories) {
    assert(history.length > 50);
    assert(isLinearizable(MODEL, history), `${key} is not linearizable, seed ${seed}`);
    // The checker is not blind: a revision that somebody saw is changed where it was given, and
    // now nobody can have written what was seen.
    const at = history.findIndex(({ input, output }) =>
      output.done && (input.verb === "create" || input.verb === "update") &&
      history.some((seen) =>
        seen.output.done
          ? "expected" in seen.input && seen.input.expected === output.revision
          : seen.output.found?.mod === output.revision
      )
    );
    assert(at >= 0, `nobody saw anything of ${key}, seed ${seed}`);
    const { input, calledAt, returnedAt } = history[at]!;
    const lie = { input, calledAt, returnedAt, output: { done: true, revision: 1 } } as const;
    assert(!isLinearizable(MODEL, [...history.slice(0, at), lie, ...history.slice(at + 1)]));
  }
});

Deno.test("a list in pages shows one revision, whatever is written meanwhile", async () => {
  await using own = await startOwnEtcd();
  const writer = await own.connect();
  const reader = await own.connect();
  const name = (i: number) => `/registry/pods/p${String(i).padStart(4, "0")}`;
  const put = (i: number, value: string) =>
    writer.call(KV + "Put", PutRequest, PutResponse, { key: utf8(name(i)), value: utf8(value) });
  for (let i = 0; i < 50; i++) await put(i, "first");
  let writing = true;
  const churn = (async () => {
    for (let i = 0; writing; i++) await put(i % 70, `later ${i}`);
  })();
  let key = utf8("/registry/pods/");
  const rangeEnd = utf8("/registry/pods0");
  let revision = 0;
  const listed: string[] = [];
  for (let page = 0;; page++) {
    const answer = await reader.call(KV + "Range", RangeRequest, RangeResponse, {
      key,
      rangeEnd,
      limit: 7,
      revision,
    });
    assert(answer.ok);
    const { kvs, more, count } = answer.value;
    if (page === 0) {
      revision = answer.value.header!.revision;
      assertEquals(count >= 50, true);
    }
    for (const kv of kvs) {
      assert(kv.modRevision <= revision);
      listed.push(text(kv.key));
    }
    if (!more) break;
    const last = kvs.at(-1)!.key;
    key = new Uint8Array(last.length + 1);
    key.set(last);
  }
  writing = false;
  await churn;
  const whole = await reader.call(KV + "Range", RangeRequest, RangeResponse, {
    key: utf8("/registry/pods/"),
    rangeEnd,
    revision,
    keysOnly: true,
  });
  assert(whole.ok);
  assertEquals(listed, whole.value.kvs.map((kv) => text(kv.key)));
  await writer.close();
  await reader.close();
});

Deno.test("a watch replays to the list, with previous values, and progress says nothing is missing", async () => {
  await using own = await startOwnEtcd();
  const client = await own.connect();
  const stream = client.stream("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse);
  stream.send(WatchRequest.of({
    createRequest: WatchCreateRequest.of({
      key: utf8("/registry/"),
      rangeEnd: utf8("/registry0"),
      startRevision: 2,
      prevKv: true,
      progressNotify: true,
    }),
  }));
  const histories = emptyHistories();
  const working = Promise.all(Array.from({ length: 4 }, (_, i) => worker(own, i, 40, histories)));
  const state = new Map<string, string>();
  let newest = 0;
  let progress = 0;
  const follow = async (until: () => boolean) => {
    while (!until()) {
      const message = await stream.next();
      assert(message.ok);
      const { events, watchId, created, header } = message.value;
      if (events.length === 0 && !created) {
        assertEquals(watchId, -1n);
        progress = header!.revision;
        continue;
      }
      for (const { type, kv, prevKv } of events) {
        assert(kv !== undefined && kv.modRevision > newest && kv.modRevision > progress);
        newest = kv.modRevision;
        const key = text(kv.key);
        assertEquals(prevKv === undefined ? undefined : text(prevKv.value), state.get(key));
        if (type === 0) state.set(key, text(kv.value));
        else state.delete(key);
      }
    }
  };
  const asking = setInterval(
    () => stream.send(WatchRequest.of({ progressRequest: WatchProgressRequest.of({}) })),
    5,
  );
  await Promise.all([working, follow(() => newest > 20)]);
  const end = own.store.revision("etcd");
  await follow(() => progress >= end);
  clearInterval(asking);
  const list = await client.call(KV + "Range", RangeRequest, RangeResponse, {
    key: utf8("/registry/"),
    rangeEnd: utf8("/registry0"),
  });
  assert(list.ok);
  assertEquals(
    [...state].sort(),
    list.value.kvs.map((kv) => [text(kv.key), text(kv.value)]).sort(),
  );
  await client.close();
});

Deno.test("the apiserver's compaction: one of several takes the turn, old reads and watches end", async () => {
  await using own = await startOwnEtcd();
  const client = await own.connect();
  for (let i = 0; i < 10; i++) {
    await client.call(KV + "Put", PutRequest, PutResponse, { key: utf8("/registry/x") });
  }
  const key = utf8("compact_rev_key");
  const turn = (version: number, revision: number) =>
    client.call(KV + "Txn", TxnRequest, TxnResponse, {
      compare: [Compare.of({ result: 0, target: 0, key, version })],
      success: [RequestOp.of({ requestPut: PutRequest.of({ key, value: utf8(`${revision}`) }) })],
      failure: [RequestOp.of({ requestRange: RangeRequest.of({ key }) })],
    });
  const [first, second] = await Promise.all([turn(0, 8), turn(0, 8)]);
  assert(first.ok && second.ok);
  assertEquals([first.value.succeeded, second.value.succeeded].sort(), [false, true]);
  const compacted = await client.call(KV + "Compact", CompactionRequest, CompactionResponse, {
    revision: 8,
  });
  assert(compacted.ok);
  const old = await client.call(KV + "Range", RangeRequest, RangeResponse, {
    key: utf8("/registry/x"),
    revision: 7,
  });
  assertEquals(old, {
    ok: false,
    code: 11,
    message: "etcdserver: mvcc: required revision has been compacted",
  });
  const stream = client.stream("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse);
  stream.send(WatchRequest.of({
    createRequest: WatchCreateRequest.of({ key: utf8("/registry/x"), startRevision: 3 }),
  }));
  const created = await stream.next();
  assert(created.ok && created.value.created && !created.value.canceled);
  const canceled = await stream.next();
  assert(canceled.ok && canceled.value.canceled);
  assertEquals(canceled.value.compactRevision, 8);
  await client.close();
});

Deno.test("leased events go when their time is over, and watchers see them go", async () => {
  await using own = await startOwnEtcd();
  const client = await own.connect();
  const lease = await client.call(
    "/etcdserverpb.Lease/LeaseGrant",
    LeaseGrantRequest,
    LeaseGrantResponse,
    { ttl: 3600 },
  );
  assert(lease.ok);
  const stream = client.stream("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse);
  stream.send(WatchRequest.of({
    createRequest: WatchCreateRequest.of({
      key: utf8("/registry/events/"),
      rangeEnd: utf8("/registry/events0"),
    }),
  }));
  await stream.next();
  for (const name of ["a", "b"]) {
    const answer = await client.call(KV + "Txn", TxnRequest, TxnResponse, {
      compare: [guard(utf8(`/registry/events/${name}`), 0)],
      success: [RequestOp.of({
        requestPut: PutRequest.of({
          key: utf8(`/registry/events/${name}`),
          lease: lease.value.id,
        }),
      })],
    });
    assert(answer.ok && answer.value.succeeded);
    await stream.next();
  }
  own.now += 3_601_000;
  await own.server.lessor.tick();
  const gone = await stream.next();
  assert(gone.ok);
  assertEquals(gone.value.events.map(({ type, kv }) => [type, text(kv?.key)]), [
    [1, "/registry/events/a"],
    [1, "/registry/events/b"],
  ]);
  await client.close();
});
