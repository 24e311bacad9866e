/** The JSON gateway on the listener that also speaks gRPC. */
import { assert, assertEquals } from "@std/assert";
import { request } from "node:http";
import { type OwnEtcd, startOwnEtcd } from "../etcd/own.ts";

interface HttpAnswer {
  readonly status: number;
  readonly body: unknown;
}

function post(own: OwnEtcd, path: string, body: unknown, method = "POST"): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  const outgoing = request(
    { socketPath: own.path, path, method, agent: false },
    (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => text += chunk);
      response.on(
        "end",
        () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }),
      );
    },
  );
  outgoing.on("error", reject);
  outgoing.end(
    method === "GET" ? undefined : typeof body === "string" ? body : JSON.stringify(body),
  );
  return promise;
}

function without(body: unknown, field: string): unknown {
  if (typeof body !== "object" || body === null) return body;
  return Object.fromEntries(Object.entries(body).filter(([name]) => name !== field));
}

const b64 = (text: string) => btoa(text);

Deno.test("the JSON gateway puts, ranges, deletes, compares and compacts", async () => {
  await using own = await startOwnEtcd();
  const put = await post(own, "/v3/kv/put", { key: b64("a"), value: b64("1") });
  assertEquals(put.status, 200);
  const range = await post(own, "/v3/kv/range", { key: b64("a") });
  assertEquals(without(range.body, "header"), {
    kvs: [{
      key: b64("a"),
      create_revision: "2",
      mod_revision: "2",
      version: "1",
      value: b64("1"),
    }],
    count: "1",
  });
  const txn = await post(own, "/v3/kv/txn", {
    compare: [{ target: "VALUE", key: b64("a"), value: b64("1"), result: "EQUAL" }],
    success: [{ request_put: { key: b64("a"), value: b64("2"), prev_kv: true } }],
  });
  assertEquals(without(txn.body, "header"), {
    succeeded: true,
    responses: [{
      response_put: {
        header: { revision: "3" },
        prev_kv: {
          key: b64("a"),
          create_revision: "2",
          mod_revision: "2",
          version: "1",
          value: b64("1"),
        },
      },
    }],
  });
  assertEquals((await post(own, "/v3/kv/compaction", { revision: "3" })).status, 200);
  const old = await post(own, "/v3/kv/range", { key: b64("a"), revision: 2 });
  assertEquals(old.status, 400);
  const message = "etcdserver: mvcc: required revision has been compacted";
  assertEquals(old.body, { error: message, code: 11, message });
  const deleted = await post(own, "/v3/kv/deleterange", { key: b64("a") });
  assertEquals(without(deleted.body, "header"), { deleted: "1" });
});

Deno.test("the JSON gateway serves leases, status, health and version", async () => {
  await using own = await startOwnEtcd();
  const grant = await post(own, "/v3/lease/grant", { TTL: "60", ID: "77" });
  assertEquals(without(grant.body, "header"), { ID: "77", TTL: "60" });
  await post(own, "/v3/kv/put", { key: b64("l"), lease: "77" });
  const ttl = await post(own, "/v3/lease/timetolive", { ID: "77", keys: true });
  assertEquals(without(ttl.body, "header"), {
    ID: "77",
    TTL: "60",
    grantedTTL: "60",
    keys: [b64("l")],
  });
  assertEquals((await post(own, "/v3/lease/revoke", { ID: "77" })).status, 200);
  assertEquals((await post(own, "/v3/lease/revoke", { ID: "77" })).status, 404);
  assertEquals((await post(own, "/v3/maintenance/status", {})).status, 200);
  assertEquals((await post(own, "/health", undefined, "GET")).body, { health: "true" });
  const version = await post(own, "/version", undefined, "GET");
  assert(JSON.stringify(version.body).includes("etcdserver"));
});

Deno.test("the JSON gateway refuses by name", async () => {
  await using own = await startOwnEtcd();
  assertEquals((await post(own, "/v3/kv/range", "{")).status, 400);
  const unknown = await post(own, "/v3/kv/range", { keey: b64("a") });
  assertEquals(unknown.status, 400);
  assert(JSON.stringify(unknown.body).includes("field keey is not known"));
  assertEquals((await post(own, "/v3/nothing", {})).status, 404);
  assertEquals((await post(own, "/v3/kv/range", undefined, "GET")).status, 405);
  assertEquals(
    (await post(own, "/v3/kv/put", { key: b64("a"), value: "A".repeat(4_000_000) })).status,
    400,
  );
});

Deno.test("the JSON gateway streams a watch as lines, and ends it with the server", async () => {
  const own = await startOwnEtcd();
  const lines: unknown[] = [];
  const ended = Promise.withResolvers<void>();
  const arrived = { wake: () => {} };
  const outgoing = request(
    { socketPath: own.path, path: "/v3/watch", method: "POST", agent: false },
    (response) => {
      let rest = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        const parts = (rest + chunk).split("\n");
        rest = parts.pop() ?? "";
        for (const part of parts) lines.push(JSON.parse(part));
        arrived.wake();
      });
      response.on("end", () => ended.resolve());
      response.on("error", () => ended.resolve());
    },
  );
  outgoing.on("error", ended.reject);
  outgoing.end(JSON.stringify({ create_request: { key: b64("w"), prev_kv: true } }));
  const until = async (count: number) => {
    while (lines.length < count) await new Promise<void>((resolve) => arrived.wake = resolve);
  };
  await until(1);
  await post(own, "/v3/kv/put", { key: b64("w"), value: b64("1") });
  await until(2);
  const [created, event] = lines.map((line) => JSON.stringify(line));
  assert(created?.includes('"created":true'));
  assert(event?.includes(`"value":"${b64("1")}"`) && event.includes('"mod_revision":"2"'));
  await own[Symbol.asyncDispose]();
  await ended.promise;
});
