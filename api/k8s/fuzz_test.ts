/**
 * A fuzzer that takes discovery and /openapi/v3 at their word: every kind, every verb, every subresource,
 * with documents that fit the published schema, and with documents that nearly do.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import * as v from "valibot";
import { type TestApi, testApi } from "../../tests/fakes/api.ts";
import { isRecord } from "./plain.ts";

const RUNS = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 2_000 : 25;
const MAX_DEPTH = 6;

type Json = Readonly<Record<string, unknown>>;

const RESOURCES = v.object({
  groupVersion: v.string(),
  resources: v.array(v.object({
    name: v.string(),
    kind: v.string(),
    namespaced: v.boolean(),
    verbs: v.array(v.string()),
  })),
});
type Resource = v.InferOutput<typeof RESOURCES>["resources"][number];

async function json(api: TestApi, path: string): Promise<unknown> {
  const response = await api.admin("GET", path);
  const body: unknown = await response.json();
  assertEquals(response.status, 200, path);
  return body;
}

/** Documents that fit, as far as schemas say; a part of them is anything at all now and then. */
function documents(schemas: Json, schema: unknown, depth = 0): fc.Arbitrary<unknown> {
  const fitting = documentsThatFit(schemas, schema, depth);
  const anything = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>(null, "", -1, 1e300, 2 ** 53, "\u0000", "2026-01-01T00:00:00Z", "5Gi"),
  );
  return fc.oneof({ weight: 12, arbitrary: fitting }, { weight: 1, arbitrary: anything });
}

function documentsThatFit(schemas: Json, given: unknown, depth: number): fc.Arbitrary<unknown> {
  const schema = resolved(schemas, given);
  const { type, properties, items, additionalProperties, format } = schema;
  if (depth > MAX_DEPTH) return fc.constant(undefined);
  if (isRecord(properties)) {
    // A few of the fields: a whole PodSpec would be most of the time.
    const names = Object.keys(properties);
    if (names.length === 0) return fc.constant({});
    return fc.subarray(names, { maxLength: Math.min(4, names.length) }).chain((chosen) =>
      fc.record(
        Object.fromEntries(
          chosen.map((name) => [name, documents(schemas, properties[name], depth + 1)]),
        ),
      )
    );
  }
  if (type === "array") {
    return fc.array(documents(schemas, items, depth + 1), { maxLength: 2 });
  }
  if (type === "object") {
    const values = isRecord(additionalProperties)
      ? documents(schemas, additionalProperties, depth + 1)
      : fc.jsonValue({ maxDepth: 1 });
    return fc.dictionary(fc.constantFrom("a", "b.c/d", "x y", ""), values, { maxKeys: 2 });
  }
  if (type === "integer" || type === "number") {
    return fc.oneof(fc.integer(), fc.constantFrom(0, 1, -1, 2 ** 31));
  }
  if (type === "boolean") return fc.boolean();
  if (format === "date-time") return fc.constantFrom("2026-01-01T00:00:00Z", "yesterday");
  return fc.oneof(fc.constantFrom("a", "", "default", "10Mi", "eA=="), fc.string());
}

function resolved(schemas: Json, given: unknown): Json {
  let schema = isRecord(given) ? given : {};
  for (let i = 0; i < 5; i++) {
    const all = schema["allOf"];
    const [first] = Array.isArray(all) ? all : [];
    if (isRecord(first)) schema = first;
    const reference = schema["$ref"];
    if (typeof reference !== "string") return schema;
    const target = schemas[reference.split("/").at(-1) ?? ""];
    schema = isRecord(target) ? target : {};
  }
  return schema;
}

const query = fc.record({
  fieldValidation: fc.constantFrom("", "Strict", "Warn", "Ignore"),
  dryRun: fc.constantFrom("", "All"),
  force: fc.constantFrom("", "true"),
  fieldManager: fc.constantFrom("", "m"),
}).map((all) =>
  new URLSearchParams(Object.entries(all).filter(([, value]) => value !== "")).toString()
);

const PATCHES = [
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
  "application/json-patch+json",
];

/** What is sent to one kind or subresource. */
function requests(groupVersion: string, resource: Resource, body: fc.Arbitrary<unknown>) {
  const [plural = "", subresource] = resource.name.split("/");
  const root = groupVersion === "v1" ? "/api/v1" : `/apis/${groupVersion}`;
  const base = `${root}/${resource.namespaced ? "namespaces/default/" : ""}${plural}`;
  const item = fc.constantFrom("a", "b").map((name) =>
    `${base}/${name}${subresource === undefined ? "" : `/${subresource}`}`
  );
  const verbs: fc.Arbitrary<readonly [string, string, string]>[] = [];
  const json = "application/json";
  const add = (verb: string, method: string, path: fc.Arbitrary<string>, types: string[]) => {
    if (!resource.verbs.includes(verb)) return;
    verbs.push(fc.tuple(fc.constant(method), path, fc.constantFrom(...types)));
  };
  add("create", "POST", fc.constant(base), [json, "application/yaml"]);
  add("update", "PUT", item, [json]);
  add("patch", "PATCH", item, PATCHES);
  add("get", "GET", item, [json]);
  if (subresource === undefined) add("delete", "DELETE", item, [json]);
  const envelope = (value: unknown, name: string) =>
    isRecord(value)
      ? {
        ...value,
        apiVersion: subresource === "scale" ? "autoscaling/v1" : groupVersion,
        kind: resource.kind,
        metadata: { ...(isRecord(value["metadata"]) ? value["metadata"] : {}), name },
      }
      : value;
  return fc.record({
    how: fc.oneof(...verbs),
    query,
    body: fc.oneof(
      {
        weight: 5,
        arbitrary: fc.tuple(body, fc.constantFrom("a", "b")).map((p) => envelope(...p)),
      },
      { weight: 1, arbitrary: body },
      {
        weight: 1,
        arbitrary: fc.array(fc.record({
          op: fc.constantFrom("add", "remove", "replace", "move", "copy", "test", "x"),
          path: fc.constantFrom("", "/", "/spec", "/metadata/labels/a", "/spec/replicas", "x"),
          from: fc.constantFrom("/spec", "/metadata"),
          value: fc.jsonValue({ maxDepth: 1 }),
        }, { requiredKeys: ["op", "path"] })),
      },
    ),
  });
}

Deno.test("no request to any kind that is discovered brings the server to fail", async () => {
  await using api = await testApi();
  const groups = v.parse(
    v.object({
      groups: v.array(v.object({ preferredVersion: v.object({ groupVersion: v.string() }) })),
    }),
    await json(api, "/apis"),
  ).groups.map(({ preferredVersion }) => preferredVersion.groupVersion);
  let kinds = 0;
  for (const groupVersion of ["v1", ...groups]) {
    const root = groupVersion === "v1" ? "api/v1" : `apis/${groupVersion}`;
    const { resources } = v.parse(RESOURCES, await json(api, `/${root}`));
    const isReview = resources.every(({ verbs }) => verbs.join() === "create");
    const document = isReview ? {} : await json(api, `/openapi/v3/${root}`);
    const components = isRecord(document) ? document["components"] : {};
    const given = isRecord(components) ? components["schemas"] : {};
    const schemas = isRecord(given) ? given : {};
    for (const resource of resources) {
      kinds++;
      const schema = Object.values(schemas).find((one) =>
        isRecord(one) && JSON.stringify(one["x-kubernetes-group-version-kind"] ?? "")
          .includes(`"kind":"${resource.kind}"`)
      );
      const body = schema === undefined
        ? fc.jsonValue({ maxDepth: 4 })
        : documents(schemas, schema);
      await fc.assert(
        fc.asyncProperty(requests(groupVersion, resource, body), async (asked) => {
          const [method, path, type] = asked.how;
          const response = await api.admin(
            method,
            `${path}?${asked.query}`,
            method === "GET" ? undefined : JSON.stringify(asked.body) ?? "null",
            { "Content-Type": type },
          );
          const text = await response.text();
          const { status } = response;
          assert(status < 500, `${method} ${path} ${type}: ${text}`);
          const answer: unknown = JSON.parse(text);
          assert(isRecord(answer), text);
          if (status >= 400) assertEquals([answer["kind"], answer["code"]], ["Status", status]);
        }),
        { numRuns: RUNS },
      );
      // What was taken can be read.
      if (resource.verbs.includes("list") && !resource.name.includes("/")) {
        await json(api, `/${root}/${resource.name}`);
      }
    }
  }
  assert(kinds > 40, `${kinds} kinds and subresources`);
});
