/** The Kubernetes API as it is documented, where it is easy to be almost right. */
import { assert, assertEquals, assertMatch, assertObjectMatch, assertThrows } from "@std/assert";
import { ADMIN_TOKEN, type TestApi, testApi } from "../../tests/fakes/api.ts";
import { ApiProblem } from "../problem.ts";
import { decodeDocument } from "./decode.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";
const MERGE = { "Content-Type": "application/merge-patch+json" };

type Json = Record<string, unknown>;

function map(name: string, data: Json = { a: "1" }): Json {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data };
}

async function ask(
  api: TestApi,
  code: number,
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) {
  const response = await api.admin(method, path, body, headers);
  const answer = await response.json();
  assertEquals(response.status, code, JSON.stringify(answer));
  return answer;
}

Deno.test("a document without kind and apiVersion is of the kind of its path", async () => {
  await using api = await testApi();
  for (
    const body of [
      { metadata: { name: "a" } },
      { kind: "", apiVersion: null, metadata: { name: "b" } },
      { kind: "ConfigMap", metadata: { name: "c" } },
    ]
  ) {
    assertObjectMatch(await ask(api, 201, "POST", MAPS, body), {
      apiVersion: "v1",
      kind: "ConfigMap",
    });
  }
  await ask(api, 400, "POST", MAPS, { kind: "Secret", metadata: { name: "d" } });
  await ask(api, 400, "POST", MAPS, []);
});

Deno.test("numbers that do not fit are refused, not stored as null", async () => {
  await using api = await testApi();
  for (const number of ["1e999", "-1e999", `1${"0".repeat(400)}`, "1E+400"]) {
    const body = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"x":[${number}]}`;
    const refused = await ask(api, 400, "POST", MAPS, body);
    assertMatch(refused.message, /number that is too large/);
  }
  for (const number of ["9007199254740993", "-18446744073709551615"]) {
    const body = `{"metadata":{"name":"a"},"x":[${number}]}`;
    assertMatch((await ask(api, 400, "POST", MAPS, body)).message, /lose digits/);
    assertThrows(
      () => decodeDocument(new TextEncoder().encode(`x: ${number}\n`), "yaml"),
      ApiProblem,
      "lose digits",
    );
  }
  // These are the very doubles that a program writes for them.
  const fits = `{"metadata":{"name":"b"},"revision":1,"data":[9007199254740994,1e17,1e100]}`;
  const revisions = "/apis/apps/v1/namespaces/default/controllerrevisions";
  assertEquals((await ask(api, 201, "POST", revisions, fits)).data, [
    9007199254740994,
    1e17,
    1e100,
  ]);
  const text = `{"metadata":{"name":"a"},"data":{"x":"1e999 ${"9".repeat(400)}"}}`;
  await ask(api, 201, "POST", MAPS, text);
});

Deno.test("an object keeps its name: no patch takes it away, no replacement leaves it out", async () => {
  await using api = await testApi();
  await ask(api, 201, "POST", MAPS, map("a"));
  const patches: readonly [string, unknown][] = [
    ["application/json-patch+json", [{ op: "remove", path: "/metadata/name" }]],
    ["application/json-patch+json", [{ op: "replace", path: "/metadata/name", value: "b" }]],
    ["application/json-patch+json", [{ op: "remove", path: "/metadata" }]],
    ["application/merge-patch+json", { metadata: { name: null } }],
    ["application/strategic-merge-patch+json", { metadata: { name: "b" } }],
  ];
  for (const [type, patch] of patches) {
    const refused = await ask(api, 400, "PATCH", `${MAPS}/a`, patch, { "Content-Type": type });
    assertEquals(refused.reason, "BadRequest");
  }
  const put = await ask(api, 400, "PUT", `${MAPS}/a`, { ...map("a"), metadata: {} });
  assertMatch(put.message, /name must be provided/);
  await ask(api, 400, "PUT", `${MAPS}/a`, map("b"));
});

Deno.test("a patch of another Content-Type is 415 and names those that there are", async () => {
  await using api = await testApi();
  await ask(api, 201, "POST", MAPS, map("a"));
  for (const type of ["application/json", "text/plain", "application/yaml"]) {
    const refused = await ask(api, 415, "PATCH", `${MAPS}/a`, {}, { "Content-Type": type });
    assertObjectMatch(refused, { reason: "UnsupportedMediaType" });
    assertMatch(refused.message, /application\/apply-patch\+yaml/);
  }
});

const METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

Deno.test("metadata alone: of an object, a list, and the events of a watch", async () => {
  await using api = await testApi();
  const made = await ask(api, 201, "POST", MAPS, map("a"), { Accept: `${METADATA},*/*` });
  assertEquals(Object.keys(made), ["kind", "apiVersion", "metadata"]);
  const one = await ask(api, 200, "GET", `${MAPS}/a`, undefined, { Accept: METADATA });
  assertObjectMatch(one, {
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: { name: "a", resourceVersion: made.metadata.resourceVersion },
  });
  assertEquals(one.data, undefined);
  const list = await ask(api, 200, "GET", MAPS, undefined, {
    Accept: METADATA.replace("Metadata;", "MetadataList;"),
  });
  assertEquals([list.kind, list.items.length], ["PartialObjectMetadataList", 1]);
  assertEquals(list.items[0], one);
  const watch = await api.app.request(`${MAPS}?watch=1`, {
    headers: { Accept: METADATA, Authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  const reader = watch.body?.pipeThrough(new TextDecoderStream()).getReader();
  assert(reader !== undefined);
  const event = JSON.parse((await reader.read()).value ?? "");
  assertEquals([event.type, event.object], ["ADDED", one]);
  await reader.cancel();
});

Deno.test("an answer that there is none of is 406", async () => {
  await using api = await testApi();
  for (
    const accept of [
      "application/vnd.kubernetes.protobuf",
      "text/html",
      "application/json;as=Table;v=v9;g=meta.k8s.io",
      METADATA,
    ]
  ) {
    const refused = await ask(api, 406, "GET", MAPS, undefined, { Accept: accept });
    assertEquals(refused.reason, "NotAcceptable");
  }
  await ask(api, 200, "GET", MAPS, undefined, {
    Accept: "application/vnd.kubernetes.protobuf, application/json",
  });
  await ask(api, 200, "GET", MAPS, undefined, { Accept: "text/html, */*;q=0.1" });
});

Deno.test("dryRun=All of every verb answers as if, and writes nothing", async () => {
  await using api = await testApi();
  await ask(api, 201, "POST", MAPS, map("a"));
  await ask(api, 201, "POST", DEPLOYMENTS, {
    metadata: { name: "d" },
    spec: { replicas: 1 },
  });
  const revision = api.store.revision("k8s");
  const dry = "dryRun=All";
  await ask(api, 201, "POST", `${MAPS}?${dry}`, map("b"));
  const put = await ask(api, 200, "PUT", `${MAPS}/a?${dry}`, map("a", { a: "2" }));
  assertEquals(put.data, { a: "2" });
  await ask(api, 200, "PATCH", `${MAPS}/a?${dry}`, { data: { a: "3" } }, MERGE);
  for (const name of ["a", "c"]) {
    const applied = await api.admin(
      "PATCH",
      `${MAPS}/${name}?${dry}&fieldManager=x&force=true`,
      map(name, { a: "4" }),
      { "Content-Type": "application/apply-patch+yaml" },
    );
    assertEquals(applied.status, name === "a" ? 200 : 201);
    await applied.body?.cancel();
  }
  await ask(
    api,
    200,
    "PATCH",
    `${DEPLOYMENTS}/d/status?${dry}`,
    { status: { replicas: 1 } },
    MERGE,
  );
  const scale = await ask(api, 200, "PATCH", `${DEPLOYMENTS}/d/scale?${dry}`, {
    spec: { replicas: 9 },
  }, MERGE);
  assertEquals(scale.spec.replicas, 9);
  await ask(api, 200, "DELETE", `${MAPS}/a?${dry}`);
  await ask(api, 200, "DELETE", `${MAPS}/a`, { dryRun: ["All"] });
  await ask(api, 200, "DELETE", `${MAPS}?${dry}`);
  await ask(api, 200, "DELETE", "/api/v1/namespaces/kube-node-lease?dryRun=All");
  assertEquals(api.store.revision("k8s"), revision);
  await ask(api, 400, "POST", `${MAPS}?dryRun=Some`, map("b"));
});

Deno.test("a continue token that outlived its history is 410, a made-up one 400", async () => {
  await using api = await testApi();
  for (const name of ["a", "b", "c"]) await ask(api, 201, "POST", MAPS, map(name));
  const page = await ask(api, 200, "GET", `${MAPS}?limit=1`);
  await ask(api, 201, "POST", MAPS, map("d"));
  await api.store.compact("k8s", api.store.revision("k8s"));
  const gone = await ask(api, 410, "GET", `${MAPS}?limit=1&continue=${page.metadata.continue}`);
  assertEquals(gone.reason, "Expired");
  await ask(api, 400, "GET", `${MAPS}?limit=1&continue=abc`);
});

Deno.test("a selector that cannot be read, or on a field that is not selected on, is 400", async () => {
  await using api = await testApi();
  for (
    const query of ["fieldSelector=spec.a%3Db", "fieldSelector=x", "labelSelector=a%3D%3D%3Db"]
  ) {
    const refused = await ask(api, 400, "GET", `${MAPS}?${query}`);
    assertEquals(refused.reason, "BadRequest");
  }
});
