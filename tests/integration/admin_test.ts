/** The admin's commands against a running master over TLS, and stock kubectl with what they print. */
import { assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { hasKubectl } from "../fakes/kubectl.ts";
import {
  builtBinary,
  type Finished,
  makePlace,
  type Place,
  runBinary,
  startMaster,
} from "./harness.ts";

const TLS = { NAUTILUS_TLS_LISTEN: "127.0.0.1:0" };

async function keygen(place: Place, name: string): Promise<{ path: string; publicKey: string }> {
  const path = `${place.cwd}/${name}`;
  const { code, stdout } = await runBinary(place, ["admin", "keygen", "--out", path]);
  assertEquals(code, 0);
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  return { path, publicKey: stdout.trim() };
}

/** A policy for exactly this simulation, as an operator makes it. */
async function policyOf(place: Place): Promise<string> {
  const evidence = `${place.cwd}/evidence.json`;
  const policy = `${place.cwd}/policy.jsonc`;
  await runBinary(place, ["attest", "--nonce", "00".repeat(8), "--out", evidence]);
  const { stdout } = await runBinary(place, ["policy", "init", "--from", evidence]);
  // Nothing protects a simulation, and this policy says so.
  const accepted = stdout.replace(/"covers": \[[^\]]*\]/, '"covers": ["none"]');
  // It may not name the configuration: a rotation changes it.
  await Deno.writeTextFile(policy, accepted.replace(/^ *"configDigests?".*\n/m, ""));
  return policy;
}

Deno.test("nautilus admin: keygen, login by policy and by pin, kubectl, rotation", async (t) => {
  await using place = await makePlace();
  const [first, second] = [await keygen(place, "first.pem"), await keygen(place, "second.pem")];
  await using master = await startMaster(place, ["--admin-key", first.publicKey], TLS);
  const url = `https://${master.endpoints["tls_listen"]}`;
  const admin = (action: string, key: string, ...trust: string[]): Promise<Finished> =>
    runBinary(place, ["admin", action, "--master", url, "--key", key, ...trust]);
  const policy = await policyOf(place);
  const trust = ["--policy", policy];

  await t.step("nothing is believed without a way to know the master", async () => {
    const { code, stderr } = await admin("login", first.path);
    assertEquals(code, 2);
    assertStringIncludes(stderr, "no certificate is believed");
    const wrong = await admin("login", first.path, "--spki", "00".repeat(32));
    assertEquals(wrong.code, 1);
    assertStringIncludes(wrong.stderr, "not with the pinned one");
  });

  await t.step("login gives a token that works", async () => {
    const { code, stdout, stderr } = await admin("login", first.path, ...trust);
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /^nta_\S+\n$/);
    const answer = await fetch(`${master.url}/api/v1/audit`, {
      headers: { Authorization: `Bearer ${stdout.trim()}` },
    });
    assertEquals(answer.status, 200);
    const { records } = await answer.json();
    assertEquals(records.at(-1)?.action, "admin.login");
  });

  await t.step("another key gets none", async () => {
    const { code, stderr } = await admin("login", second.path, ...trust);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "bad_signature");
  });

  await t.step("kubeconfig works with kubectl, and holds no secret", async () => {
    const { code, stdout, stderr } = await admin("kubeconfig", first.path, ...trust);
    assertEquals(code, 0, stderr);
    assertEquals(/token: |nta_|PRIVATE/.test(stdout), false);
    const pin = /"([0-9a-f]{64})"/.exec(stdout)?.[1] ?? "";
    const token = await admin("token", first.path, "--spki", pin);
    const credential = JSON.parse(token.stdout);
    assertEquals(credential.apiVersion, "client.authentication.k8s.io/v1");
    assertNotEquals(Date.parse(credential.status.expirationTimestamp), NaN);
    assertStringIncludes(stdout, `command: ${JSON.stringify(await builtBinary())}`);
    const kubeconfig = `${place.cwd}/kubeconfig`;
    await Deno.writeTextFile(kubeconfig, stdout);
    if (!await hasKubectl()) return;
    const output = await kubectl(kubeconfig, "get", "namespaces", "-o", "name");
    assertStringIncludes(output, "namespace/default");
  });

  await t.step("revoke ends one token, or all", async () => {
    const works = async (token: string) => {
      const answer = await fetch(`${master.url}/api/v1/audit`, {
        headers: { Authorization: `Bearer ${token}` },
      });
      await answer.body?.cancel();
      return answer.status;
    };
    const tokens = [
      await admin("login", first.path, ...trust),
      await admin("login", first.path, ...trust),
    ].map(({ stdout, stderr }) => ({
      token: stdout.trim(),
      id: /token ([0-9a-f]{32})/.exec(stderr)?.[1] ?? "",
    }));
    const [one, two] = tokens;
    const wrong = await admin("revoke", first.path, ...trust, "--token-id", "x");
    assertEquals(wrong.code, 2);
    const { code, stderr } = await admin(
      "revoke",
      first.path,
      ...trust,
      "--token-id",
      one?.id ?? "",
    );
    assertEquals(code, 0, stderr);
    assertEquals([await works(one?.token ?? ""), await works(two?.token ?? "")], [401, 200]);
    assertEquals((await admin("revoke", first.path, ...trust, "--token-id", "all")).code, 0);
    assertEquals(await works(two?.token ?? ""), 401);
  });

  await t.step("audit prints the log, checked; a kept copy is checked again", async () => {
    const { code, stdout, stderr } = await admin("audit", first.path, ...trust);
    assertEquals(code, 0, stderr);
    const records = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(records.some(({ action }) => action === "admin.revoke"), true);
    const mark = /Mark: (\d+:[0-9a-f]{64})/.exec(stderr)?.[1] ?? "";
    assertEquals(mark, `${records.at(-1)?.sequence}:${records.at(-1)?.hash}`);
    const more = await admin("audit", first.path, ...trust, "--since", mark);
    assertEquals(more.code, 0, more.stderr);
    assertEquals(JSON.parse(more.stdout.split("\n")[0] ?? "").sequence, records.length + 1);
    const other = await admin("audit", first.path, ...trust, "--since", `1:${"00".repeat(32)}`);
    assertEquals(other.code, 1);
    assertStringIncludes(other.stderr, "broken at record 2");

    const kept = `${place.cwd}/audit.jsonl`;
    await Deno.writeTextFile(kept, stdout);
    const good = await runBinary(place, ["admin", "audit", "--verify", kept]);
    assertEquals(good.code, 0, good.stderr);
    await Deno.writeTextFile(kept, stdout.replace("admin.revoke", "admin.revokf"));
    const bad = await runBinary(place, ["admin", "audit", "--verify", kept]);
    assertEquals(bad.code, 1);
    assertStringIncludes(bad.stderr, "it was changed");
  });

  await t.step("rotation: the new key works from then on, the old one no longer", async () => {
    const { code, stderr } = await admin("rotate", first.path, ...trust, "--new-key", second.path);
    assertEquals(code, 0, stderr);
    assertEquals((await admin("login", first.path, ...trust)).code, 1);
    assertEquals((await admin("login", second.path, ...trust)).code, 0);
  });
});

/** Standard output. */
async function kubectl(kubeconfig: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("kubectl", {
    args: ["--kubeconfig", kubeconfig, ...args],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
