/** What kubectl asks beside plain reads and writes: discovery, tables, watches, patches, scale. */
import { assert, assertEquals, assertMatch, assertObjectMatch } from "@std/assert";
import { ADMIN_TOKEN, type TestApi, testApi } from "../../tests/fakes/api.ts";
import { DEFAULT_LIMITS } from "../deps.ts";
import { humanDuration } from "./table.ts";

const PODS = "/api/v1/namespaces/default/pods";
const TABLE = { Accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" };

function pod(name: string, labels: Record<string, string> = {}) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels },
    spec: { containers: [{ name: "c", image: "i" }] },
  };
}

async function json(response: Response, code = 200) {
  const body = await response.json();
  assertEquals(response.status, code, JSON.stringify(body));
  return body;
}

interface WatchLine {
  readonly type: string;
  readonly object: {
    readonly kind: string;
    readonly code?: number;
    readonly metadata: { readonly name?: string; readonly resourceVersion: string };
  };
}

/** Reads a watch line by line. */
async function* lines(response: Response): AsyncGenerator<WatchLine> {
  assertEquals(response.status, 200);
  let rest = "";
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    rest += chunk;
    const parts = rest.split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) yield JSON.parse(part);
  }
}

async function take(source: AsyncGenerator<WatchLine>, count: number): Promise<string[]> {
  const out: string[] = [];
  while (out.length < count) {
    const { done, value } = await source.next();
    if (done === true) break;
    out.push(`${value.type} ${value.object.metadata.name ?? ""}`.trim());
  }
  return out;
}

Deno.test("discovery lists every kind of the table, with verbs and short names", async () => {
  await using api = await testApi();
  assertEquals((await json(await api.admin("GET", "/api"))).versions, ["v1"]);
  const groups = await json(await api.admin("GET", "/apis"));
  assertEquals(groups.groups.map((group: { name: string }) => group.name), [
    "apps",
    "batch",
    "rbac.authorization.k8s.io",
    "coordination.k8s.io",
    "networking.k8s.io",
    "apiextensions.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
  ]);
  const apps = await json(await api.admin("GET", "/apis/apps/v1"));
  assertObjectMatch(apps, { kind: "APIResourceList", groupVersion: "apps/v1" });
  const deployments = apps.resources.find((r: { name: string }) => r.name === "deployments");
  assertObjectMatch(deployments, { kind: "Deployment", namespaced: true, shortNames: ["deploy"] });
  assert(apps.resources.some((r: { name: string }) => r.name === "deployments/scale"));
  assertEquals((await json(await api.admin("GET", "/apis/apps"))).preferredVersion.version, "v1");
  for (const path of ["/apis/nothing", "/apis/apps/v9", "/api/v2"]) {
    await json(await api.admin("GET", path), 404);
  }
  assertEquals((await api.admin("POST", "/apis", {})).status, 405);
  assertEquals((await api.app.request("/api")).status, 401);
});

Deno.test("OpenAPI describes patches, fields and merge keys", async () => {
  await using api = await testApi();
  const index = await json(await api.admin("GET", "/openapi/v3"));
  const url = index.paths["apis/apps/v1"].serverRelativeURL;
  const document = await json(await api.admin("GET", url));
  const path = document.paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
  assert(path.patch.parameters.some((p: { name: string }) => p.name === "fieldValidation"));
  assertEquals(path.patch["x-kubernetes-group-version-kind"].kind, "Deployment");
  const spec = document.components.schemas["io.k8s.api.v1.PodSpec"];
  assertEquals(spec.properties.containers["x-kubernetes-patch-merge-key"], "name");
  await json(await api.admin("GET", "/openapi/v3/apis/none/v1"), 404);
  assertEquals((await api.app.request("/openapi/v3")).status, 401);
});

Deno.test("a Table has the columns of its kind", async () => {
  await using api = await testApi();
  await json(await api.admin("POST", PODS, pod("a")), 201);
  api.time.now += 90_000;
  const table = await json(await api.admin("GET", PODS, undefined, TABLE));
  assertEquals(table.kind, "Table");
  assertEquals(table.columnDefinitions.map((c: { name: string }) => c.name), [
    "Name",
    "Ready",
    "Status",
    "Restarts",
    "Age",
    "IP",
    "Node",
  ]);
  assertEquals(table.rows[0].cells, ["a", "0/1", "Pending", "0", "90s", "<none>", "<none>"]);
  assertObjectMatch(table.rows[0].object, {
    kind: "PartialObjectMetadata",
    metadata: { name: "a" },
  });
  const one = await json(await api.admin("GET", `${PODS}/a?includeObject=None`, undefined, TABLE));
  assertEquals(one.rows[0].object, undefined);
  const plain = await api.admin("GET", PODS, undefined, {
    Accept: `application/json,${TABLE.Accept}`,
  });
  assertEquals((await json(plain)).kind, "PodList");
});

Deno.test("humanDuration() writes as kubectl does", () => {
  const cases: [number, string][] = [
    [0, "0s"],
    [119, "119s"],
    [120, "2m"],
    [130, "2m10s"],
    [3_599, "59m"],
    [10_800, "3h"],
    [11_100, "3h5m"],
    [86_400 * 2, "2d"],
    [86_400 * 2 + 3_600, "2d1h"],
    [86_400 * 400, "400d"],
    [86_400 * 800, "2y70d"],
  ];
  for (const [seconds, expected] of cases) assertEquals(humanDuration(seconds * 1000), expected);
});

Deno.test("a watch begins with what is there and goes on with what happens", async () => {
  await using api = await testApi();
  await json(await api.admin("POST", PODS, pod("a")), 201);
  const events = lines(await api.admin("GET", `${PODS}?watch=true`));
  assertEquals(await take(events, 1), ["ADDED a"]);
  await json(await api.admin("POST", PODS, pod("b")), 201);
  await json(await api.admin("PUT", `${PODS}/b`, pod("b", { x: "y" })));
  await json(await api.admin("DELETE", `${PODS}/a`));
  assertEquals(await take(events, 3), ["ADDED b", "MODIFIED b", "DELETED a"]);
  await events.return(undefined);
});

Deno.test("a watch from a version misses nothing after it", async () => {
  await using api = await testApi();
  await json(await api.admin("POST", PODS, pod("before")), 201);
  const { metadata } = await json(await api.admin("GET", PODS));
  await json(await api.admin("POST", PODS, pod("after")), 201);
  const query = `watch=1&resourceVersion=${metadata.resourceVersion}`;
  const events = lines(await api.admin("GET", `${PODS}?${query}`));
  assertEquals(await take(events, 1), ["ADDED after"]);
  await events.return(undefined);
});

Deno.test("a watch with a selector sees objects come in and go out", async () => {
  await using api = await testApi();
  const events = lines(await api.admin("GET", `${PODS}?watch=true&labelSelector=app%3Dweb`));
  await json(await api.admin("POST", PODS, pod("a", { app: "db" })), 201);
  await json(await api.admin("PUT", `${PODS}/a`, pod("a", { app: "web" })));
  await json(await api.admin("PUT", `${PODS}/a`, pod("a", { app: "web", more: "1" })));
  await json(await api.admin("PUT", `${PODS}/a`, pod("a", { app: "db" })));
  assertEquals(await take(events, 3), ["ADDED a", "MODIFIED a", "DELETED a"]);
  await events.return(undefined);
});

Deno.test("a watch of one name sees that name alone", async () => {
  await using api = await testApi();
  const events = lines(
    await api.admin("GET", `${PODS}?watch=true&fieldSelector=metadata.name%3Db`),
  );
  await json(await api.admin("POST", PODS, pod("a")), 201);
  await json(await api.admin("POST", PODS, pod("b")), 201);
  assertEquals(await take(events, 1), ["ADDED b"]);
  await events.return(undefined);
});

Deno.test("a watch ends in time, with a bookmark where asked", async () => {
  await using api = await testApi();
  const query = "watch=true&timeoutSeconds=1&allowWatchBookmarks=true";
  const seen: WatchLine[] = [];
  for await (const line of lines(await api.admin("GET", `${PODS}?${query}`))) seen.push(line);
  assertEquals(seen.map((line) => line.type), ["BOOKMARK"]);
  assertEquals(seen[0]?.object.metadata.resourceVersion, String(api.store.revision("k8s")));
});

Deno.test("a watch of compacted history is 410, of the future a timeout", async () => {
  await using api = await testApi();
  const old = api.store.revision("k8s");
  await json(await api.admin("POST", PODS, pod("a")), 201);
  await json(await api.admin("POST", PODS, pod("b")), 201);
  await api.store.compact("k8s", api.store.revision("k8s"));
  const gone = await api.admin("GET", `${PODS}?watch=true&resourceVersion=${old}`);
  assertEquals((await json(gone, 410)).reason, "Expired");
  const future = await api.admin("GET", `${PODS}?watch=true&resourceVersion=${old + 1000}`);
  assertEquals((await json(future, 504)).reason, "Timeout");
});

Deno.test("watches are counted, and given back", async () => {
  await using api = await testApi({
    deps: { limits: { ...DEFAULT_LIMITS, attestations: { perSecond: 1, burst: 1 }, watches: 1 } },
  });
  const first = await api.admin("GET", `${PODS}?watch=true`);
  const second = await api.admin("GET", `${PODS}?watch=true`);
  assertEquals(second.headers.get("retry-after"), "10");
  await json(second, 429);
  await first.body?.cancel();
  const third = await api.admin("GET", `${PODS}?watch=true`);
  assertEquals(third.status, 200);
  await third.body?.cancel();
  await json(await api.admin("GET", `${PODS}?watch=true&labelSelector=%3D`), 400);
  const fourth = await api.admin("GET", `${PODS}?watch=true`);
  assertEquals(fourth.status, 200);
  await fourth.body?.cancel();
});

function patch(api: TestApi, path: string, type: string, body: unknown): Promise<Response> {
  return api.admin("PATCH", path, body, { "Content-Type": `application/${type}+json` });
}

Deno.test("the three kinds of patches change an object, and nothing but what may change", async () => {
  await using api = await testApi();
  await json(await api.admin("POST", PODS, pod("a", { x: "1" })), 201);
  const path = `${PODS}/a`;
  const merged = await json(
    await patch(api, path, "merge-patch", { metadata: { labels: { x: null, y: "2" } } }),
  );
  assertEquals(merged.metadata.labels, { y: "2" });
  const stepped = await json(
    await patch(api, path, "json-patch", [{ op: "add", path: "/metadata/labels/z", value: "3" }]),
  );
  assertEquals(stepped.metadata.labels, { y: "2", z: "3" });
  const strategic = await json(
    await patch(api, path, "strategic-merge-patch", {
      spec: { containers: [{ name: "d", image: "j" }] },
    }),
  );
  assertEquals(strategic.spec.containers.length, 2);
  assertEquals(strategic.metadata.generation, 2);
  const revision = api.store.revision("k8s");
  await json(await patch(api, path, "merge-patch", {}));
  assertEquals(api.store.revision("k8s"), revision);
  const refusals: [string, unknown, number][] = [
    ["merge-patch", { metadata: { name: "other" } }, 400],
    ["merge-patch", { metadata: { uid: "other" } }, 409],
    ["merge-patch", { metadata: { resourceVersion: "1" } }, 409],
    ["merge-patch", { kind: "Secret" }, 400],
    ["merge-patch", { spec: { containers: "none" } }, 400],
    ["merge-patch", [], 400],
    ["json-patch", [{ op: "test", path: "/metadata/name", value: "b" }], 422],
    ["apply-patch", {}, 415],
  ];
  for (const [type, body, code] of refusals) await json(await patch(api, path, type, body), code);
  await json(await patch(api, `${PODS}/none`, "merge-patch", {}), 404);
  const status = await json(
    await patch(api, `${path}/status`, "merge-patch", { status: { phase: "Running" } }),
  );
  assertEquals([status.status.phase, status.metadata.generation], ["Running", 2]);
});

Deno.test("types of fields are checked whatever fieldValidation says", async () => {
  await using api = await testApi();
  const wrong: [string, unknown][] = [
    ["spec.containers", { containers: {} }],
    ["spec.containers[0].image", { containers: [{ name: "c", image: 5 }] }],
    ["spec.terminationGracePeriodSeconds", { terminationGracePeriodSeconds: "x" }],
    ["spec.containers[0].resources.limits.cpu", {
      containers: [{ name: "c", resources: { limits: { cpu: "lots" } } }],
    }],
  ];
  for (const [field, spec] of wrong) {
    const body = await json(await api.admin("POST", PODS, { ...pod("a"), spec }), 400);
    assertMatch(body.message, new RegExp(field.replaceAll(/[[\].]/g, "\\$&")));
  }
  await json(await api.admin("POST", `${PODS}?fieldValidation=Nonsense`, pod("a")), 400);
});

Deno.test("scale reads and writes replicas alone", async () => {
  await using api = await testApi();
  const deployments = "/apis/apps/v1/namespaces/default/deployments";
  await json(
    await api.admin("POST", deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "d" },
      spec: { replicas: 2, selector: { matchLabels: { a: "b" } } },
    }),
    201,
  );
  const path = `${deployments}/d/scale`;
  const scale = await json(await api.admin("GET", path));
  assertObjectMatch(scale, {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    spec: { replicas: 2 },
    status: { selector: "a=b" },
  });
  const next = await json(await patch(api, path, "merge-patch", { spec: { replicas: 5 } }));
  assertEquals(next.spec.replicas, 5);
  const object = await json(await api.admin("GET", `${deployments}/d`));
  assertEquals([object.spec.replicas, object.metadata.generation], [5, 2]);
  assertEquals(object.metadata.resourceVersion, next.metadata.resourceVersion);
  await json(await api.admin("PUT", path, scale), 409);
  await json(await patch(api, path, "merge-patch", { spec: { replicas: -1 } }), 422);
  await json(await api.admin("GET", `${PODS}/x/scale`), 404);
});

Deno.test("SelfSubjectAccessReview says what the asker may do", async () => {
  await using api = await testApi();
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const review = {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: { resourceAttributes: { verb: "create", resource: "pods", namespace: "default" } },
  };
  assertEquals((await json(await api.admin("POST", path, review), 201)).status.allowed, true);
  assertEquals((await api.post(path, review)).status, 401);
  assertEquals(
    (await api.post(path, review, { Authorization: `Bearer ${ADMIN_TOKEN}x` })).status,
    401,
  );
});
