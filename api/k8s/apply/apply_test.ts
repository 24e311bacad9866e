/** Server-side apply: the cases of Kubernetes' documentation, and what a kubectl does with it. */
import { assertEquals, assertMatch, assertObjectMatch, assertStringIncludes } from "@std/assert";
import { type TestApi, testApi } from "../../../tests/fakes/api.ts";
import { hasKubectl, openKubectl } from "../../../tests/fakes/kubectl.ts";

type Json = Record<string, unknown>;

const MAPS = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";

function map(data: Json, metadata: Json = {}): Json {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "m", ...metadata }, data };
}

interface Answer extends Json {
  code: number;
}

async function apply(
  api: TestApi,
  path: string,
  body: unknown,
  query = "fieldManager=one",
): Promise<Answer> {
  const response = await api.admin("PATCH", `${path}?${query}`, body, {
    "Content-Type": "application/apply-patch+yaml",
  });
  return { ...await response.json(), code: response.status };
}

async function read(api: TestApi, path: string) {
  return await (await api.admin("GET", path)).json();
}

function holders(object: { metadata: { managedFields?: Json[] } }): Json {
  return Object.fromEntries(
    (object.metadata.managedFields ?? []).map((entry) => [
      `${String(entry["manager"])} ${String(entry["operation"])}${
        entry["subresource"] === undefined ? "" : ` ${String(entry["subresource"])}`
      }`,
      entry["fieldsV1"],
    ]),
  );
}

Deno.test("an applied object is created, and its fields are the manager's", async () => {
  await using api = await testApi();
  const made = await apply(api, `${MAPS}/m`, map({ key: "some value" }, { labels: { a: "b" } }));
  assertEquals(made.code, 201);
  assertEquals((await read(api, `${MAPS}/m`)).metadata.managedFields, [{
    manager: "one",
    operation: "Apply",
    apiVersion: "v1",
    time: "2026-11-22T12:00:00Z",
    fieldsType: "FieldsV1",
    fieldsV1: {
      "f:data": { "f:key": {} },
      "f:metadata": { "f:labels": { "f:a": {} } },
    },
  }]);
});

Deno.test("apply without a manager, with managedFields, of another name or kind is refused", async () => {
  await using api = await testApi();
  const none = await apply(api, `${MAPS}/m`, map({}), "");
  assertObjectMatch(none, {
    code: 422,
    reason: "Invalid",
    message:
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
  });
  const managed = await apply(api, `${MAPS}/m`, map({}, { managedFields: [{ manager: "x" }] }));
  assertObjectMatch(managed, { code: 400, message: "metadata.managedFields must be nil" });
  assertEquals((await apply(api, `${MAPS}/other`, map({}))).code, 400);
  assertEquals((await apply(api, `${MAPS}/m`, { ...map({}), kind: "Secret" })).code, 400);
  assertEquals((await apply(api, `${MAPS}/m`, "[1")).code, 400);
  const forced = await api.admin("PATCH", `${MAPS}/m?force=true`, {}, {
    "Content-Type": "application/merge-patch+json",
  });
  assertMatch((await forced.json()).message, /force: Forbidden: may not be specified/);
  const long = await apply(api, `${MAPS}/m`, map({}), `fieldManager=${"x".repeat(129)}`);
  assertEquals(long.code, 422);
});

Deno.test("what another holds is a conflict that names it; with force it changes hands", async () => {
  await using api = await testApi();
  await apply(api, `${MAPS}/m`, map({ a: "1", b: "1" }));
  const one = await apply(api, `${MAPS}/m`, map({ a: "2" }), "fieldManager=two");
  assertEquals(one.code, 409);
  assertEquals(
    one["message"],
    'Apply failed with 1 conflict: conflict with "one": .data.a',
  );
  assertEquals(one["reason"], "Conflict");
  assertObjectMatch(one, {
    details: {
      causes: [{
        reason: "FieldManagerConflict",
        message: 'conflict with "one"',
        field: ".data.a",
      }],
    },
  });
  const two = await apply(api, `${MAPS}/m`, map({ a: "2", b: "2" }), "fieldManager=two");
  assertEquals(
    two["message"],
    'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b',
  );
  assertEquals((await read(api, `${MAPS}/m`)).data, { a: "1", b: "1" });
  const forced = await apply(api, `${MAPS}/m`, map({ a: "2" }), "fieldManager=two&force=true");
  assertEquals(forced.code, 200);
  const now = await read(api, `${MAPS}/m`);
  assertEquals(now.data, { a: "2", b: "1" });
  assertEquals(holders(now), {
    "one Apply": { "f:data": { "f:b": {} } },
    "two Apply": { "f:data": { "f:a": {} } },
  });
});

Deno.test("equal values are shared, and stay until the last holder lets go", async () => {
  await using api = await testApi();
  await apply(api, `${MAPS}/m`, map({ a: "1", b: "1" }));
  assertEquals((await apply(api, `${MAPS}/m`, map({ a: "1" }), "fieldManager=two")).code, 200);
  await apply(api, `${MAPS}/m`, map({}));
  assertEquals((await read(api, `${MAPS}/m`)).data, { a: "1" });
  await apply(api, `${MAPS}/m`, map({}), "fieldManager=two");
  assertEquals((await read(api, `${MAPS}/m`)).data ?? {}, {});
});

Deno.test("an apply that changes nothing writes nothing", async () => {
  await using api = await testApi();
  const first = await apply(api, `${MAPS}/m`, map({ a: "1" }));
  const revision = api.store.revision("k8s");
  api.time.now += 60_000;
  const again = await apply(api, `${MAPS}/m`, map({ a: "1" }));
  assertEquals(again.code, 200);
  assertEquals(again["metadata"], first["metadata"]);
  assertEquals(api.store.revision("k8s"), revision);
  assertEquals(
    (await apply(api, `${MAPS}/m`, map({ a: "9" }), "fieldManager=one&dryRun=All")).code,
    200,
  );
  assertEquals(api.store.revision("k8s"), revision);
});

Deno.test("creates, replacements and patches hold what they change", async () => {
  await using api = await testApi();
  await api.admin("POST", `${MAPS}?fieldManager=maker`, map({ a: "1", b: "1" }));
  const merge = { "Content-Type": "application/merge-patch+json" };
  await api.admin("PATCH", `${MAPS}/m`, { data: { b: "2", c: "3" } }, {
    ...merge,
    "User-Agent": "my-tool/1.2 (linux)",
  });
  assertEquals(holders(await read(api, `${MAPS}/m`)), {
    "maker Update": { "f:data": { ".": {}, "f:a": {} } },
    "my-tool Update": { "f:data": { "f:b": {}, "f:c": {} } },
  });
  const conflict = await apply(api, `${MAPS}/m`, map({ a: "9" }));
  assertEquals(
    conflict["message"],
    'Apply failed with 1 conflict: conflict with "maker" using v1: .data.a',
  );
  await api.admin("PATCH", `${MAPS}/m`, { data: { c: null } }, merge);
  assertObjectMatch(holders(await read(api, `${MAPS}/m`)), {
    "my-tool Update": { "f:data": { "f:b": {} } },
  });
});

function deployment(spec: Json, containers: Json[] = [{ name: "c", image: "nginx:1" }]): Json {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "d" },
    spec: {
      selector: { matchLabels: { app: "d" } },
      template: { metadata: { labels: { app: "d" } }, spec: { containers } },
      ...spec,
    },
  };
}

Deno.test("lists are merged by their keys, and items go with their last holder", async () => {
  await using api = await testApi();
  const path = `${DEPLOYMENTS}/d`;
  const ports = [{ containerPort: 80 }, { containerPort: 80, protocol: "UDP" }];
  await apply(
    api,
    path,
    deployment({}, [{ name: "a", image: "a:1", ports }, { name: "b", image: "b" }]),
  );
  const other = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "d" },
    spec: {
      template: { spec: { containers: [{ name: "side", image: "s" }, { name: "a", tty: true }] } },
    },
  };
  assertEquals((await apply(api, path, other, "fieldManager=two")).code, 200);
  const both = await read(api, path);
  assertEquals(both.spec.template.spec.containers, [
    { name: "a", image: "a:1", ports, tty: true },
    { name: "b", image: "b" },
    { name: "side", image: "s" },
  ]);
  assertObjectMatch(holders(both), {
    "one Apply": {
      "f:spec": {
        "f:selector": {},
        "f:template": {
          "f:spec": {
            "f:containers": {
              'k:{"name":"a"}': {
                ".": {},
                "f:image": {},
                "f:name": {},
                "f:ports": {
                  'k:{"containerPort":80,"protocol":"TCP"}': { ".": {}, "f:containerPort": {} },
                  'k:{"containerPort":80,"protocol":"UDP"}': { ".": {}, "f:protocol": {} },
                },
              },
            },
          },
        },
      },
    },
  });
  const conflict = await apply(
    api,
    path,
    deployment({}, [{ name: "a", image: "a:2" }]),
    "fieldManager=two",
  );
  assertEquals(
    conflict["message"],
    'Apply failed with 1 conflict: conflict with "one": .spec.template.spec.containers[name="a"].image',
  );
  // One drops `a`, which two still holds a part of, and `b`, which nobody else does.
  await apply(api, path, deployment({}, [{ name: "c", image: "c" }]));
  assertEquals((await read(api, path)).spec.template.spec.containers, [
    { name: "a", tty: true },
    { name: "side", image: "s" },
    { name: "c", image: "c" },
  ]);
  const keyless = await apply(api, path, deployment({}, [{ image: "c" }]));
  assertEquals(
    keyless["message"],
    'failed to create typed patch object (default/d; apps/v1, Kind=Deployment): .spec.template.spec.containers: element 0: associative list with keys has an element that omits key field "name" (and doesn\'t have default value)',
  );
});

Deno.test("a field is handed over as the documentation does with replicas", async () => {
  await using api = await testApi();
  const path = `${DEPLOYMENTS}/d`;
  await apply(api, path, deployment({ replicas: 3 }));
  // The autoscaler takes it through /scale.
  const scaled = await api.admin("PATCH", `${path}/scale?fieldManager=scaler`, {
    spec: { replicas: 5 },
  }, { "Content-Type": "application/merge-patch+json" });
  assertEquals(scaled.status, 200);
  await scaled.body?.cancel();
  const taken = await read(api, path);
  assertEquals(holders(taken)["scaler Update scale"], { "f:spec": { "f:replicas": {} } });
  const back = await apply(api, path, deployment({ replicas: 3 }));
  assertEquals(
    back["message"],
    'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas',
  );
  assertEquals((await apply(api, path, deployment({}))).code, 200);
  assertEquals((await read(api, path)).spec.replicas, 5);
});

Deno.test("status is held through its subresource alone", async () => {
  await using api = await testApi();
  const path = `${DEPLOYMENTS}/d`;
  const body = { ...deployment({ replicas: 1 }), status: { replicas: 9 } };
  await apply(api, path, body);
  const made = await read(api, path);
  assertEquals(made.status, undefined);
  const set = await apply(api, `${path}/status`, body, "fieldManager=controller");
  assertEquals(set.code, 200);
  assertEquals(holders(await read(api, path))["controller Apply status"], {
    "f:status": { "f:replicas": {} },
  });
  assertEquals((await apply(api, `${DEPLOYMENTS}/x/status`, deployment({}))).code, 404);
});

Deno.test("an object that nobody was tracked in is held by before-first-apply", async () => {
  await using api = await testApi();
  await api.admin("POST", MAPS, map({ a: "1" }));
  await api.admin("PATCH", `${MAPS}/m`, { metadata: { managedFields: [{}] } }, {
    "Content-Type": "application/merge-patch+json",
  });
  assertEquals((await read(api, `${MAPS}/m`)).metadata.managedFields, undefined);
  const conflict = await apply(api, `${MAPS}/m`, map({ a: "2" }));
  assertEquals(
    conflict["message"],
    'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a',
  );
});

Deno.test("more than ten that update become ancient-changes", async () => {
  await using api = await testApi();
  await api.admin("POST", `${MAPS}?fieldManager=maker`, map({ a: "1" }));
  for (let i = 0; i < 14; i++) {
    api.time.now += 1_000;
    const response = await api.admin("PATCH", `${MAPS}/m?fieldManager=m${i}`, {
      data: { [`k${i}`]: "x" },
    }, {
      "Content-Type": "application/merge-patch+json",
    });
    assertEquals(response.status, 200);
    await response.body?.cancel();
  }
  const held = holders(await read(api, `${MAPS}/m`));
  assertEquals(Object.keys(held).length, 10);
  assertObjectMatch(held, { "ancient-changes Update": { "f:data": { "f:k0": {}, "f:a": {} } } });
});

Deno.test("applying what is not there needs the right to create it", async () => {
  await using api = await testApi({
    grants: [{
      address: `0x${"cd".repeat(32)}`,
      namespaces: ["default"],
      verbs: ["patch"],
      resources: ["configmaps"],
    }],
  });
  const request = {
    user: { name: `sui:0x${"cd".repeat(32)}`, groups: ["nautilus:chain"] },
    verb: "patch",
    group: "",
    version: "v1",
    plural: "configmaps",
    namespace: "default",
    name: "m",
    patch: { kind: "apply", config: map({ a: "1" }), manager: "x", force: false },
  } as const;
  const error = await api.k8s.execute(request).catch((cause: unknown) => cause);
  assertStringIncludes(String(error), 'cannot create resource "configmaps"');
  await api.admin("POST", MAPS, map({ b: "1" }));
  assertObjectMatch(await api.k8s.execute(request), { code: 200 });
});

Deno.test("custom kinds are merged by the lists of their schema, without its defaults", async () => {
  await using api = await testApi();
  await api.admin("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "things.example.com" },
    spec: {
      group: "example.com",
      scope: "Cluster",
      names: { plural: "things", kind: "Thing" },
      versions: [{
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: {
                type: "object",
                properties: {
                  size: { type: "integer", default: 1 },
                  tags: {
                    type: "array",
                    items: { type: "string" },
                    "x-kubernetes-list-type": "set",
                  },
                  plain: { type: "array", items: { type: "string" } },
                  parts: {
                    type: "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["id"],
                    items: {
                      type: "object",
                      required: ["id"],
                      properties: { id: { type: "integer" }, note: { type: "string" } },
                    },
                  },
                  whole: {
                    type: "object",
                    "x-kubernetes-map-type": "atomic",
                    additionalProperties: { type: "string" },
                  },
                },
              },
            },
          },
        },
      }],
    },
  });
  const path = "/apis/example.com/v1/things/t";
  const thing = (spec: Json) => ({
    apiVersion: "example.com/v1",
    kind: "Thing",
    metadata: { name: "t" },
    spec,
  });
  await apply(api, path, thing({ tags: ["a"], parts: [{ id: 1, note: "x" }], whole: { a: "1" } }));
  const two = await apply(
    api,
    path,
    thing({ tags: ["b"], parts: [{ id: 2 }], plain: ["p"] }),
    "fieldManager=two",
  );
  assertEquals(two.code, 200, JSON.stringify(two));
  const now = await read(api, path);
  assertEquals(now.spec, {
    tags: ["a", "b"],
    parts: [{ id: 1, note: "x" }, { id: 2 }],
    whole: { a: "1" },
    plain: ["p"],
    size: 1,
  });
  assertEquals(holders(now)["two Apply"], {
    "f:spec": {
      "f:parts": { 'k:{"id":2}': { ".": {}, "f:id": {} } },
      "f:plain": {},
      "f:tags": { 'v:"b"': {} },
    },
  });
  const whole = await apply(api, path, thing({ whole: { b: "1" } }), "fieldManager=two");
  assertMatch(String(whole["message"]), /conflict with "one": \.spec\.whole$/);
  const tags = await apply(api, path, thing({ tags: ["a", "a"] }));
  assertEquals(tags.code, 400);
});

Deno.test("kubectl apply --server-side: create, conflict, force, hand over from client-side apply", async () => {
  if (!await hasKubectl()) return;
  await using api = await testApi();
  await using kubectl = await openKubectl(api);
  const { run, refused } = kubectl;
  const manifest = (value: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: "${value}"}\n`;
  assertEquals(
    await run("apply --server-side -f -", manifest("1")),
    "configmap/m serverside-applied",
  );
  assertEquals(
    await run("apply --server-side -f -", manifest("1")),
    "configmap/m serverside-applied",
  );
  const conflict = await refused("apply --server-side --field-manager=other -f -", manifest("2"));
  assertStringIncludes(conflict, 'Apply failed with 1 conflict: conflict with "kubectl": .data.a');
  assertEquals(
    await run("apply --server-side --field-manager=other --force-conflicts -f -", manifest("2")),
    "configmap/m serverside-applied",
  );
  assertEquals(await run("get cm m -o jsonpath={.data.a}"), "2");
  assertMatch(await run("get cm m -o yaml --show-managed-fields"), /manager: other/);

  const client = manifest("1").replace("name: m", "name: later");
  assertEquals(await run("apply -f -", client), "configmap/later created");
  assertEquals(
    await run("apply --server-side -f -", client.replace('"1"', '"3"')),
    "configmap/later serverside-applied",
  );
  assertEquals(await run("get cm later -o jsonpath={.data.a}"), "3");
  assertEquals(await run("diff --server-side -f -", client.replace('"1"', '"3"')), "");
});
