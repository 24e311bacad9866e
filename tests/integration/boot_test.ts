/** Starts that must be refused, each for its own reason and with nothing changed on disk; stops that must be clean. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { asRecord, makePlace, type Place, runBinary, startMaster } from "./harness.ts";

/** Path, mode and digest of every file below a folder but the lock, which names whoever looked. */
async function snapshot(folder: string, base = folder): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) Object.assign(files, await snapshot(path, base));
    else if (entry.isFile && entry.name !== "master.lock") {
      const digest = createHash("sha256").update(await Deno.readFile(path)).digest("hex");
      files[path.slice(base.length)] = `${(await Deno.stat(path)).mode} ${digest}`;
    }
  }
  return files;
}

/** A data directory with a store in it, closed cleanly. */
async function usedPlace(env: Record<string, string> = {}): Promise<Place> {
  const place = await makePlace();
  const master = await startMaster(place, [], env);
  assertEquals((await master.end("SIGTERM")).code, 0);
  return place;
}

async function expectRefusal(
  place: Place,
  says: readonly string[],
  env: Record<string, string> = {},
): Promise<void> {
  const before = await snapshot(place.data);
  const { code, stderr } = await runBinary(place, ["serve"], env);
  assertEquals(code, 3, stderr);
  for (const text of says) assertStringIncludes(stderr, text);
  assertEquals(await snapshot(place.data), before, "a refused start changed the data directory");
}

async function attestation(url: string): Promise<Readonly<Record<string, unknown>>> {
  const bundle = asRecord(await (await fetch(`${url}/api/v1/attestation`)).json());
  const signed = new TextDecoder().decode(Uint8Array.fromBase64(String(bundle["signed"])));
  return asRecord(JSON.parse(signed));
}

function changeKeyring(place: Place, change: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(`${place.data}/store.sqlite`);
  try {
    change(database);
  } finally {
    database.close();
  }
}

Deno.test("serve keeps identity and store over a restart, with a new incarnation and boot id", async () => {
  await using place = await makePlace();
  const first = await startMaster(place);
  const before = await attestation(first.url);
  assertEquals((await first.end("SIGKILL")).signal, "SIGKILL");
  await using second = await startMaster(place);
  const after = await attestation(second.url);
  for (const kept of ["identity_key", "tls_key", "store_id", "measurement", "config_digest"]) {
    assertEquals(after[kept], before[kept], kept);
  }
  for (const renewed of ["incarnation", "boot_id"]) {
    assertNotEquals(after[renewed], before[renewed], renewed);
  }
});

Deno.test("serve refuses a data directory that another master holds, naming it", async () => {
  await using place = await makePlace();
  await using master = await startMaster(place);
  const { code, stderr } = await runBinary(place, ["serve"]);
  assertEquals(code, 3);
  assertStringIncludes(stderr, `another master holds ${place.data}: process ${master.pid}`);
  const response = await fetch(`${master.url}/livez`);
  assertEquals([response.status, await response.text()], [200, "ok"]);
});

Deno.test("serve refuses another device's data directory", async () => {
  await using place = await usedPlace();
  await using other = await usedPlace();
  await Deno.copyFile(
    `${other.data}/simulation/sealing_root`,
    `${place.data}/simulation/sealing_root`,
  );
  await expectRefusal(place, ["the keyring was sealed elsewhere", "signer"]);
});

Deno.test("serve refuses another measurement under the policy that binds to it", async () => {
  const env = { NAUTILUS_SEAL_POLICY: "measurement" };
  await using place = await usedPlace(env);
  const before = await snapshot(place.data);
  const source = new URL("../../main.ts", import.meta.url).pathname;
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", source, "serve"],
    env: {
      ...env,
      TEE_MODE: "simulation",
      NAUTILUS_DATA_DIR: place.data,
      NAUTILUS_LISTEN: "127.0.0.1:0",
    },
  }).output();
  const said = new TextDecoder().decode(stderr);
  assertEquals(code, 3, said);
  assertStringIncludes(said, "measurement");
  assertEquals(await snapshot(place.data), before);
  await using again = await startMaster(place, [], env);
  assert(again.url.startsWith("http://"));
});

Deno.test("serve refuses a store whose key ring is missing or altered", async () => {
  await using missing = await usedPlace();
  changeKeyring(missing, (database) => {
    assertEquals(database.prepare("DELETE FROM keyring").run().changes, 1);
  });
  await expectRefusal(missing, ["no keyring"]);
  await using altered = await usedPlace();
  changeKeyring(altered, (database) => {
    const value = database.prepare("SELECT bytes FROM keyring").get()?.["bytes"];
    assert(value instanceof Uint8Array);
    const flipped = Uint8Array.from(value);
    flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1;
    database.prepare("UPDATE keyring SET bytes = ?").run(flipped);
  });
  await expectRefusal(altered, ["keyring", "altered"]);
});

Deno.test("serve never takes a store that lost its -wal for a new one", async () => {
  await using place = await makePlace();
  const first = await startMaster(place);
  const before = await attestation(first.url);
  assertEquals((await first.end("SIGKILL")).signal, "SIGKILL");
  await Deno.remove(`${place.data}/store.sqlite-wal`);
  await using second = await startMaster(place);
  const after = await attestation(second.url);
  for (const kept of ["store_id", "identity_key"]) assertEquals(after[kept], before[kept], kept);
});

Deno.test("serve refuses a -wal that is damaged before acknowledged commits", async () => {
  await using place = await makePlace();
  const first = await startMaster(place);
  const token = /^ {4}token: (\S+)$/m.exec(
    await Deno.readTextFile(`${place.data}/admin.kubeconfig`),
  )?.[1];
  for (let i = 0; i < 5; i++) {
    const response = await fetch(`${first.url}/api/v1/namespaces/default/configmaps`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: `c${i}` } }),
    });
    await response.body?.cancel();
    assertEquals(response.status, 201);
  }
  assertEquals((await first.end("SIGKILL")).signal, "SIGKILL");
  const wal = `${place.data}/store.sqlite-wal`;
  const bytes = await Deno.readFile(wal);
  bytes[7] = (bytes[7] ?? 0) ^ 1;
  await Deno.writeFile(wal, bytes);
  await expectRefusal(place, ["-wal", "is damaged"]);
});

Deno.test("serve refuses a sealing root that others may read", async () => {
  await using place = await usedPlace();
  await Deno.chmod(`${place.data}/simulation/sealing_root`, 0o644);
  await expectRefusal(place, ["sealing_root"]);
});

Deno.test("serve refuses to start without a TEE unless the simulation is chosen, and leaves nothing", async () => {
  for (const mode of ["production", "auto"]) {
    await using place = await makePlace();
    const { code, stderr } = await runBinary(place, ["serve"], { TEE_MODE: mode });
    assertEquals(code, 3, stderr);
    assertStringIncludes(stderr, `TEE_MODE is ${mode} and this host offers no TEE`);
    assertEquals(stderr.includes("TEE_MODE=simulation"), mode === "auto");
    assertEquals([...Deno.readDirSync(place.data.replace(/\/data$/, ""))].length, 2);
  }
});

Deno.test("serve refuses misspelt settings with exit code 2 before it makes anything", async () => {
  await using place = await makePlace();
  const cases: [Record<string, string>, string][] = [
    [{ TEE_MODE: "simulatoin" }, 'TEE_MODE: "simulatoin"'],
    [{ NAUTILUS_LISTN: "x" }, "did you mean NAUTILUS_LISTEN?"],
    [{ CONTRACT_ADDRESS: "0xabc" }, 'CONTRACT_ADDRESS: "0xabc"'],
    [{ LOG_LEVEL: "verbose" }, "debug, info, warn, error"],
  ];
  for (const [env, text] of cases) {
    const { code, stderr } = await runBinary(place, ["serve"], env);
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, text);
  }
  assertEquals([...Deno.readDirSync(place.data.replace(/\/data$/, ""))].length, 2);
});

Deno.test("serve names the listener when its port is taken", async () => {
  await using place = await makePlace();
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { code, stderr } = await runBinary(place, ["serve"], {
    NAUTILUS_LISTEN: `127.0.0.1:${taken.addr.port}`,
  });
  assertEquals(code, 3);
  assertMatch(stderr, /EADDRINUSE|in use/);
  assertStringIncludes(stderr, String(taken.addr.port));
});

Deno.test("serve serves without a chain, or with one that is down, and says so", async () => {
  await using place = await makePlace();
  {
    await using master = await startMaster(place);
    const health = asRecord(await (await fetch(`${master.url}/health`)).json());
    assertEquals([health["sui_events"], health["admission"]], ["disabled", "not_configured"]);
    assertEquals((await master.end("SIGTERM")).code, 0);
  }
  const id = "0x" + "c".repeat(64);
  await using master = await startMaster(place, [], {
    CONTRACT_ADDRESS: id,
    SUI_RPC_ENDPOINT: "http://127.0.0.1:9",
    NAUTILUS_SUI_REGISTRY: id,
    NAUTILUS_LEGACY_BEARER_TOKENS: "true",
  });
  const response = await fetch(`${master.url}/api/v1/register-worker`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ node_id: "n", seal_token: `seal_${id}`, timestamp: 1 }),
  });
  const problem = asRecord(await response.json());
  assertEquals([response.status, problem["code"]], [503, "chain_unreachable"]);
  const ready = await (await fetch(`${master.url}/readyz?verbose`)).text();
  assertStringIncludes(ready, "sui-events");
});

Deno.test("serve stops on SIGTERM and SIGINT with 0, and takes its endpoints with it", async () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    await using place = await makePlace();
    const master = await startMaster(place);
    const begun = performance.now();
    const { code } = await master.end(signal);
    assertEquals(code, 0, master.output());
    assert(performance.now() - begun < 10_000);
    assertEquals([...Deno.readDirSync(`${place.data}/run`)], []);
  }
});

Deno.test("serve with an anchor file ends cleanly, and refuses an older copy of its store", async () => {
  await using place = await makePlace();
  const env = { NAUTILUS_ANCHOR_FILE: `${place.home}/anchor` };
  assertEquals((await (await startMaster(place, [], env)).end("SIGTERM")).code, 0);
  const older = await Deno.readFile(`${place.data}/store.sqlite`);
  const second = await startMaster(place, [], env);
  const health = asRecord(await (await fetch(`${second.url}/health`)).json());
  assertEquals(health["rollback_protection"], "accident");
  assertEquals((await second.end("SIGTERM")).code, 0);
  await Deno.writeFile(`${place.data}/store.sqlite`, older);
  await expectRefusal(place, ["older"], env);
});

Deno.test("serve writes kubeconfig and endpoints for their owner only", async () => {
  await using place = await makePlace();
  await using master = await startMaster(place, [], { NAUTILUS_TLS_LISTEN: "off" });
  for (const file of ["admin.kubeconfig", "run/endpoints.json", "store.sqlite"]) {
    assertEquals(((await Deno.stat(`${place.data}/${file}`)).mode ?? 0) & 0o777, 0o600, file);
  }
  const kubeconfig = await Deno.readTextFile(`${place.data}/admin.kubeconfig`);
  assertStringIncludes(kubeconfig, `server: ${master.url}\n`);
  assertEquals(master.endpoints["tls_listen"], null);
  const token = /^ {4}token: (\S+)$/m.exec(kubeconfig)?.[1] ?? "";
  assertEquals(master.output().includes(token), false, "the admin token stands in the output");
});
