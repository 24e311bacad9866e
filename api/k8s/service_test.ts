import { assert, assertEquals, assertMatch, assertObjectMatch } from "@std/assert";
import { ADMIN_TOKEN, SEAL_TOKEN, type TestApi, testApi } from "../../tests/fakes/api.ts";

const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";

function configMap(name: string, extra: Record<string, unknown> = {}) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { a: "1" }, ...extra };
}

function pod(name: string, labels: Record<string, string> = {}) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels },
    spec: { containers: [{ name: "c", image: "i" }] },
  };
}

async function status(response: Response, code: number, reason: string) {
  const body = await response.json();
  assertObjectMatch(body, { kind: "Status", apiVersion: "v1", status: "Failure", code, reason });
  assertEquals(response.status, code);
  return body;
}

async function created(api: TestApi, path: string, body: unknown) {
  const response = await api.admin("POST", path, body);
  const object = await response.json();
  assertEquals(response.status, 201, JSON.stringify(object));
  return object;
}

Deno.test("Kubernetes paths are 401 without a token and with a wrong one", async () => {
  await using api = await testApi();
  for (
    const headers of [{}, { Authorization: "Bearer nonsense" }, { Authorization: "Basic YTpi" }, {
      Authorization: `Bearer ${ADMIN_TOKEN}x`,
    }]
  ) {
    for (
      const path of [CONFIG_MAPS, "/apis/apps/v1/deployments", "/api/v1/nothing", "/apis/x/y/z"]
    ) {
      const response = await api.app.request(path, { headers });
      assertMatch(response.headers.get("www-authenticate") ?? "", /^Bearer/);
      await status(response, 401, "Unauthorized");
    }
  }
});

Deno.test("a worker's session is known, and allowed nothing yet", async () => {
  await using api = await testApi();
  api.validator.admit(SEAL_TOKEN, { nodeId: "n1" });
  const registered = await api.post("/api/v1/register-worker", {
    node_id: "n1",
    seal_token: SEAL_TOKEN,
    timestamp: 1,
  });
  const { session_token } = await registered.json();
  const response = await api.app.request(CONFIG_MAPS, {
    headers: { Authorization: `Bearer ${session_token}` },
  });
  const body = await status(response, 403, "Forbidden");
  assertMatch(body.message, /User "system:node:n1" cannot list resource "configmaps"/);
});

Deno.test("create fills in what the server decides", async () => {
  await using api = await testApi();
  const object = await created(
    api,
    CONFIG_MAPS,
    configMap("one", {
      metadata: {
        name: "one",
        creationTimestamp: null,
        uid: "mine",
        labels: { app: "x" },
        managedFields: [],
      },
    }),
  );
  assertMatch(object.metadata.uid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-/);
  assertEquals(object.metadata.creationTimestamp, "2026-11-22T12:00:00Z");
  assertEquals(object.metadata.resourceVersion, String(api.store.revision("k8s")));
  assertEquals(object.metadata.namespace, "default");
  assertEquals(object.metadata.labels, { app: "x" });
  assertEquals(object.metadata.generation, undefined);
  const read = await api.admin("GET", `${CONFIG_MAPS}/one`);
  assertEquals(read.status, 200);
  assertEquals(await read.json(), object);
});

Deno.test("objects lie under their group, so that groups may share a plural", async () => {
  await using api = await testApi();
  await created(api, "/apis/apps/v1/namespaces/default/deployments", {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web" },
    spec: { replicas: 1 },
    status: { replicas: 9 },
  });
  const key = new TextEncoder().encode("/registry/apps/deployments/default/web");
  const { kvs } = await api.store.range("k8s", { key });
  assertEquals(kvs.length, 1);
  const read = await (await api.admin("GET", "/apis/apps/v1/namespaces/default/deployments/web"))
    .json();
  assertEquals(read.metadata.generation, 1);
  assertEquals(read.status, undefined);
});

Deno.test("create refuses a second object, a missing namespace, bad names and mismatches", async () => {
  await using api = await testApi();
  await created(api, CONFIG_MAPS, configMap("one"));
  const again = await status(
    await api.admin("POST", CONFIG_MAPS, configMap("one")),
    409,
    "AlreadyExists",
  );
  assertEquals(again.message, 'configmaps "one" already exists');
  const missing = await status(
    await api.admin("POST", "/api/v1/namespaces/nowhere/configmaps", configMap("one")),
    404,
    "NotFound",
  );
  assertEquals(missing.message, 'namespaces "nowhere" not found');
  for (const name of ["UPPER", "a_b", "-a", "a/b", "", "a".repeat(254)]) {
    await status(await api.admin("POST", CONFIG_MAPS, configMap(name)), 422, "Invalid");
  }
  await status(
    await api.admin("POST", "/api/v1/namespaces/default/services", {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "1st" },
    }),
    422,
    "Invalid",
  );
  const cases: unknown[] = [
    { ...configMap("x"), kind: "Secret" },
    { ...configMap("x"), apiVersion: "v2" },
    configMap("x", { metadata: { name: "x", namespace: "kube-system" } }),
    configMap("x", { metadata: { name: "x", resourceVersion: "5" } }),
    configMap("x", { metadata: { name: 5 } }),
    configMap("x", { metadata: "x" }),
    [],
    null,
    "[",
    `{"apiVersion":"v2","apiVersion":"v1"`,
    `{"apiVersion":"v1","apiVersion":"v2","metadata":{"name":"x"}}`,
  ];
  for (const body of cases) {
    const refused = await api.admin("POST", CONFIG_MAPS, body);
    await status(refused, 400, "BadRequest");
  }
  await status(
    await api.admin(
      "POST",
      CONFIG_MAPS,
      configMap("x", { metadata: { name: "x", labels: { "a b": "c" } } }),
    ),
    422,
    "Invalid",
  );
});

Deno.test("generateName gives names of the right form", async () => {
  await using api = await testApi();
  const names = await Promise.all(Array.from({ length: 5 }, async () => {
    const object = await created(
      api,
      CONFIG_MAPS,
      configMap("", { metadata: { generateName: "web-" } }),
    );
    return object.metadata.name;
  }));
  assertEquals(new Set(names).size, 5);
  for (const name of names) assertMatch(name, /^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
});

Deno.test("every kind of the table can be created, read, listed, replaced and deleted", async () => {
  await using api = await testApi();
  for (const resource of api.k8s.kinds.fixed.all()) {
    // A definition is checked for what it defines: crd/crd_test.ts.
    if (resource.kind === "CustomResourceDefinition") continue;
    const { group, version, plural, namespaced, kind } = resource;
    const base = (group === "" ? `/api/${version}` : `/apis/${group}/${version}`) +
      (namespaced ? "/namespaces/default" : "") + `/${plural}`;
    const apiVersion = group === "" ? version : `${group}/${version}`;
    const object = await created(api, base, {
      apiVersion,
      kind,
      metadata: { name: "thing" },
      ...(kind.endsWith("Binding") ? { roleRef: { kind: "ClusterRole", name: "r" } } : {}),
    });
    const list = await (await api.admin("GET", base)).json();
    assertEquals(list.kind, `${kind}List`);
    assertEquals(list.apiVersion, apiVersion);
    assert(
      list.items.some((item: { metadata: { name: string } }) => item.metadata.name === "thing"),
    );
    object.metadata.labels = { ...object.metadata.labels, touched: "yes" };
    const replaced = await api.admin("PUT", `${base}/thing`, object);
    assertEquals(replaced.status, 200, kind);
    assertEquals((await replaced.json()).metadata.labels.touched, "yes");
    const deleted = await api.admin("DELETE", `${base}/thing`);
    assertEquals(deleted.status, 200, kind);
    await deleted.body?.cancel();
    await status(await api.admin("GET", `${base}/thing`), 404, "NotFound");
  }
});

Deno.test("replace keeps identity, counts generations and refuses stale versions", async () => {
  await using api = await testApi();
  const path = "/apis/apps/v1/namespaces/default/deployments";
  const object = await created(api, path, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web" },
    spec: { replicas: 1 },
  });
  api.time.now += 60_000;
  const update = { ...object, spec: { replicas: 2 }, status: { replicas: 2 } };
  const next = await (await api.admin("PUT", `${path}/web`, update)).json();
  assertEquals(next.metadata.generation, 2);
  assertEquals(next.metadata.uid, object.metadata.uid);
  assertEquals(next.metadata.creationTimestamp, object.metadata.creationTimestamp);
  assertEquals(next.status, undefined);
  const stale = await status(await api.admin("PUT", `${path}/web`, update), 409, "Conflict");
  assertMatch(stale.message, /the object has been modified/);
  const { resourceVersion: _, ...unversioned } = next.metadata;
  const labelled = { ...next, metadata: { ...unversioned, labels: { a: "b" } } };
  const third = await (await api.admin("PUT", `${path}/web`, labelled)).json();
  assertEquals(third.metadata.generation, 2);
  const revision = api.store.revision("k8s");
  const same = await (await api.admin("PUT", `${path}/web`, third)).json();
  assertEquals(same, third);
  assertEquals(api.store.revision("k8s"), revision);
  await status(
    await api.admin("PUT", `${path}/web`, {
      ...third,
      metadata: { ...third.metadata, uid: "other" },
    }),
    409,
    "Conflict",
  );
  await status(await api.admin("PUT", `${path}/other`, third), 404, "NotFound");
  await status(
    await api.admin("PUT", `${path}/web`, { ...third, metadata: { ...third.metadata, name: "b" } }),
    400,
    "BadRequest",
  );
});

Deno.test("status is written through its subresource alone", async () => {
  await using api = await testApi();
  const pods = "/api/v1/namespaces/default/pods";
  const object = await created(api, pods, pod("p"));
  assertEquals(object.status, { phase: "Pending" });
  const running = await api.admin("PUT", `${pods}/p/status`, {
    ...object,
    spec: {},
    status: { phase: "Running" },
  });
  const after = await running.json();
  assertEquals(after.status, { phase: "Running" });
  assertEquals(after.spec, object.spec);
  assertEquals(after.metadata.generation, 1);
  assertEquals((await (await api.admin("GET", `${pods}/p/status`)).json()).status.phase, "Running");
  await status(await api.admin("GET", `${CONFIG_MAPS}/x/status`), 404, "NotFound");
  await status(await api.admin("GET", `${pods}/p/log`), 404, "NotFound");
});

Deno.test("parallel replacements without a version all get through, one after the other", async () => {
  await using api = await testApi();
  await created(api, CONFIG_MAPS, configMap("one"));
  const answers = await Promise.all(
    Array.from(
      { length: 12 },
      (_, i) =>
        api.admin("PUT", `${CONFIG_MAPS}/one`, configMap("one", { data: { n: String(i) } })),
    ),
  );
  const versions = await Promise.all(answers.map(async (answer) => {
    assertEquals(answer.status, 200);
    return (await answer.json()).metadata.resourceVersion;
  }));
  assertEquals(new Set(versions).size, 12);
});

Deno.test("parallel creations of one name make one object, each revision its own", async () => {
  await using api = await testApi();
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => api.admin("POST", CONFIG_MAPS, configMap("same"))),
  );
  assertEquals(answers.map((answer) => answer.status).toSorted(), [201, ...Array(7).fill(409)]);
  await Promise.all(answers.map((answer) => answer.body?.cancel()));
  const several = await Promise.all(
    Array.from({ length: 8 }, (_, i) => created(api, CONFIG_MAPS, configMap(`s${i}`))),
  );
  for (const object of several) {
    const read = await (await api.admin("GET", `${CONFIG_MAPS}/${object.metadata.name}`)).json();
    assertEquals(read.metadata.resourceVersion, object.metadata.resourceVersion);
  }
});

Deno.test("delete honours preconditions and answers with a Status", async () => {
  await using api = await testApi();
  const object = await created(api, CONFIG_MAPS, configMap("one"));
  const path = `${CONFIG_MAPS}/one`;
  const options = (preconditions: unknown) => ({
    kind: "DeleteOptions",
    apiVersion: "v1",
    preconditions,
  });
  await status(await api.admin("DELETE", path, options({ uid: "other" })), 409, "Conflict");
  await status(await api.admin("DELETE", path, options({ resourceVersion: "1" })), 409, "Conflict");
  await status(
    await api.admin("DELETE", path, { kind: "DeleteOptions", nonsense: 1 }),
    400,
    "BadRequest",
  );
  const done = await api.admin("DELETE", path, options({ uid: object.metadata.uid }));
  assertObjectMatch(await done.json(), {
    kind: "Status",
    status: "Success",
    details: { name: "one", kind: "configmaps", uid: object.metadata.uid },
  });
  await status(await api.admin("DELETE", path), 404, "NotFound");
});

Deno.test("an object with finalizers waits for them", async () => {
  await using api = await testApi();
  const object = await created(
    api,
    CONFIG_MAPS,
    configMap("one", { metadata: { name: "one", finalizers: ["example.org/wait"] } }),
  );
  const marked = await (await api.admin("DELETE", `${CONFIG_MAPS}/one`)).json();
  assertEquals(marked.metadata.deletionTimestamp, "2026-11-22T12:00:00Z");
  assertEquals(marked.metadata.uid, object.metadata.uid);
  const more = {
    ...marked,
    metadata: { ...marked.metadata, finalizers: ["example.org/wait", "b.org/x"] },
  };
  await status(await api.admin("PUT", `${CONFIG_MAPS}/one`, more), 422, "Invalid");
  const released = { ...marked, metadata: { ...marked.metadata, finalizers: [] } };
  assertEquals((await api.admin("PUT", `${CONFIG_MAPS}/one`, released)).status, 200);
  await status(await api.admin("GET", `${CONFIG_MAPS}/one`), 404, "NotFound");
});

Deno.test("a namespace goes with everything in it, in one revision", async () => {
  await using api = await testApi();
  const namespace = await created(api, "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "team" },
  });
  assertEquals(namespace.metadata.labels, { "kubernetes.io/metadata.name": "team" });
  assertEquals(namespace.status, { phase: "Active" });
  for (let i = 0; i < 3; i++) {
    await created(api, "/api/v1/namespaces/team/configmaps", configMap(`c${i}`));
    await created(api, "/api/v1/namespaces/team/pods", pod(`p${i}`));
  }
  await created(api, CONFIG_MAPS, configMap("stays"));
  const before = api.store.revision("k8s");
  const deleted = await api.admin("DELETE", "/api/v1/namespaces/team");
  assertEquals((await deleted.json()).status, { phase: "Terminating" });
  assertEquals(api.store.revision("k8s"), before + 1);
  await status(await api.admin("GET", "/api/v1/namespaces/team"), 404, "NotFound");
  const pods = await (await api.admin("GET", "/api/v1/pods")).json();
  assertEquals(pods.items, []);
  assertEquals((await (await api.admin("GET", CONFIG_MAPS)).json()).items.length, 1);
});

Deno.test("a namespace whose content has finalizers terminates when the last is gone", async () => {
  await using api = await testApi();
  await created(api, "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "team" },
  });
  const path = "/api/v1/namespaces/team/configmaps";
  await created(
    api,
    path,
    configMap("held", { metadata: { name: "held", finalizers: ["a.org/x"] } }),
  );
  await created(api, path, configMap("free"));
  await (await api.admin("DELETE", "/api/v1/namespaces/team")).body?.cancel();
  const terminating = await (await api.admin("GET", "/api/v1/namespaces/team")).json();
  assertEquals(terminating.status, { phase: "Terminating" });
  await status(await api.admin("POST", path, configMap("late")), 403, "Forbidden");
  const held = await (await api.admin("GET", `${path}/held`)).json();
  await status(await api.admin("GET", `${path}/free`), 404, "NotFound");
  held.metadata.finalizers = [];
  assertEquals((await api.admin("PUT", `${path}/held`, held)).status, 200);
  await status(await api.admin("GET", "/api/v1/namespaces/team"), 404, "NotFound");
});

Deno.test("the namespaces that every cluster has are there and stay", async () => {
  await using api = await testApi();
  await api.k8s.bootstrap();
  const list = await (await api.admin("GET", "/api/v1/namespaces")).json();
  assertEquals(
    list.items.map((item: { metadata: { name: string } }) => item.metadata.name),
    ["default", "kube-node-lease", "kube-public", "kube-system"],
  );
  for (const name of ["default", "kube-system", "kube-public"]) {
    await status(await api.admin("DELETE", `/api/v1/namespaces/${name}`), 403, "Forbidden");
  }
});

Deno.test("list selects by labels and fields", async () => {
  await using api = await testApi();
  const pods = "/api/v1/namespaces/default/pods";
  await created(api, pods, pod("a", { app: "web", tier: "front" }));
  await created(api, pods, pod("b", { app: "web" }));
  await created(api, pods, pod("c", { app: "db" }));
  const names = async (query: string) => {
    const response = await api.admin("GET", `${pods}?${query}`);
    assertEquals(response.status, 200, query);
    return (await response.json()).items.map((item: { metadata: { name: string } }) =>
      item.metadata.name
    )
      .join("");
  };
  const cases: [string, string][] = [
    ["app=web", "ab"],
    ["app==db", "c"],
    ["app!=web", "c"],
    ["app in (web,db),tier", "a"],
    ["app notin (web)", "c"],
    ["!tier", "bc"],
    ["tier!=front", "bc"],
  ];
  for (const [selector, expected] of cases) {
    assertEquals(await names(`labelSelector=${encodeURIComponent(selector)}`), expected, selector);
  }
  assertEquals(await names("fieldSelector=metadata.name%3Db"), "b");
  assertEquals(await names("fieldSelector=metadata.name!%3Db"), "ac");
  assertEquals(await names("fieldSelector=status.phase%3DPending"), "abc");
  assertEquals(await names("fieldSelector=spec.nodeName%3Dx"), "");
  for (
    const bad of [
      "labelSelector=a%3D%3D%3Db",
      "labelSelector=a%20b",
      "fieldSelector=spec.x%3D1",
      "limit=-1",
      "limit=1&limit=2",
      "resourceVersionMatch=Exact",
      "continue=abc",
      "resourceVersion=x",
    ]
  ) {
    await status(await api.admin("GET", `${pods}?${bad}`), 400, "BadRequest");
  }
});

Deno.test("list pages stay at the revision of the first page", async () => {
  await using api = await testApi();
  for (let i = 0; i < 5; i++) await created(api, CONFIG_MAPS, configMap(`c${i}`));
  const first = await (await api.admin("GET", `${CONFIG_MAPS}?limit=2`)).json();
  assertEquals(first.items.length, 2);
  assertEquals(first.metadata.remainingItemCount, 3);
  await created(api, CONFIG_MAPS, configMap("c9"));
  await (await api.admin("DELETE", `${CONFIG_MAPS}/c3`)).body?.cancel();
  const second =
    await (await api.admin("GET", `${CONFIG_MAPS}?limit=2&continue=${first.metadata.continue}`))
      .json();
  assertEquals(second.metadata.resourceVersion, first.metadata.resourceVersion);
  const third =
    await (await api.admin("GET", `${CONFIG_MAPS}?limit=2&continue=${second.metadata.continue}`))
      .json();
  const names = [first, second, third].flatMap((page) =>
    page.items.map((item: { metadata: { name: string } }) => item.metadata.name)
  );
  assertEquals(names, ["c0", "c1", "c2", "c3", "c4"]);
  assertEquals(third.metadata.continue, undefined);
  await api.store.compact("k8s", api.store.revision("k8s"));
  await status(
    await api.admin("GET", `${CONFIG_MAPS}?limit=2&continue=${first.metadata.continue}`),
    410,
    "Expired",
  );
});

Deno.test("list pages with a selector neither lose nor repeat anything", async () => {
  await using api = await testApi();
  const pods = "/api/v1/namespaces/default/pods";
  for (let i = 0; i < 9; i++) {
    await created(api, pods, pod(`p${i}`, i % 2 === 0 ? { even: "y" } : {}));
  }
  const names: string[] = [];
  let next = "";
  do {
    const page =
      await (await api.admin("GET", `${pods}?labelSelector=even&limit=2&continue=${next}`)).json();
    assert(page.items.length <= 2);
    names.push(...page.items.map((item: { metadata: { name: string } }) => item.metadata.name));
    next = page.metadata.continue ?? "";
  } while (next !== "");
  assertEquals(names, ["p0", "p2", "p4", "p6", "p8"]);
});

Deno.test("deletecollection deletes what is selected", async () => {
  await using api = await testApi();
  const pods = "/api/v1/namespaces/default/pods";
  await created(api, pods, pod("a", { app: "web" }));
  await created(api, pods, pod("b", { app: "web" }));
  await created(api, pods, pod("c"));
  const before = api.store.revision("k8s");
  assertEquals((await api.admin("DELETE", `${pods}?labelSelector=app%3Dweb`)).status, 200);
  assertEquals(api.store.revision("k8s"), before + 1);
  assertEquals((await (await api.admin("GET", pods)).json()).items.length, 1);
});

Deno.test("dryRun=All answers as if, and writes nothing", async () => {
  await using api = await testApi();
  await created(api, CONFIG_MAPS, configMap("one"));
  const before = api.store.revision("k8s");
  const response = await api.admin("POST", `${CONFIG_MAPS}?dryRun=All`, configMap("two"));
  assertEquals(response.status, 201);
  await response.body?.cancel();
  await status(
    await api.admin("POST", `${CONFIG_MAPS}?dryRun=All`, configMap("one")),
    409,
    "AlreadyExists",
  );
  assertEquals(
    (await api.admin("PUT", `${CONFIG_MAPS}/one?dryRun=All`, configMap("one", { data: {} })))
      .status,
    200,
  );
  assertEquals((await api.admin("DELETE", `${CONFIG_MAPS}/one?dryRun=All`)).status, 200);
  assertEquals((await api.admin("DELETE", `${CONFIG_MAPS}/one`, { dryRun: ["All"] })).status, 200);
  assertEquals(api.store.revision("k8s"), before);
  await status(
    await api.admin("POST", `${CONFIG_MAPS}?dryRun=Some`, configMap("two")),
    400,
    "BadRequest",
  );
});

Deno.test("bodies may be YAML: one document of plain data", async () => {
  await using api = await testApi();
  const yaml = (text: string, type = "application/yaml") =>
    api.admin("POST", CONFIG_MAPS, text, { "Content-Type": type });
  const good = await yaml(
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {a: 'x', b: \"yes\"}\n",
  );
  assertEquals(good.status, 201);
  assertEquals((await good.json()).data, { a: "x", b: "yes" });
  const head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: z}\n";
  const bad = [
    "",
    "just text",
    `${head}---\n${head}`,
    `${head}data: {a: 1, a: 2}`,
    `${head}data: !!js/function 'x'`,
    `${head}data: !custom {a: b}`,
    `${head}x: .nan`,
    `${head}__proto__: {a: b}`,
    `${head}data: {? [a] : b}`,
    `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n`,
    `x: ${"[".repeat(50_000)}`,
    "%TAG ! tag:example.org,2000:\n---\na: b\n",
  ];
  for (const text of bad) await status(await yaml(text), 400, "BadRequest");
  await status(await yaml(`${head}#${"x".repeat(300_000)}`), 413, "RequestEntityTooLarge");
  await status(await yaml(head, "application/xml"), 415, "UnsupportedMediaType");
});

Deno.test("secrets take stringData, and immutable ones stay as they are", async () => {
  await using api = await testApi();
  const path = "/api/v1/namespaces/default/secrets";
  const secret = await created(api, path, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s" },
    stringData: { password: "hunter2" },
    immutable: true,
  });
  assertEquals(secret.data, { password: "aHVudGVyMg==" });
  assertEquals(secret.stringData, undefined);
  assertEquals(secret.type, "Opaque");
  await status(await api.admin("PUT", `${path}/s`, { ...secret, data: {} }), 422, "Invalid");
  const { kvs } = await api.store.range("k8s", {
    key: new TextEncoder().encode("/registry/core/secrets/default/s"),
  });
  assert(!new TextDecoder().decode(kvs[0]?.value).includes("hunter2"));
});

Deno.test("paths that play tricks reach nothing", async () => {
  await using api = await testApi();
  for (
    const path of [
      "/api/v1/namespaces/default/configmaps/a%2Fb",
      "/api/v1/namespaces/%00/configmaps",
      "/api/v1/namespaces/DEFAULT/configmaps",
      "/api/v1/namespaces/default/configmaps/%E0%A4",
      `/api/v1/namespaces/default/configmaps/${"a".repeat(3000)}`,
    ]
  ) {
    await status(await api.admin("GET", path), 400, "BadRequest");
  }
  for (
    const path of [
      "/api/v1/namespaces//configmaps",
      "/api/v1/namespaces/default/nothing",
      "/api/v2/pods",
      "/apis/apps/v1beta1/deployments",
      "/api/v1/namespaces/default/nodes",
      "/apis//v1/pods",
    ]
  ) {
    await status(await api.admin("GET", path), 404, "NotFound");
  }
});

Deno.test("methods that a path does not have are 405 with Allow", async () => {
  await using api = await testApi();
  for (
    const [method, path] of [["PUT", CONFIG_MAPS], ["POST", `${CONFIG_MAPS}/x`], [
      "DELETE",
      "/api/v1/namespaces/default/status",
    ], ["TRACE2", CONFIG_MAPS]] as const
  ) {
    const response = await api.admin(method, path);
    assert((response.headers.get("allow") ?? "").includes("GET"));
    await status(response, 405, "MethodNotAllowed");
  }
});

Deno.test("a node may be called heartbeat, and POST to it is still the worker's", async () => {
  await using api = await testApi();
  await created(api, "/api/v1/nodes", {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "heartbeat" },
  });
  // Errors on this path are problem documents, answers are the node.
  assertEquals((await (await api.admin("GET", "/api/v1/nodes/heartbeat")).json()).kind, "Node");
  assertEquals((await api.admin("POST", "/api/v1/nodes/heartbeat", {})).status, 401);
});
