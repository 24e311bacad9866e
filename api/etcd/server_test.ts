import { assert, assertEquals, assertRejects } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { EtcdClient } from "../../tests/etcd/client.ts";
import { startOwnEtcd } from "../../tests/etcd/own.ts";
import { openTestStore } from "../../tests/fakes/test_store.ts";
import { ListenError } from "./listener.ts";
import {
  AlarmRequest,
  AlarmResponse,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  MemberListRequest,
  MemberListResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  StatusRequest,
  StatusResponse,
  WatchCancelRequest,
  WatchCreateRequest,
  WatchProgressRequest,
  WatchRequest,
  WatchResponse,
} from "./messages.ts";
import { createEtcdServer, type EtcdServerOptions } from "./server.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const WATCH = "/etcdserverpb.Watch/Watch";
const PUT = "/etcdserverpb.KV/Put";

async function options(path: string): Promise<EtcdServerOptions> {
  return {
    store: await openTestStore(),
    log: getLogger(["test"]),
    clock: () => 0,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    listeners: [{ kind: "unix", path }],
    memberName: "test",
  };
}

Deno.test("EtcdServer.close() ends streams with UNAVAILABLE and takes its socket away", async () => {
  const own = await startOwnEtcd();
  const client = await own.connect();
  const watch = client.stream(WATCH, WatchRequest, WatchResponse);
  watch.send(
    WatchRequest.of({ createRequest: WatchCreateRequest.of({ key: utf8("k") }) }),
  );
  await watch.next();
  const keepAlive = client.stream(
    "/etcdserverpb.Lease/LeaseKeepAlive",
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
  );
  keepAlive.send({ id: 5n });
  const unknown = await keepAlive.next();
  assert(unknown.ok && unknown.value.ttl === 0);
  await own.server.close(1000);
  const stopped = { ok: false, code: 14, message: "etcdserver: server stopped" } as const;
  assertEquals(await watch.next(), stopped);
  assertEquals(await keepAlive.next(), stopped);
  await assertRejects(() => Deno.lstat(own.path), Deno.errors.NotFound);
  assertEquals(own.server.stats(), { connections: 0, calls: 0, watches: 0, leases: 0 });
  await client.close();
  await own[Symbol.asyncDispose]();
});

Deno.test("createEtcdServer() takes the place of a socket that a killed master left behind", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/etcd.sock`;
  const left = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--quiet",
      `Deno.listen({ transport: "unix", path: ${
        JSON.stringify(path)
      } }); Deno.kill(Deno.pid, "SIGKILL")`,
    ],
  });
  await left.output();
  assert((await Deno.lstat(path)).isSocket);
  const chosen = await options(path);
  const server = await createEtcdServer(chosen);
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  const client = await EtcdClient.connect({ path });
  assert((await client.call(PUT, PutRequest, PutResponse, { key: utf8("k") })).ok);
  await client.close();
  await server.close(500);
  await Deno.writeTextFile(path, "a file that is no socket");
  await assertRejects(() => createEtcdServer(chosen), ListenError, "is no socket");
  const long = `${directory}/${"x".repeat(120)}.sock`;
  await assertRejects(
    async () => await createEtcdServer({ ...chosen, listeners: [{ kind: "unix", path: long }] }),
    ListenError,
    "longer than 107 bytes",
  );
  await chosen.store[Symbol.asyncDispose]();
  await Deno.remove(directory, { recursive: true });
});

Deno.test("a store that stopped answers UNAVAILABLE", async () => {
  await using own = await startOwnEtcd();
  const client = await own.connect();
  await own.store[Symbol.asyncDispose]();
  assertEquals(
    await client.call(PUT, PutRequest, PutResponse, { key: utf8("k") }),
    { ok: false, code: 14, message: "etcdserver: server stopped" },
  );
  await client.close();
});

Deno.test("Watch: ids, duplicates, empty ranges and cancelling are as etcd's", async () => {
  await using own = await startOwnEtcd();
  const client = await own.connect();
  const watch = client.stream(WATCH, WatchRequest, WatchResponse);
  const create = async (request: Partial<WatchCreateRequest>) => {
    watch.send(WatchRequest.of({ createRequest: WatchCreateRequest.of(request) }));
    const answer = await watch.next();
    assert(answer.ok);
    const { watchId, created, canceled, cancelReason } = answer.value;
    assert(created);
    return [watchId, canceled, cancelReason];
  };
  assertEquals(await create({ key: utf8("a") }), [0n, false, ""]);
  assertEquals(await create({ key: utf8("a"), watchId: 7n }), [7n, false, ""]);
  assertEquals(await create({ key: utf8("a"), watchId: 7n }), [
    -1n,
    true,
    "mvcc: duplicate watch ID provided on the WatchStream",
  ]);
  assertEquals(await create({ key: utf8("b"), rangeEnd: utf8("a") }), [
    -1n,
    true,
    "mvcc: watcher range is empty",
  ]);
  assertEquals(await create({ key: utf8("a"), startRevision: -1 }), [
    -1n,
    true,
    "etcdserver: mvcc: required revision has been compacted",
  ]);
  assertEquals(await create({ key: utf8("a") }), [1n, false, ""]);
  watch.send(WatchRequest.of({ cancelRequest: WatchCancelRequest.of({ watchId: 7n }) }));
  const canceled = await watch.next();
  assert(canceled.ok && canceled.value.canceled && canceled.value.watchId === 7n);
  await client.call(PUT, PutRequest, PutResponse, { key: utf8("a") });
  const [one, other] = [await watch.next(), await watch.next()];
  assert(one.ok && other.ok);
  assertEquals([one.value.watchId, other.value.watchId].sort(), [0n, 1n]);
  watch.send(WatchRequest.of({ progressRequest: WatchProgressRequest.of({}) }));
  const progress = await watch.next();
  assert(progress.ok && progress.value.watchId === -1n && progress.value.events.length === 0);
  assertEquals(progress.value.header?.revision, 2);
  await client.close();
});

Deno.test("Watch: prev_kv is what stood before the revision, also where one put and deleted a key", async () => {
  await using own = await startOwnEtcd();
  const client = await own.connect();
  const follow = async (startRevision: number) => {
    const watch = client.stream(WATCH, WatchRequest, WatchResponse);
    watch.send(WatchRequest.of({
      createRequest: WatchCreateRequest.of({ key: utf8("k"), startRevision, prevKv: true }),
    }));
    await watch.next();
    return async () => {
      const seen: unknown[] = [];
      while (seen.length < 4) {
        const answer = await watch.next();
        assert(answer.ok);
        for (const { type, prevKv } of answer.value.events) {
          seen.push([type, prevKv === undefined ? "" : new TextDecoder().decode(prevKv.value)]);
        }
      }
      return seen;
    };
  };
  const live = await follow(0);
  const put = (value: string) =>
    ({ type: "put", keyspace: "etcd", key: utf8("k"), value: utf8(value) }) as const;
  const all = {
    type: "delete",
    keyspace: "etcd",
    key: utf8("k"),
    rangeEnd: new Uint8Array(1),
  } as const;
  await own.store.txn({ compare: [], success: [put("1")], failure: [] });
  await own.store.txn({ compare: [], success: [put("2"), all], failure: [] });
  await own.store.txn({ compare: [], success: [put("3")], failure: [] });
  const expected = [[0, ""], [0, "1"], [1, "1"], [0, ""]];
  assertEquals(await live(), expected);
  assertEquals(await (await follow(2))(), expected);
  await client.close();
});

Deno.test("Watch: progress_notify tells a quiet watch where the store stands", async () => {
  await using own = await startOwnEtcd({ limits: { progressNotifyIntervalMs: 20 } });
  const client = await own.connect();
  const watch = client.stream(WATCH, WatchRequest, WatchResponse);
  watch.send(WatchRequest.of({
    createRequest: WatchCreateRequest.of({ key: utf8("quiet"), progressNotify: true }),
  }));
  await watch.next();
  await client.call(PUT, PutRequest, PutResponse, { key: utf8("other") });
  for (;;) {
    const notice = await watch.next();
    assert(notice.ok && notice.value.events.length === 0 && notice.value.watchId === 0n);
    if (notice.value.header?.revision === 2) break;
  }
  await client.close();
});

Deno.test("Watch: fragments keep a large revision below the message limit", async () => {
  await using own = await startOwnEtcd({ limits: { maxRequestBytes: 10_000 } });
  const value = new Uint8Array(9_000);
  const client = await own.connect();
  const watch = client.stream(WATCH, WatchRequest, WatchResponse);
  watch.send(WatchRequest.of({
    createRequest: WatchCreateRequest.of({
      key: utf8("f"),
      rangeEnd: utf8("g"),
      fragment: true,
    }),
  }));
  await watch.next();
  await own.store.txn({
    compare: [],
    success: Array.from({ length: 100 }, (_, i) => ({
      type: "put",
      keyspace: "etcd",
      key: utf8(`f${i}`),
      value,
    })),
    failure: [],
  });
  const sizes: number[] = [];
  for (let more = true; more;) {
    const part = await watch.next();
    assert(part.ok);
    sizes.push(part.value.events.length);
    more = part.value.fragment;
  }
  // 524 KiB overhead and 10,000 bytes: 59 events of 9 KB a message.
  assertEquals(sizes, [59, 41]);
  await client.close();
});

Deno.test("Status, MemberList and Alarm tell one member, its address and a full disk", async () => {
  await using own = await startOwnEtcd({
    storage: {
      size: () => Promise.resolve({ bytes: 9_000, bytesInUse: 5_000 }),
      reclaim: () => Promise.resolve(),
    },
    limits: { quotaBytes: 5_100 },
  });
  const client = await own.connect();
  const maintenance = "/etcdserverpb.Maintenance/";
  const full = await client.call(PUT, PutRequest, PutResponse, { key: utf8("k") });
  assertEquals(full, {
    ok: false,
    code: 8,
    message: "etcdserver: mvcc: database space exceeded",
  });
  const status = await client.call(maintenance + "Status", StatusRequest, StatusResponse, {});
  assert(status.ok);
  const { memberId } = status.value.header!.identity;
  assertEquals(status.value.leader, memberId);
  assertEquals([status.value.dbSize, status.value.dbSizeInUse], [9_000, 5_000]);
  assertEquals(status.value.errors, [`memberID:${memberId} alarm:NOSPACE `]);
  const members = await client.call(
    "/etcdserverpb.Cluster/MemberList",
    MemberListRequest,
    MemberListResponse,
    {},
  );
  assert(members.ok);
  assertEquals(members.value.members.map(({ clientUrls }) => clientUrls), [[
    `unix://${own.path}`,
  ]]);
  const grant = await client.call(
    "/etcdserverpb.Lease/LeaseGrant",
    LeaseGrantRequest,
    LeaseGrantResponse,
    { ttl: 60 },
  );
  assert(!grant.ok && grant.code === 8);
  const disarmed = await client.call(maintenance + "Alarm", AlarmRequest, AlarmResponse, {
    action: 2,
    memberId,
    alarm: 1,
  });
  assert(disarmed.ok);
  assertEquals(disarmed.value.alarms, [{ memberId, alarm: 1 }]);
  const range = await client.call(
    "/etcdserverpb.KV/Range",
    RangeRequest,
    RangeResponse,
    { key: utf8("k") },
  );
  assert(range.ok);
  await client.close();
});
