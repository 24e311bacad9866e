/** `nautilus key rotate` on the built file: while objects are read, over kill -9, until the old key is gone. */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { asRecord, makePlace, type Master, type Place, runBinary, startMaster } from "./harness.ts";

const OBJECTS = 60;
const VALUE = "x".repeat(40_000);

async function token(place: Place): Promise<string> {
  const kubeconfig = await Deno.readTextFile(`${place.data}/admin.kubeconfig`);
  return /^ {4}token: (\S+)$/m.exec(kubeconfig)?.[1] ?? "";
}

async function request(place: Place, master: Master, path: string, body?: unknown) {
  const response = await fetch(`${master.url}/api/v1/namespaces/default/configmaps${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${await token(place)}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = asRecord(await response.json());
  assert(response.ok, JSON.stringify(answer));
  return answer;
}

async function fill(place: Place, master: Master): Promise<void> {
  for (let i = 0; i < OBJECTS; i++) {
    await request(place, master, "", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: `c${i}` },
      data: { value: `${i}${VALUE}` },
    });
  }
}

async function checkAll(place: Place, master: Master): Promise<void> {
  for (let i = 0; i < OBJECTS; i++) {
    const { data } = await request(place, master, `/c${i}`);
    assertEquals(asRecord(data)["value"], `${i}${VALUE}`);
  }
}

Deno.test("nautilus key rotate: begun, killed, gone on with, and nothing lost", async () => {
  await using place = await makePlace();
  {
    await using master = await startMaster(place);
    await fill(place, master);
    const begun = await runBinary(place, ["key", "rotate", "--detach"]);
    assertEquals(begun.code, 0, begun.stderr);
    assertStringIncludes(begun.stderr, "Data key 2 is in use");
    await master.end("SIGKILL");
  }
  {
    await using master = await startMaster(place);
    await checkAll(place, master);
    const { code, stdout, stderr } = await runBinary(place, ["key", "rotate"]);
    assertEquals(code, 0, stderr);
    assertStringIncludes(stdout, "Every record is sealed under data key");
    await checkAll(place, master);
    const running = await runBinary(place, [
      ...["key", "status", "--json", "--kubeconfig", `${place.data}/admin.kubeconfig`],
    ]);
    assertEquals(running.code, 0, running.stderr);
    const keys = asRecord(JSON.parse(running.stdout))["data_keys"];
    assert(Array.isArray(keys));
    assertEquals(keys.map((key) => asRecord(key)["state"]), ["active"]);
    await master.end("SIGTERM");
  }
  const stopped = await runBinary(place, ["key", "status"]);
  assertEquals(stopped.code, 0, stopped.stderr);
  assertStringIncludes(stopped.stdout, "rotation         none under way");
  const checked = await runBinary(place, ["store", "check"]);
  assertEquals(checked.code, 0, checked.stderr);
});

Deno.test("nautilus key rotate says that no master runs, and how to name one", async () => {
  await using place = await makePlace();
  const { code, stderr } = await runBinary(place, ["key", "rotate"]);
  assertEquals(code, 2);
  assertStringIncludes(stderr, "--kubeconfig");
  const stray = await runBinary(place, ["key", "rotate", "--spki", "00"]);
  assertEquals(stray.code, 2);
  assertStringIncludes(stray.stderr, "--spki needs --master");
});

Deno.test("nautilus key reseal: authorised, seen in the attestation by who verifies, withdrawn", async () => {
  await using place = await makePlace();
  await using master = await startMaster(place, ["--seal-policy", "measurement"]);
  const successor = "02".repeat(48);
  const evidence = `${place.cwd}/evidence.json`;
  const policy = `${place.cwd}/policy.jsonc`;
  const verify = async (): Promise<Readonly<Record<string, unknown>>> => {
    const answer = await fetch(`${master.url}/api/v1/attestation?nonce=${"00".repeat(8)}`);
    await Deno.writeTextFile(evidence, await answer.text());
    const { stdout, stderr } = await runBinary(place, [
      ...["verify", evidence, "--policy", policy, "--nonce", "00".repeat(8), "--json"],
    ]);
    assertNotEquals(stdout, "", stderr);
    return asRecord(JSON.parse(stdout));
  };
  await Deno.writeTextFile(
    policy,
    JSON.stringify({ version: 1, id: "test", node: { covers: ["none"] } }),
  );
  const codes = (result: Readonly<Record<string, unknown>>): unknown[] => {
    const { checks } = result;
    assert(Array.isArray(checks));
    return checks.map(asRecord).filter(({ id }) => id === "successors").map(({ code }) => code);
  };
  assertEquals(codes(await verify()), []);
  const { code, stdout, stderr } = await runBinary(place, [
    ...["key", "reseal", "--measurement", successor],
  ]);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "may open this store now");
  assertEquals(codes(await verify()), ["successor_authorized"]);
  const status = await runBinary(place, [
    ...["key", "status", "--kubeconfig", `${place.data}/admin.kubeconfig`],
  ]);
  assertStringIncludes(status.stdout, `SUCCESSOR: program ${successor}`);
  const short = await runBinary(place, ["key", "reseal", "--measurement", "02".repeat(32)]);
  assertEquals(short.code, 1);
  assertStringIncludes(short.stderr, "a measurement of 32 bytes");
  const withdrawn = await runBinary(place, ["key", "reseal", "--withdraw"]);
  assertEquals(withdrawn.code, 0, withdrawn.stderr);
  assertEquals(codes(await verify()), []);
});
