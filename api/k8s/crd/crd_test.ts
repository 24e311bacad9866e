/** CustomResourceDefinitions over HTTP: definitions, their objects, and how both go. */
import { assert, assertEquals, assertMatch, assertObjectMatch } from "@std/assert";
import { ADMIN_TOKEN, type TestApi, testApi } from "../../../tests/fakes/api.ts";

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS = "/apis/stable.example.com/v1/namespaces/default/crontabs";

type Json = Record<string, unknown>;

const SCHEMA = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      required: ["cronSpec"],
      properties: {
        cronSpec: { type: "string", pattern: "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$" },
        image: { type: "string", default: "busybox" },
        replicas: { type: "integer", minimum: 1, maximum: 10 },
        port: { "x-kubernetes-int-or-string": true },
        env: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
          items: {
            type: "object",
            required: ["name"],
            properties: { name: { type: "string" }, value: { type: "string", default: "" } },
          },
        },
        free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      },
    },
    status: {
      type: "object",
      properties: { replicas: { type: "integer" }, selector: { type: "string" } },
    },
  },
};

function definition(change: Json = {}, version: Json = {}): Json {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "crontabs.stable.example.com" },
    spec: {
      group: "stable.example.com",
      scope: "Namespaced",
      names: { plural: "crontabs", kind: "CronTab", shortNames: ["ct"], categories: ["all"] },
      versions: [{
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: SCHEMA },
        subresources: {
          status: {},
          scale: {
            specReplicasPath: ".spec.replicas",
            statusReplicasPath: ".status.replicas",
            labelSelectorPath: ".status.selector",
          },
        },
        selectableFields: [{ jsonPath: ".spec.image" }],
        additionalPrinterColumns: [
          { name: "Spec", type: "string", jsonPath: ".spec.cronSpec" },
          { name: "Replicas", type: "integer", jsonPath: ".spec.replicas" },
          { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
        ],
        ...version,
      }],
      ...change,
    },
  };
}

function tab(name: string, spec: Json = { cronSpec: "* * * * */5" }, extra: Json = {}): Json {
  return {
    apiVersion: "stable.example.com/v1",
    kind: "CronTab",
    metadata: { name },
    spec,
    ...extra,
  };
}

async function ask(api: TestApi, code: number, method: string, path: string, body?: unknown) {
  const response = await api.admin(method, path, body);
  const answer = await response.json();
  assertEquals(response.status, code, JSON.stringify(answer));
  return answer;
}

async function withTabs(change: Json = {}, version: Json = {}): Promise<TestApi> {
  const api = await testApi();
  await ask(api, 201, "POST", CRDS, definition(change, version));
  return api;
}

Deno.test("a definition is established at once, and its kind is served and discovered", async () => {
  await using api = await testApi();
  await ask(api, 404, "GET", TABS);
  await ask(api, 404, "GET", "/apis/stable.example.com");
  const made = await ask(api, 201, "POST", CRDS, definition());
  assertObjectMatch(made, {
    metadata: {
      generation: 1,
      finalizers: ["customresourcecleanup.apiextensions.k8s.io"],
    },
    spec: {
      conversion: { strategy: "None" },
      names: { singular: "crontab", listKind: "CronTabList" },
    },
    status: {
      storedVersions: ["v1"],
      acceptedNames: { kind: "CronTab", plural: "crontabs", shortNames: ["ct"] },
      conditions: [
        { type: "NamesAccepted", status: "True", reason: "NoConflicts" },
        { type: "Established", status: "True", reason: "InitialNamesAccepted" },
      ],
    },
  });
  const found = await ask(api, 200, "GET", "/apis/stable.example.com/v1");
  assertEquals(found.resources.map(({ name }: { name: string }) => name), [
    "crontabs",
    "crontabs/status",
    "crontabs/scale",
  ]);
  assertObjectMatch(found.resources[0], {
    singularName: "crontab",
    shortNames: ["ct"],
    categories: ["all"],
  });
  const list = await ask(api, 200, "GET", TABS);
  assertObjectMatch(list, { kind: "CronTabList", apiVersion: "stable.example.com/v1", items: [] });
});

Deno.test("OpenAPI of a custom kind is its schema, under another hash with every change", async () => {
  await using api = await withTabs();
  const path = "apis/stable.example.com/v1";
  const before = (await ask(api, 200, "GET", "/openapi/v3")).paths[path].serverRelativeURL;
  const document = await ask(api, 200, "GET", `/openapi/v3/${path}`);
  const schema = document.components.schemas["com.example.stable.v1.CronTab"];
  assertEquals(schema.properties.spec, SCHEMA.properties.spec);
  assertEquals(schema["x-kubernetes-group-version-kind"], [
    { group: "stable.example.com", version: "v1", kind: "CronTab" },
  ]);
  assert(document.components.schemas["io.k8s.api.v1.ObjectMeta"] !== undefined);
  const response = await api.admin(
    "PATCH",
    `${CRDS}/crontabs.stable.example.com`,
    { spec: { names: { shortNames: ["ctab"] } } },
    { "Content-Type": "application/merge-patch+json" },
  );
  assertEquals(response.status, 200);
  const after = (await ask(api, 200, "GET", "/openapi/v3")).paths[path].serverRelativeURL;
  assert(after !== before);
});

Deno.test("custom objects are pruned and defaulted", async () => {
  await using api = await withTabs();
  const made = await ask(
    api,
    201,
    "POST",
    TABS,
    tab("a", {
      cronSpec: "* * * * */5",
      unknown: 1,
      image: null,
      env: [{ name: "x", other: 1 }],
      free: { any: { thing: [1] } },
    }, { extra: true, status: { replicas: 3 } }),
  );
  assertEquals(made.spec, {
    cronSpec: "* * * * */5",
    image: "busybox",
    env: [{ name: "x", value: "" }],
    free: { any: { thing: [1] } },
  });
  assertEquals(made.extra, undefined);
  assertEquals(made.status, undefined);
  assertEquals(made.metadata.generation, 1);
  const strict = await ask(
    api,
    400,
    "POST",
    `${TABS}?fieldValidation=Strict`,
    tab("b", { cronSpec: "* * * * */5", unknown: 1, env: [{ name: "x", other: 1 }] }),
  );
  assertEquals(
    strict.message,
    'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.env[0].other", unknown field "spec.unknown"',
  );
});

Deno.test("custom objects that do not fit are refused in the API server's words", async () => {
  await using api = await withTabs();
  const one = await ask(
    api,
    422,
    "POST",
    TABS,
    tab("a", { cronSpec: "* * * * */5", replicas: 15 }),
  );
  assertEquals(
    one.message,
    'CronTab.stable.example.com "a" is invalid: spec.replicas: Invalid value: 15: spec.replicas in body should be less than or equal to 10',
  );
  assertEquals(one.details, {
    name: "a",
    group: "stable.example.com",
    kind: "CronTab",
    causes: [{
      reason: "FieldValueInvalid",
      message: "Invalid value: 15: spec.replicas in body should be less than or equal to 10",
      field: "spec.replicas",
    }],
  });
  const cases: readonly [Json, string][] = [
    [{}, "spec.cronSpec: Required value"],
    [
      { cronSpec: "x" },
      "spec.cronSpec: Invalid value: \"x\": spec.cronSpec in body should match '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$'",
    ],
    [
      { cronSpec: 1 },
      'spec.cronSpec: Invalid value: "integer": spec.cronSpec in body must be of type string: "integer"',
    ],
    [
      { cronSpec: "* * * * *", port: true },
      'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
    ],
    [
      { cronSpec: "* * * * *", env: [{ name: "a" }, { name: "a" }] },
      'spec.env[1]: Duplicate value: {"name":"a"}',
    ],
    [
      { cronSpec: "* * * * *", replicas: 1.5 },
      'spec.replicas: Invalid value: "number": spec.replicas in body must be of type integer: "number"',
    ],
  ];
  for (const [spec, message] of cases) {
    const answer = await ask(api, 422, "POST", TABS, tab("a", spec));
    assertEquals(answer.message, `CronTab.stable.example.com "a" is invalid: ${message}`);
    assertEquals(answer.reason, "Invalid");
  }
  const two = await ask(api, 422, "POST", TABS, tab("a", { cronSpec: "x", replicas: 0 }));
  assertMatch(two.message, /is invalid: \[spec\.cronSpec: .*, spec\.replicas: .*\]$/);
  await ask(api, 400, "POST", TABS, { ...tab("a"), apiVersion: "stable.example.com/v2" });
});

Deno.test("status and scale of a custom kind are their own subresources", async () => {
  await using api = await withTabs();
  await ask(api, 201, "POST", TABS, tab("a", { cronSpec: "* * * * */5", replicas: 3 }));
  const merge = { "Content-Type": "application/merge-patch+json" };
  const set = await api.admin(
    "PATCH",
    `${TABS}/a/status`,
    { spec: { replicas: 9 }, status: { replicas: 2, selector: "a=b" } },
    merge,
  );
  assertObjectMatch(await set.json(), {
    metadata: { generation: 1 },
    spec: { replicas: 3 },
    status: { replicas: 2 },
  });
  const main = await api.admin("PATCH", `${TABS}/a`, { status: { replicas: 7 } }, merge);
  assertObjectMatch(await main.json(), { status: { replicas: 2 } });
  const scale = await ask(api, 200, "GET", `${TABS}/a/scale`);
  assertObjectMatch(scale, {
    kind: "Scale",
    spec: { replicas: 3 },
    status: { replicas: 2, selector: "a=b" },
  });
  const scaled = await api.admin("PATCH", `${TABS}/a/scale`, { spec: { replicas: 5 } }, merge);
  assertObjectMatch(await scaled.json(), { spec: { replicas: 5 } });
  assertObjectMatch(await ask(api, 200, "GET", `${TABS}/a`), {
    metadata: { generation: 2 },
    spec: { replicas: 5 },
  });
  const over = await api.admin("PATCH", `${TABS}/a/scale`, { spec: { replicas: 50 } }, merge);
  assertEquals(over.status, 422);
  await over.body?.cancel();
  const strategic = await api.admin("PATCH", `${TABS}/a`, { spec: { replicas: 4 } }, {
    "Content-Type": "application/strategic-merge-patch+json",
  });
  assertEquals(strategic.status, 415);
  await strategic.body?.cancel();
});

Deno.test("printer columns and selectable fields of a custom kind", async () => {
  await using api = await withTabs();
  await ask(api, 201, "POST", TABS, tab("a", { cronSpec: "* * * * *", image: "x" }));
  await ask(api, 201, "POST", TABS, tab("b", { cronSpec: "1 * * * *", replicas: 3 }));
  const response = await api.admin("GET", TABS, undefined, {
    Accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
  });
  const table = await response.json();
  assertEquals(table.columnDefinitions.map(({ name }: { name: string }) => name), [
    "Name",
    "Spec",
    "Replicas",
    "Age",
  ]);
  assertEquals(table.rows.map(({ cells }: { cells: unknown }) => cells), [
    ["a", "* * * * *", null, "0s"],
    ["b", "1 * * * *", 3, "0s"],
  ]);
  const selected = await ask(api, 200, "GET", `${TABS}?fieldSelector=spec.image%3Dx`);
  assertEquals(selected.items.length, 1);
  const refused = await ask(api, 400, "GET", `${TABS}?fieldSelector=spec.cronSpec%3Dx`);
  assertEquals(refused.message, "field label not supported: spec.cronSpec");
});

Deno.test("versions: every served one reads every object, stored in one, converted by None", async () => {
  const version = (name: string, storage: boolean, more: Json = {}) => ({
    name,
    served: true,
    storage,
    schema: {
      openAPIV3Schema: {
        type: "object",
        properties: {
          spec: {
            type: "object",
            properties: {
              a: { type: "string" },
              ...(name === "v2" ? { b: { type: "string", default: "new" } } : {}),
            },
          },
        },
      },
    },
    ...more,
  });
  await using api = await withTabs({
    versions: [version("v1", true, { deprecated: true }), version("v2", false)],
  });
  const v2 = TABS.replace("/v1/", "/v2/");
  const response = await api.admin("POST", TABS, tab("a", { a: "x", b: "lost" }));
  assertEquals(
    response.headers.get("warning"),
    '299 - "stable.example.com/v1 CronTab is deprecated; use stable.example.com/v2 CronTab", 299 - "unknown field \\"spec.b\\""',
  );
  assertEquals((await response.json()).spec, { a: "x" });
  const read = await ask(api, 200, "GET", `${v2}/a`);
  assertEquals([read.apiVersion, read.spec], ["stable.example.com/v2", { a: "x", b: "new" }]);
  await ask(api, 201, "POST", v2, {
    ...tab("c", { a: "y", b: "z" }),
    apiVersion: "stable.example.com/v2",
  });
  assertEquals((await ask(api, 200, "GET", `${TABS}/c`)).spec, { a: "y" });
  const group = await ask(api, 200, "GET", "/apis/stable.example.com");
  assertEquals(group.preferredVersion.version, "v2");

  const swap = definition({ versions: [version("v1", false), version("v2", true)] });
  const name = "crontabs.stable.example.com";
  const current = await ask(api, 200, "GET", `${CRDS}/${name}`);
  const swapped = await ask(api, 200, "PUT", `${CRDS}/${name}`, { ...current, spec: swap["spec"] });
  assertEquals(swapped.status.storedVersions, ["v1", "v2"]);
  assertEquals(swapped.metadata.generation, 2);
  const both = await ask(api, 200, "GET", TABS);
  assertEquals(both.items.map((item: Json) => item["apiVersion"]), [
    "stable.example.com/v1",
    "stable.example.com/v1",
  ]);
  const gone = await ask(api, 422, "PUT", `${CRDS}/${name}`, {
    ...swapped,
    spec: { ...swapped.spec, versions: [version("v2", true)] },
  });
  assertMatch(gone.message, /status\.storedVersions\[0\]: Invalid value: "v1": missing from spec/);
});

Deno.test("a definition that is none is refused, every field by its name", async () => {
  await using api = await testApi();
  const schema = (openAPIV3Schema: unknown) => definition({}, { schema: { openAPIV3Schema } });
  const field = (property: Json) =>
    schema({ type: "object", properties: { a: property, status: { type: "object" } } });
  const at = "spec.versions[0].schema.openAPIV3Schema";
  const cases: readonly [Json, string][] = [
    [definition({ group: "stable" }), "should be a domain with at least one dot"],
    [
      definition({ group: "x.k8s.io" }),
      'protected groups must have approval annotation "api-approved.kubernetes.io"',
    ],
    [
      definition({ scope: "Galaxy" }),
      'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
    ],
    [definition({ versions: [] }), "must have exactly one version marked as storage version"],
    [
      definition({ names: { plural: "others", kind: "CronTab" } }),
      'must be spec.names.plural+"."+spec.group',
    ],
    [definition({ conversion: { strategy: "Webhook" } }), "spec.conversion.strategy: Forbidden"],
    [
      definition({ preserveUnknownFields: true }),
      "spec.preserveUnknownFields: Invalid value: true",
    ],
    [definition({}, { schema: undefined }), `${at}: Required value: schemas are required`],
    [schema({ type: "string" }), `${at}.type: Invalid value: "string": must be object at the root`],
    [
      field({}),
      `${at}.properties[a].type: Required value: must not be empty for specified object fields`,
    ],
    [field({ type: "array" }), `${at}.properties[a].items: Required value: must be specified`],
    [field({ type: "string", pattern: "(" }), "must be a valid regular expression"],
    [
      field({ type: "string", default: 3 }),
      `${at}.properties[a].default: Invalid value: "integer"`,
    ],
    [field({ type: "object", default: { x: 1 } }), "must be pruned"],
    [
      field({ type: "array", items: { type: "string" }, "x-kubernetes-list-type": "map" }),
      "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
    ],
    [
      field({ type: "string", anyOf: [{ type: "string" }] }),
      "anyOf[0].type: Forbidden: must be empty to be structural",
    ],
    [
      field({ type: "object", "x-kubernetes-validations": [{ rule: "self.b" }] }),
      `${at}.properties[a].x-kubernetes-validations[0].rule: Invalid value: "self.b": compilation failed: `,
    ],
    [
      definition({}, { additionalPrinterColumns: [{ name: "A", type: "odd", jsonPath: "spec" }] }),
      "must be a valid json path",
    ],
  ];
  for (const [body, message] of cases) {
    const answer = await ask(api, 422, "POST", CRDS, body);
    assert(answer.message.includes(message), `${answer.message}\nlacks\n${message}`);
  }
  for (const group of ["rbac.authorization.k8s.io", "apiextensions.k8s.io"]) {
    const body = definition({ group });
    body["metadata"] = {
      name: `crontabs.${group}`,
      annotations: { "api-approved.kubernetes.io": "unapproved, testing" },
    };
    const answer = await ask(api, 422, "POST", CRDS, body);
    assertMatch(answer.message, /spec\.group: Forbidden: this group is the server's own/);
  }
});

Deno.test("names that another definition has are not accepted until that one goes", async () => {
  await using api = await withTabs();
  const second = definition({ names: { plural: "other", singular: "another", kind: "CronTab" } });
  second["metadata"] = { name: "other.stable.example.com" };
  const made = await ask(api, 201, "POST", CRDS, second);
  assertObjectMatch(made.status, {
    acceptedNames: { kind: "", plural: "" },
    conditions: [
      {
        type: "NamesAccepted",
        status: "False",
        reason: "KindConflict",
        message: '"CronTab" is already in use',
      },
      { type: "Established", status: "False", reason: "NotAccepted" },
    ],
  });
  const others = TABS.replace("crontabs", "other");
  await ask(api, 404, "GET", others);
  await ask(api, 200, "DELETE", `${CRDS}/crontabs.stable.example.com`);
  await ask(api, 200, "GET", others);
  await ask(api, 404, "GET", TABS);
});

Deno.test("deleting a definition deletes its objects, and waits for their finalizers", async () => {
  await using api = await withTabs();
  const name = "crontabs.stable.example.com";
  const merge = { "Content-Type": "application/merge-patch+json" };
  await ask(api, 201, "POST", TABS, tab("a"));
  await ask(
    api,
    201,
    "POST",
    TABS,
    tab("b", undefined, { metadata: { name: "b", finalizers: ["example.com/x"] } }),
  );
  const marked = await ask(api, 200, "DELETE", `${CRDS}/${name}`);
  assertMatch(marked.metadata.deletionTimestamp, /^2026/);
  await ask(api, 404, "GET", `${TABS}/a`);
  assertMatch((await ask(api, 200, "GET", `${TABS}/b`)).metadata.deletionTimestamp, /^2026/);
  const waiting = await ask(api, 200, "GET", `${CRDS}/${name}`);
  assertObjectMatch(waiting.status.conditions.at(-1), {
    type: "Terminating",
    status: "True",
    reason: "InstanceDeletionInProgress",
  });
  const late = await ask(api, 405, "POST", TABS, tab("c"));
  assertEquals(
    late.message,
    "create not allowed while custom resource definition is terminating",
  );
  const freed = await api.admin("PATCH", `${TABS}/b`, { metadata: { finalizers: null } }, merge);
  assertEquals(freed.status, 200);
  await ask(api, 404, "GET", `${CRDS}/${name}`);
  await ask(api, 404, "GET", TABS);
  const left = await api.store.range("k8s", {
    key: new TextEncoder().encode("/registry/stable.example.com/"),
    rangeEnd: new TextEncoder().encode("/registry/stable.example.com0"),
  });
  assertEquals(left.kvs.length, 0);
});

Deno.test("a namespace takes custom objects along", async () => {
  await using api = await withTabs();
  await ask(api, 201, "POST", "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "team" },
  });
  const there = TABS.replace("default", "team");
  await ask(api, 201, "POST", there, tab("a"));
  await ask(api, 200, "DELETE", "/api/v1/namespaces/team");
  assertEquals((await ask(api, 200, "GET", there)).items, []);
});

Deno.test("a watch of a custom kind sees its objects come, change and go with the definition", async () => {
  await using api = await withTabs();
  const response = await api.app.request(`${TABS}?watch=1&timeoutSeconds=60`, {
    headers: { Authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  assert(reader !== undefined);
  await ask(api, 201, "POST", TABS, tab("a"));
  const first = JSON.parse((await reader.read()).value ?? "");
  assertEquals([first.type, first.object.kind], ["ADDED", "CronTab"]);
  await ask(api, 200, "DELETE", `${CRDS}/crontabs.stable.example.com`);
  const last = JSON.parse((await reader.read()).value ?? "");
  assertEquals([last.type, last.object.metadata.name], ["DELETED", "a"]);
  await reader.cancel();
});

Deno.test("roles cover custom kinds, too", async () => {
  await using api = await withTabs();
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const apiVersion = "rbac.authorization.k8s.io/v1";
  await ask(api, 201, "POST", `${rbac}/roles`, {
    apiVersion,
    kind: "Role",
    metadata: { name: "tabs" },
    rules: [{ apiGroups: ["stable.example.com"], resources: ["crontabs"], verbs: ["list"] }],
  });
  await ask(api, 201, "POST", `${rbac}/rolebindings`, {
    apiVersion,
    kind: "RoleBinding",
    metadata: { name: "tabs" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "tabs" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "u" }],
  });
  const asks = (verb: "list" | "create") =>
    api.k8s.authorize({
      user: { name: "u", groups: [] },
      verb,
      group: "stable.example.com",
      resource: "crontabs",
      namespace: "default",
      name: "",
    });
  assertEquals((await asks("list")).allowed, true);
  assertEquals((await asks("create")).allowed, false);
});

Deno.test("fields with integer names do not disturb how objects are stored", async () => {
  await using api = await testApi();
  const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  await ask(
    api,
    201,
    "POST",
    CRDS,
    definition({}, { schema: { openAPIV3Schema: schema }, selectableFields: [] }),
  );
  const object = await ask(api, 201, "POST", TABS, {
    "0": { x: 1 },
    ...tab("odd", {}, { "7": "y" }),
  });
  assertEquals([object["0"], object["7"]], [{ x: 1 }, "y"]);
  const read = await ask(api, 200, "GET", `${TABS}/odd`);
  assertEquals([read.metadata.name, read["7"]], ["odd", "y"]);
});
