/**
 * The backup drill, by the built file alone: a backup while the master is written to, its machine
 * and directory gone, and the same data on another device by the operator's recovery key.
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { asRecord, makePlace, type Master, type Place, runBinary, startMaster } from "./harness.ts";
import { done, makeOperator, restore } from "./operator.ts";

const WRITERS = 4;

interface Client {
  /** @returns the HTTP status */
  put(name: string, value: string): Promise<number>;
  /** Names of the config maps that are there, with their value. */
  list(): Promise<ReadonlyMap<string, string>>;
}

async function clientOf(place: Place, { url }: Master): Promise<Client> {
  const kubeconfig = await Deno.readTextFile(`${place.data}/admin.kubeconfig`);
  const token = /^ +token: (\S+)$/m.exec(kubeconfig)?.[1];
  assert(token !== undefined, kubeconfig);
  const path = `${url}/api/v1/namespaces/default/configmaps`;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  return {
    async put(name, value) {
      const response = await fetch(path, {
        method: "POST",
        headers,
        body: JSON.stringify({
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name, namespace: "default" },
          data: { value },
        }),
      });
      await response.body?.cancel();
      return response.status;
    },
    async list() {
      const response = await fetch(path, { headers });
      assertEquals(response.status, 200);
      const { items } = asRecord(await response.json());
      assert(Array.isArray(items));
      return new Map(items.map((item) => {
        const object = asRecord(item);
        return [
          String(asRecord(object["metadata"])["name"]),
          String(asRecord(object["data"])["value"]),
        ];
      }));
    },
  };
}

/** Writes until it is told to stop; what was acknowledged is noted in order. */
function underLoad(client: Client, prefix: string) {
  let running = true;
  const acknowledged: string[] = [];
  const lanes = Array.from({ length: WRITERS }, async (_, lane) => {
    for (let i = 0; running; i++) {
      const name = `${prefix}-${lane}-${i}`;
      assertEquals(await client.put(name, "x".repeat(500)), 201);
      acknowledged.push(name);
    }
  });
  return {
    acknowledged,
    async stop() {
      running = false;
      await Promise.all(lanes);
    },
  };
}

function pause(): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), 50));
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
}

async function statusOf(url: string): Promise<Readonly<Record<string, unknown>>> {
  const bundle = asRecord(await (await fetch(`${url}/api/v1/attestation`)).json());
  const signed = new TextDecoder().decode(Uint8Array.fromBase64(String(bundle["signed"])));
  return asRecord(JSON.parse(signed));
}

Deno.test("a backup drill: taken under load, the machine gone, the same data on another device", async () => {
  await using old = await makePlace();
  await using fresh = await makePlace();
  await using desk = await makePlace();
  const operator = await makeOperator(desk);
  const env = { NAUTILUS_RECOVERY_KEYS: `${operator.keys}/recovery.pub` };
  const backup = `${desk.cwd}/store.backup`;
  let before: Readonly<Record<string, unknown>>;
  let older: readonly string[];
  let contents: ReadonlyMap<string, string>;
  {
    await using master = await startMaster(old, [], env);
    before = await statusOf(master.url);
    const client = await clientOf(old, master);
    const load = underLoad(client, "load");
    while (load.acknowledged.length < 50) await pause();
    older = [...load.acknowledged];
    const taken = await done(runBinary(old, ["store", "backup", "--out", backup]));
    assertStringIncludes(taken.stderr, String(before["store_id"]));
    assertEquals(taken.stdout, "");
    assertEquals(((await Deno.stat(backup)).mode ?? 0) & 0o777, 0o600);
    assertEquals(await names(desk.cwd), ["keys", "store.backup"]);
    await load.stop();
    assertEquals(await client.put("afterwards", "not in the backup"), 201);
    contents = await client.list();
    const piped = await done(runBinary(old, ["store", "backup", "--out", "-"]));
    assert(piped.stdout.startsWith("NAUTILUS-BACKUP/1\n"));
    await master.end("SIGKILL");
  }
  // While its store is there, the backup may not take its place: it lacks what came afterwards.
  // Nobody is asked for an answer: this TEE can tell by itself.
  const nobody = ["--request", `${old.cwd}/r`, "--answer", `${old.cwd}/a`];
  const lost = await done(
    runBinary(old, ["store", "restore", "--from", backup, ...nobody]),
    1,
  );
  assert(!lost.stdout.includes("Waiting for"), lost.stdout);
  assertStringIncludes(lost.stderr, "does not have");
  assertStringIncludes(lost.stderr, "--replace ");
  assert(!(await names(old.data)).some((name) => name.startsWith("restore")), "something was left");
  const still = await done(runBinary(old, ["store", "check"]));
  assertStringIncludes(still.stdout, "Everything decrypts and fits");

  await Deno.remove(old.data, { recursive: true });
  const cut = `${desk.cwd}/cut`;
  await Deno.writeFile(cut, (await Deno.readFile(backup)).subarray(0, 5_000));
  const short = await done(
    runBinary(fresh, ["store", "restore", "--from", cut, "--request", "r", "--answer", "a"]),
    3,
  );
  assertStringIncludes(short.stderr, "cut off");
  const restored = await restore(fresh, operator, backup, 0);
  assertStringIncludes(restored.stdout, "--replay-events");

  await using master = await startMaster(fresh, [], env);
  const after = await statusOf(master.url);
  for (const same of ["store_id", "measurement", "config_digest"]) {
    assertEquals(after[same], before[same], same);
  }
  for (const renewed of ["identity_key", "tls_key", "incarnation"]) {
    assertNotEquals(after[renewed], before[renewed], renewed);
  }
  const client = await clientOf(fresh, master);
  const found = await client.list();
  for (const name of older) assert(found.has(name), `${name} was acknowledged before the backup`);
  for (const [name, value] of found) assertEquals(value, contents.get(name));
  assert(!found.has("afterwards"));
  assertEquals(await client.put("on the new device".replaceAll(" ", "-"), "works"), 201);
  const locked = await done(
    runBinary(fresh, ["store", "restore", "--from", backup, "--request", "r", "--answer", "a"]),
    3,
  );
  assertStringIncludes(locked.stderr, "another master holds");
  assertEquals((await master.end("SIGTERM")).code, 0);

  // Told by its name, a store gives way and is kept.
  const sequence = /--replace (\d+)/.exec((await restore(fresh, operator, backup, 1)).stderr)?.[1];
  assert(sequence !== undefined);
  await restore(fresh, operator, backup, 1, "--replace", "1");
  const replaced = await restore(fresh, operator, backup, 0, "--replace", sequence);
  assertStringIncludes(replaced.stdout, "former-store-");
  const check = await done(runBinary(fresh, ["store", "check"]));
  assertStringIncludes(check.stdout, "Everything decrypts and fits");
});

Deno.test("store backup says why not: no recovery key, no master, no admin", async () => {
  await using place = await makePlace();
  const out = `${place.cwd}/out`;
  const nobody = await done(runBinary(place, ["store", "backup", "--out", out]), 2);
  assertStringIncludes(nobody.stderr, "no kubeconfig can be read there");
  await using master = await startMaster(place);
  const keyless = await done(runBinary(place, ["store", "backup", "--out", out]), 1);
  assertStringIncludes(keyless.stderr, "no recovery key");
  const strange = `${place.cwd}/kubeconfig`;
  await Deno.writeTextFile(
    strange,
    `clusters:\n  server: ${master.url}\nusers:\n  token: guessed-guessed-guessed\n`,
  );
  const stranger = await done(
    runBinary(place, ["store", "backup", "--out", out, "--kubeconfig", strange]),
    1,
  );
  assertStringIncludes(stranger.stderr, "the master refuses (401");
  assertEquals(await names(place.cwd), ["kubeconfig"]);
  // Nothing is replaced: not a file, and not a link, whatever it leads to.
  await Deno.symlink("/dev/full", out);
  for (const taken of [strange, out]) {
    const refused = await done(runBinary(place, ["store", "backup", "--out", taken]), 2);
    assertStringIncludes(refused.stderr, "is there already");
  }
  assertEquals(await Deno.readLink(out), "/dev/full");
  // The one who holds the data directory is asked.
  const status = await done(runBinary(place, ["key", "status"]));
  assertStringIncludes(status.stdout, "active");
});

Deno.test("store backup over TLS, as the admin who logs in with the sealed key", async () => {
  await using place = await makePlace();
  await using desk = await makePlace();
  const { keys } = await makeOperator(desk);
  const key = `${desk.cwd}/admin.pem`;
  const { stdout } = await done(runBinary(desk, ["admin", "keygen", "--out", key]));
  const flags = ["--admin-key", stdout.trim(), "--recovery-key", `${keys}/recovery.pub`];
  await using master = await startMaster(place, flags, { NAUTILUS_TLS_LISTEN: "127.0.0.1:0" });
  const kubeconfig = await Deno.readTextFile(`${place.data}/admin.kubeconfig`);
  const ca = /certificate-authority-data: (\S+)/.exec(kubeconfig)?.[1];
  assert(ca !== undefined, kubeconfig);
  await Deno.writeTextFile(`${desk.cwd}/ca.pem`, atob(ca));
  const url = `https://${master.endpoints["tls_listen"]}`;
  const out = `${desk.cwd}/store.backup`;
  const backup = (...trust: string[]) =>
    runBinary(desk, ["store", "backup", "--out", out, "--master", url, "--key", key, ...trust]);
  assertStringIncludes((await done(backup(), 2)).stderr, "no certificate is believed");
  const wrong = await done(backup("--spki", "00".repeat(32)), 1);
  assertStringIncludes(wrong.stderr, "not with the pinned one");
  const taken = await done(backup("--ca", `${desk.cwd}/ca.pem`));
  assertStringIncludes(taken.stderr, "opens            with a recovery key");
  assert((await Deno.stat(out)).size > 1_000);
});
