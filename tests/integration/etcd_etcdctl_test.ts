/** Debian's etcdctl against the server over its unix socket, the way an operator uses it. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createRecoveryKeyPair, scanBackup } from "../../store/mod.ts";
import { type OwnEtcd, startOwnEtcd } from "../etcd/own.ts";
import { etcdctlMissing } from "../etcd/reference.ts";

const missing = await etcdctlMissing();

interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** etcdctl 3.4 wants a relative socket path, so it runs in the socket's folder. */
async function etcdctl(own: OwnEtcd, args: readonly string[], stdin = ""): Promise<Output> {
  const process = new Deno.Command("etcdctl", {
    args: ["--endpoints", "unix://etcd.sock", ...args],
    cwd: own.directory,
    env: { ETCDCTL_API: "3" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(stdin));
  await writer.close();
  const { code, stdout, stderr } = await process.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

async function done(own: OwnEtcd, args: readonly string[], stdin = ""): Promise<string> {
  const { code, stdout, stderr } = await etcdctl(own, args, stdin);
  assertEquals(code, 0, `etcdctl ${args.join(" ")}: ${stderr}`);
  return stdout;
}

function test(name: string, fn: (own: OwnEtcd) => Promise<void>): void {
  Deno.test({
    name: `etcdctl ${name}` + (missing === undefined ? "" : `: ${missing}`),
    ignore: missing !== undefined,
    async fn() {
      await using own = await startOwnEtcd({ clock: () => performance.now() });
      await fn(own);
    },
  });
}

test("put and get, with every flag", async (own) => {
  for (const key of ["a", "a/1", "a/2", "b"]) await done(own, ["put", key, `value of ${key}`]);
  assertEquals(await done(own, ["get", "a"]), "a\nvalue of a\n");
  assertEquals(await done(own, ["get", "a", "--print-value-only"]), "value of a\n");
  assertEquals(await done(own, ["get", "a", "--prefix", "--keys-only"]), "a\n\na/1\n\na/2\n\n");
  assertEquals(await done(own, ["get", "a", "a/2", "--keys-only"]), "a\n\na/1\n\n");
  assertEquals(await done(own, ["get", "a/2", "--from-key", "--keys-only"]), "a/2\n\nb\n\n");
  assertEquals(await done(own, ["get", "", "--prefix", "--keys-only", "--limit=1"]), "a\n\n");
  assertEquals(
    await done(own, [
      "get",
      "a",
      "--prefix",
      "--order=DESCEND",
      "--sort-by=CREATE",
      "--keys-only",
    ]),
    "a/2\n\na/1\n\na\n\n",
  );
  assertStringIncludes(await done(own, ["put", "a", "second", "--prev-kv"]), "value of a");
  assertEquals(await done(own, ["get", "a", "--rev=2", "--print-value-only"]), "value of a\n");
  assertEquals(
    await done(own, ["get", "a", "--consistency=s", "--print-value-only"]),
    "second\n",
  );
  await done(own, ["put", "a", "--ignore-value", "--lease=0"]);
  assertStringIncludes(
    await done(own, ["get", "a", "-w=fields"]),
    '"Version" : 3',
  );
});

test("del and txn", async (own) => {
  await done(own, ["put", "k", "1"]);
  const txn = 'value("k") = "1"\nver("k") > "0"\n\nput k 2\nget k\n\nput k 9\n\n';
  assertEquals(await done(own, ["txn"], txn), "SUCCESS\n\nOK\n\nk\n2\n");
  assertEquals(await done(own, ["txn"], txn), "FAILURE\n\nOK\n");
  assertEquals(await done(own, ["del", "k", "--prev-kv"]), "1\nk\n9\n");
  assertEquals(await done(own, ["del", "k"]), "0\n");
});

test("watch shows history and previous values", async (own) => {
  await done(own, ["put", "w", "1"]);
  await done(own, ["put", "w", "2"]);
  const process = new Deno.Command("etcdctl", {
    args: ["--endpoints", "unix://etcd.sock", "watch", "w", "--rev=2", "--prev-kv"],
    cwd: own.directory,
    env: { ETCDCTL_API: "3" },
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let seen = "";
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let deleted = false;
  while (!seen.includes("DELETE")) {
    const { value, done: end } = await reader.read();
    assert(!end, "the watch ended");
    seen += value;
    if (!deleted && seen.includes("w\n2\n")) {
      deleted = true;
      await done(own, ["del", "w"]);
    }
  }
  process.kill("SIGKILL");
  await process.status;
  await reader.cancel();
  assertStringIncludes(seen, "PUT\nw\n1\nPUT\nw\n1\nw\n2\nDELETE\nw\n2\nw\n");
});

test("lease grant, keep-alive, timetolive, list and revoke", async (own) => {
  const granted = await done(own, ["lease", "grant", "300"]);
  const id = /lease ([0-9a-f]+) granted with TTL\(300s\)/.exec(granted)?.[1];
  assert(id !== undefined, granted);
  await done(own, ["put", "leased", "x", `--lease=${id}`]);
  assertMatch(
    await done(own, ["lease", "timetolive", id, "--keys"]),
    /granted with TTL\(300s\), remaining\((29\d|300)s\), attached keys\(\[leased\]\)/,
  );
  assertStringIncludes(await done(own, ["lease", "keep-alive", id, "--once"]), "keepalived");
  assertStringIncludes(await done(own, ["lease", "list"]), id);
  assertStringIncludes(await done(own, ["lease", "revoke", id]), "revoked");
  assertEquals(await done(own, ["get", "leased"]), "");
  const { code, stderr } = await etcdctl(own, ["put", "leased", "x", `--lease=${id}`]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "etcdserver: requested lease not found");
});

test("compaction, defrag, alarm and endpoint commands", async (own) => {
  for (let i = 0; i < 5; i++) await done(own, ["put", "c", String(i)]);
  assertEquals(await done(own, ["compaction", "4", "--physical"]), "compacted revision 4\n");
  const { stderr } = await etcdctl(own, ["get", "c", "--rev=2"]);
  assertStringIncludes(stderr, "etcdserver: mvcc: required revision has been compacted");
  const future = await etcdctl(own, ["get", "c", "--rev=1000"]);
  assertStringIncludes(
    future.stderr,
    "etcdserver: mvcc: required revision is a future revision",
  );
  const status: unknown = JSON.parse(await done(own, ["endpoint", "status", "-w=json"]));
  assertMatch(JSON.stringify(status), /"version":"3\.5\.\d+"/);
  const health = await etcdctl(own, ["endpoint", "health"]);
  assertStringIncludes(health.stderr + health.stdout, "is healthy");
  const [a, b] = [await done(own, ["endpoint", "hashkv"]), await done(own, ["endpoint", "hashkv"])];
  assertEquals(a, b);
  await done(own, ["put", "c", "other"]);
  assert(a !== await done(own, ["endpoint", "hashkv"]), "the hash does not see a change");
  assertStringIncludes(await done(own, ["member", "list"]), "started, test");
  await done(own, ["defrag"]);
  assertEquals(await done(own, ["alarm", "list"]), "");
});

test("snapshot save: the file passes etcdctl's check and is a backup of the store", async (own) => {
  for (let i = 0; i < 3; i++) await done(own, ["put", `s/${i}`, "v".repeat(50)]);
  const path = `${own.directory}/snapshot`;
  const refused = await etcdctl(own, ["snapshot", "save", path]);
  assertStringIncludes(refused.stderr, "no recovery key");
  await own.store.addRecoveryKey((await createRecoveryKeyPair()).publicKey);
  await done(own, ["snapshot", "save", path]);
  const bytes = await Deno.readFile(path);
  assertEquals(bytes.length % 512, 32);
  assert(!new TextDecoder("latin1").decode(bytes).includes("s/1"), "a key name in the clear");
  using file = await Deno.open(path);
  const { header, trailer } = await scanBackup(file);
  assertEquals(header.storeId, own.store.storeId);
  assertEquals(BigInt(trailer.sequence), own.store.head().sequence);
});

test("lock and elect hold and let go", async (own) => {
  assertEquals(await done(own, ["lock", "mutex", "echo", "held"]), "held\n");
  assertEquals(await done(own, ["get", "mutex", "--prefix"]), "");
  const elect = new Deno.Command("etcdctl", {
    args: ["--endpoints", "unix://etcd.sock", "elect", "leader", "me"],
    cwd: own.directory,
    env: { ETCDCTL_API: "3" },
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = elect.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes("me\n")) {
    const { value, done: end } = await reader.read();
    assert(!end, "elect ended");
    seen += value;
  }
  elect.kill("SIGINT");
  await elect.status;
  await reader.cancel();
  assertEquals(await done(own, ["get", "leader", "--prefix"]), "");
});

test("user, role and member changes are refused by name", async (own) => {
  const user = await etcdctl(own, ["role", "list"]);
  assertEquals(user.code, 1);
  assertStringIncludes(user.stderr, "not supported");
  const member = await etcdctl(own, ["member", "add", "x", "--peer-urls=http://localhost:1"]);
  assertStringIncludes(member.stderr, "not supported");
});
