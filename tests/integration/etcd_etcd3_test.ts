/** The npm client `etcd3`: locks, elections, watches, leases, transactions, over the unix socket. */
import { assert, assertEquals, assertRejects } from "@std/assert";

import { Etcd3, EtcdLeaseInvalidError, EtcdLockFailedError } from "../etcd/etcd3.ts";
import { type OwnEtcd, startOwnEtcd } from "../etcd/own.ts";

/** gRPC's client keeps timers and sockets of its own for a while: the sanitizers would count them. */
function test(name: string, fn: (own: OwnEtcd, open: () => Etcd3) => Promise<void>): void {
  Deno.test({
    name: `etcd3 ${name}`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      await using own = await startOwnEtcd({ clock: () => performance.now() });
      const clients: Etcd3[] = [];
      try {
        await fn(own, () => {
          const client = new Etcd3({ hosts: `unix:${own.path}` });
          clients.push(client);
          return client;
        });
      } finally {
        for (const client of clients) client.close();
      }
    },
  });
}

test("gets, puts, deletes and compares", async (_own, open) => {
  const client = open();
  await client.put("a").value("1");
  await client.put("b").value("2");
  assertEquals(await client.get("a").string(), "1");
  assertEquals(await client.getAll().prefix("").strings(), { a: "1", b: "2" });
  assertEquals(await client.getAll().prefix("").sort("Key", "Descend").limit(1).keys(), ["b"]);
  const result = await client.if("a", "Value", "==", "1")
    .then(client.put("a").value("3"))
    .else(client.get("a"))
    .commit();
  assert(result.succeeded);
  await client.delete().all();
  assertEquals(await client.getAll().count(), 0);
});

test("locks exclude one another and are free again", async (_own, open) => {
  const [one, other] = [open(), open()];
  const lock = one.lock("mutex").ttl(5);
  await lock.acquire();
  await assertRejects(() => other.lock("mutex").acquire(), EtcdLockFailedError);
  await lock.release();
  let held = false;
  await other.lock("mutex").do(() => {
    held = true;
    return Promise.resolve();
  });
  assert(held);
});

test("elections have one leader, then the next", async (_own, open) => {
  const [first, second] = [open().election("leader", 5), open().election("leader", 5)];
  const elected = (campaign: ReturnType<typeof first.campaign>) =>
    new Promise<void>((resolve, reject) => {
      campaign.on("elected", resolve);
      campaign.on("error", reject);
    });
  const one = first.campaign("one");
  await elected(one);
  assertEquals(await second.leader(), "one");
  const two = second.campaign("two");
  const twoElected = elected(two);
  await one.resign();
  await twoElected;
  assertEquals(await first.leader(), "two");
  await two.resign();
});

test("watches see puts and deletes, from a past revision too", async (_own, open) => {
  const client = open();
  await client.put("w/1").value("x");
  await client.put("w/2").value("y");
  await client.delete().key("w/1");
  const watcher = await client.watch().prefix("w/").startRevision("2").create();
  const seen: string[] = [];
  const done = Promise.withResolvers<void>();
  const add = (text: string) => {
    seen.push(text);
    if (seen.length === 4) done.resolve();
  };
  watcher.on("put", (kv) => add(`put ${kv.key.toString()}=${kv.value.toString()}`));
  watcher.on("delete", (kv) => add(`delete ${kv.key.toString()}`));
  watcher.on("error", done.reject);
  await client.put("w/3").value("z");
  await done.promise;
  assertEquals(seen, ["put w/1=x", "put w/2=y", "delete w/1", "put w/3=z"]);
  await watcher.cancel();
});

test("leases hold keys until they are revoked", async (_own, open) => {
  const client = open();
  const lease = client.lease(10);
  await lease.put("leased").value("here");
  assertEquals(await client.get("leased").string(), "here");
  await lease.keepaliveOnce();
  await lease.revoke();
  assertEquals(await client.get("leased").string(), null);
  await assertRejects(() => Promise.resolve(lease.put("leased").value("x")), EtcdLeaseInvalidError);
});
