/** The built master as an etcd: Debian's etcdctl over the socket and over mutual TLS, and after kill -9. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Etcd3 } from "../etcd/etcd3.ts";
import { asRecord, makePlace, runBinary, startMaster } from "./harness.ts";

async function installed(command: string): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args: ["version"], env: { ETCDCTL_API: "3" } })
      .output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const there = await installed("etcdctl");
const why = there ? "" : " (skipped: no etcdctl, Debian's etcd-client)";

async function etcdctl(cwd: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("etcdctl", {
    args,
    cwd,
    env: { ETCDCTL_API: "3" },
  }).output();
  const said = new TextDecoder().decode(stdout);
  assertEquals(code, 0, `${args.join(" ")}: ${said}${new TextDecoder().decode(stderr)}`);
  return said;
}

Deno.test({
  name: `serve is an etcd to etcdctl over its socket, and keeps what it acknowledged${why}`,
  ignore: !there,
  fn: async () => {
    await using place = await makePlace();
    const socket = ["--endpoints", "unix://etcd.sock"];
    const folder = `${place.data}/run`;
    {
      await using master = await startMaster(place);
      assertEquals(await etcdctl(folder, ...socket, "put", "greeting", "hello"), "OK\n");
      assertEquals((await master.end("SIGKILL")).signal, "SIGKILL");
    }
    await using _master = await startMaster(place);
    assertEquals(await etcdctl(folder, ...socket, "get", "greeting"), "greeting\nhello\n");
    assertEquals(((await Deno.stat(folder)).mode ?? 0) & 0o777, 0o700);
  },
});

Deno.test({
  name: `serve lets etcdctl in over TCP with a certificate of its own CA, and nobody else${why}`,
  ignore: !there,
  fn: async () => {
    await using place = await makePlace();
    await using master = await startMaster(place, [], { NAUTILUS_ETCD_LISTEN: "127.0.0.1:0" });
    const out = `${place.cwd}/client`;
    const made = await runBinary(place, ["etcd", "client-cert", "--name", "test", "--out", out]);
    assertEquals([made.code, made.stderr], [0, ""]);
    for (const file of ["ca.crt", "client.crt", "client.key"]) {
      assertEquals(((await Deno.stat(`${out}/${file}`)).mode ?? 0) & 0o777, 0o600);
    }
    const port = String(asRecord(master.endpoints)["etcd_listen"]).split(":").at(-1);
    const endpoint = ["--endpoints", `https://localhost:${port}`, "--cacert", "ca.crt"];
    const credentials = ["--cert", "client.crt", "--key", "client.key"];
    assertEquals(await etcdctl(out, ...endpoint, ...credentials, "put", "k", "v"), "OK\n");
    assertMatch(
      await etcdctl(out, ...endpoint, ...credentials, "endpoint", "health"),
      /is healthy|^$/,
    );
    const stranger = await new Deno.Command("etcdctl", {
      args: [...endpoint, "--dial-timeout", "1s", "--command-timeout", "2s", "get", "k"],
      cwd: out,
      env: { ETCDCTL_API: "3" },
    }).output();
    assertEquals(stranger.success, false);
  },
});

Deno.test({
  name: `serve compacts by itself and stops writers at the quota, as it was told${why}`,
  ignore: !there,
  fn: async () => {
    await using place = await makePlace();
    await using _master = await startMaster(place, [
      "--etcd-auto-compaction-retention=1s",
      "--etcd-quota-backend-bytes=8388608",
    ]);
    const folder = `${place.data}/run`;
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command("etcdctl", {
        args: ["--endpoints", "unix://etcd.sock", ...args],
        cwd: folder,
        env: { ETCDCTL_API: "3" },
      }).output();
      return { code, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
    };
    for (const value of ["1", "2", "3"]) assertEquals((await run("put", "k", value)).code, 0);
    const tooLate = performance.now() + 120_000;
    while ((await run("get", "--rev=2", "k")).code === 0) assert(performance.now() < tooLate);
    assertMatch((await run("get", "--rev=2", "k")).said, /required revision has been compacted/);
    assertEquals((await run("get", "k")).said, "k\n3\n");
    let stopped = "";
    const value = "v".repeat(100_000);
    for (let i = 0; stopped === ""; i++) {
      assert(i < 500, "8 MiB are full after 84 of them");
      const { code, said } = await run("put", `large/${i}`, value);
      if (code !== 0) stopped = said;
    }
    assertMatch(stopped, /mvcc: database space exceeded/);
    assertMatch((await run("alarm", "list")).said, /alarm:NOSPACE/);
    assertEquals((await run("get", "k")).said, "k\n3\n");
    assertEquals((await run("del", "--prefix", "large/")).code, 0);
    // As with etcd: delete, compact (it does so by itself here), defragment, disarm.
    while (true) {
      assert(performance.now() < tooLate, "the space never came back");
      assertEquals((await run("defrag")).code, 0);
      assertEquals((await run("alarm", "disarm")).code, 0);
      if ((await run("put", "k", "4")).code === 0) break;
    }
    assertEquals((await run("get", "k")).said, "k\n4\n");
  },
});

Deno.test({
  name: "serve is an etcd to the npm client etcd3: transactions, leases, locks, watches",
  // gRPC's client keeps timers and sockets of its own for a while: the sanitizers would count them.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    await using place = await makePlace();
    await using _master = await startMaster(place);
    const client = new Etcd3({ hosts: `unix:${place.data}/run/etcd.sock` });
    try {
      await client.put("a").value("1");
      const { succeeded } = await client.if("a", "Value", "==", "1")
        .then(client.put("a").value("2")).commit();
      assert(succeeded);
      const lease = client.lease(10);
      await lease.put("leased").value("here");
      await client.lock("mutex").ttl(5).do(async () => {
        assertEquals(await client.get("a").string(), "2");
      });
      const watcher = await client.watch().key("leased").create();
      const deleted = Promise.withResolvers<void>();
      watcher.on("delete", () => deleted.resolve());
      await lease.revoke();
      await deleted.promise;
      await watcher.cancel();
      assertEquals(await client.getAll().strings(), { a: "2" });
    } finally {
      client.close();
    }
  },
});
