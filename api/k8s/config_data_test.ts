import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type TestApi, testApi } from "../../tests/fakes/api.ts";
import { dataErrors, keyProblems } from "./config_data.ts";

type Json = Record<string, unknown>;

const MAPS = "/api/v1/namespaces/default/configmaps";
const SECRETS = "/api/v1/namespaces/default/secrets";
const MERGE = { "Content-Type": "application/merge-patch+json" };
const APPLY = { "Content-Type": "application/apply-patch+yaml" };

function map(fields: Json): Json {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "m" }, ...fields };
}

function secret(fields: Json): Json {
  return { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, ...fields };
}

async function refusal(api: TestApi, ...request: Parameters<TestApi["admin"]>): Promise<string> {
  const response = await api.admin(...request);
  const { message } = await response.json();
  assertEquals(response.status, 422, String(message));
  return String(message);
}

async function taken(api: TestApi, ...request: Parameters<TestApi["admin"]>): Promise<Json> {
  const response = await api.admin(...request);
  assert(response.ok, await response.clone().text());
  return await response.json();
}

Deno.test("keyProblems() refuses what leads out of a volume's directory", () => {
  for (const key of ["a", "key.name", ".dot", "KEY_NAME-1", "a..b", "x".repeat(253)]) {
    assertEquals(keyProblems(key), [], key);
  }
  for (const key of ["", ".", "..", "..data", "../x", "a/b", "a b", "ä", "a\n", "x".repeat(254)]) {
    assert(keyProblems(key).length > 0, JSON.stringify(key));
  }
  assertEquals(keyProblems(".."), ["must not be '..'"]);
  assertEquals(keyProblems("..data"), ["must not start with '..'"]);
});

Deno.test("dataErrors() bounds the values, and complains of a few keys only", () => {
  const metadata = { name: "m", uid: "", creationTimestamp: "" };
  const object = { apiVersion: "v1", kind: "ConfigMap", metadata };
  const most = "x".repeat(1024 * 1024);
  assertEquals(dataErrors({ ...object, data: { a: most } }, "ConfigMap"), []);
  assertEquals(dataErrors({ ...object, data: { a: most, b: "x" } }, "ConfigMap"), [{
    reason: "FieldValueTooLong",
    field: "",
    message: "Too long: may not be more than 1048576 bytes",
  }]);
  assertEquals(dataErrors({ ...object, data: { a: "ä".repeat(524_289) } }, "ConfigMap").length, 1);
  const binaryData = { a: new Uint8Array(1024 * 1024).toBase64() };
  assertEquals(dataErrors({ ...object, binaryData }, "ConfigMap"), []);
  const bad = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`/${i}`, ""]));
  assertEquals(dataErrors({ ...object, data: bad }, "ConfigMap").length, 50);
});

Deno.test("keys that are no file names are refused, whatever way they come", async () => {
  await using api = await testApi();
  const key = "a/../x y";
  const message =
    `ConfigMap "m" is invalid: data[${key}]: Invalid value: "${key}": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`;
  const bad = map({ data: { [key]: "c" } });
  assertEquals(await refusal(api, "POST", MAPS, bad), message);
  assertEquals(await refusal(api, "PATCH", `${MAPS}/m?fieldManager=a`, bad, APPLY), message);
  assertEquals(
    await refusal(api, "POST", MAPS, map({ data: { k: "" }, binaryData: { k: "" } })),
    'ConfigMap "m" is invalid: [data[k]: Invalid value: "k": duplicate of key present in binaryData, binaryData[k]: Invalid value: "k": duplicate of key present in data]',
  );
  await taken(api, "POST", MAPS, map({ data: { good: "c" } }));
  assertEquals(await refusal(api, "PUT", `${MAPS}/m`, bad), message);
  const patch = { data: { [key]: "c" } };
  assertEquals(await refusal(api, "PATCH", `${MAPS}/m`, patch, MERGE), message);
  assertEquals(await refusal(api, "PATCH", `${MAPS}/m?fieldManager=a`, bad, APPLY), message);
  for (const field of ["data", "stringData"]) {
    const text = await refusal(api, "POST", SECRETS, secret({ [field]: { "..": "" } }));
    assertEquals(text, `Secret "s" is invalid: data[..]: Invalid value: "..": must not be '..'`);
  }
});

Deno.test("an object from before the rules can be deleted, finalizers and all", async () => {
  await using api = await testApi();
  const stored = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: "old",
      namespace: "default",
      uid: "u",
      creationTimestamp: "2026-01-01T00:00:00Z",
      finalizers: ["example.org/keep"],
    },
    data: { "../x": "c" },
  };
  const encoder = new TextEncoder();
  await api.store.txn({
    compare: [],
    success: [{
      type: "put",
      keyspace: "k8s",
      key: encoder.encode("/registry/core/configmaps/default/old"),
      value: encoder.encode(JSON.stringify(stored)),
    }],
    failure: [],
  });
  const labels = { metadata: { labels: { a: "b" } } };
  assertStringIncludes(await refusal(api, "PATCH", `${MAPS}/old`, labels, MERGE), "data[../x]");
  await taken(api, "DELETE", `${MAPS}/old`);
  await taken(api, "PATCH", `${MAPS}/old`, { metadata: { finalizers: null } }, MERGE);
  assertEquals((await api.admin("GET", `${MAPS}/old`)).status, 404);
});

Deno.test("a secret's type stays, and so does what is immutable", async () => {
  await using api = await testApi();
  await taken(api, "POST", SECRETS, secret({ type: "example.org/x", stringData: { a: "b" } }));
  const type = "type: Invalid value";
  assertEquals(
    await refusal(api, "PATCH", `${SECRETS}/s`, { type: "Opaque" }, MERGE),
    'Secret "s" is invalid: type: Invalid value: "Opaque": field is immutable',
  );
  assertStringIncludes(await refusal(api, "PUT", `${SECRETS}/s`, secret({})), type);
  await taken(api, "PATCH", `${SECRETS}/s`, { immutable: true }, MERGE);
  const frozen = "Forbidden: field is immutable when `immutable` is set";
  assertStringIncludes(
    await refusal(api, "PATCH", `${SECRETS}/s`, { stringData: { a: "c" } }, MERGE),
    `data: ${frozen}`,
  );
  assertStringIncludes(
    await refusal(api, "PATCH", `${SECRETS}/s`, { immutable: null }, MERGE),
    `immutable: ${frozen}`,
  );
  await taken(api, "PATCH", `${SECRETS}/s`, { metadata: { labels: { a: "b" } } }, MERGE);
});

Deno.test("an object beyond 1.5 MiB is refused on every way to write, dry run or not", async () => {
  await using api = await testApi();
  const events = "/api/v1/namespaces/default/events";
  const event = (length: number) => ({ metadata: { name: "e" }, message: "x".repeat(length) });
  const patch = { message: "x".repeat(1_600_000) };
  const refused = async (...request: Parameters<TestApi["admin"]>) => {
    const response = await api.admin(...request);
    const { code, reason, message } = await response.json();
    assertEquals([code, reason, message], [
      413,
      "RequestEntityTooLarge",
      "Request entity too large: limit is 1572864",
    ]);
  };
  await refused("POST", events, event(1_600_000));
  await refused("POST", `${events}?dryRun=All`, event(1_600_000));
  // Not the object alone: what is stored, with who holds its fields.
  const data = Object.fromEntries(Array.from({ length: 90_000 }, (_, i) => [`k${i}`, ""]));
  await refused("POST", `${MAPS}?fieldManager=a`, map({ data }));
  await taken(api, "POST", events, event(1_000_000));
  await refused("PUT", `${events}/e`, event(1_600_000));
  await refused("PATCH", `${events}/e`, patch, MERGE);
  await refused("PATCH", `${events}/e?fieldManager=a&force=true`, {
    apiVersion: "v1",
    kind: "Event",
    ...event(1_600_000),
  }, APPLY);
});
