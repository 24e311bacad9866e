import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import * as v from "valibot";
import { ADMIN_TOKEN, testApi } from "../../tests/fakes/api.ts";
import { isKubernetesPath } from "../k8s/own_paths.ts";

const JSON_SCHEMA = v.record(v.string(), v.unknown());
const DOCUMENT = v.looseObject({
  openapi: v.literal("3.1.0"),
  paths: v.record(
    v.string(),
    v.record(
      v.string(),
      v.looseObject({
        parameters: v.array(
          v.looseObject({ name: v.string(), in: v.string(), schema: JSON_SCHEMA }),
        ),
        requestBody: v.optional(v.looseObject({
          content: v.object({ "application/json": v.object({ schema: JSON_SCHEMA }) }),
        })),
        responses: v.record(v.string(), v.unknown()),
      }),
    ),
  ),
});

async function served(api: Awaited<ReturnType<typeof testApi>>) {
  const response = await api.app.request("/openapi.json");
  assertEquals(response.status, 200);
  return v.parse(DOCUMENT, await response.json());
}

Deno.test("/openapi.json has every route of our own, and none that is not there", async () => {
  await using api = await testApi();
  const { paths } = await served(api);
  const documented = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`)
  );
  const routed = api.app.routes.filter(({ method, path }) =>
    method !== "ALL" && (!isKubernetesPath(path) || path === "/version")
  ).map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}")}`);
  assertEquals(documented.sort(), [...new Set(routed)].sort());
});

Deno.test("/openapi.json takes the bodies from the schemas that decode them", async () => {
  await using api = await testApi();
  const { paths } = await served(api);
  const schema = paths["/api/v1/sui-events"]?.["post"]?.requestBody?.content["application/json"]
    .schema;
  assertEquals(schema?.["required"], ["digest"]);
  assertEquals(schema?.["additionalProperties"], false);
});

/** Values that fit a schema as far as JSON Schema says, and values that do not. */
function valuesOf(schema: Record<string, unknown>): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 3, arbitrary: fitting(schema) }, {
    weight: 1,
    arbitrary: fc.jsonValue(),
  });
}

function fitting(schema: Record<string, unknown>): fc.Arbitrary<unknown> {
  const { type, pattern, properties, required, anyOf, enum: values } = schema;
  if (Array.isArray(values)) return fc.constantFrom(...values);
  if (Array.isArray(anyOf)) {
    return fc.oneof(...anyOf.map((one: unknown) => valuesOf(v.parse(JSON_SCHEMA, one))));
  }
  if (type === "string" && typeof pattern === "string" && !pattern.includes("(?:")) {
    return fc.stringMatching(new RegExp(pattern));
  }
  if (type === "string") return fc.string({ maxLength: 100 });
  if (type === "number" || type === "integer") {
    return fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, 1, -1, 2 ** 53));
  }
  if (type === "object" && typeof properties === "object" && properties !== null) {
    const model = Object.fromEntries(
      Object.entries(properties).map(([name, one]) => [name, valuesOf(v.parse(JSON_SCHEMA, one))]),
    );
    const needed = Array.isArray(required) ? required.map(String) : [];
    return fc.record(model, { requiredKeys: needed });
  }
  return fc.jsonValue();
}

const RUNS = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 3_000 : 60;

Deno.test("every endpoint of /openapi.json answers whatever comes as it says there", async () => {
  const seen = new Set<number>();
  await using api = await testApi({
    attestor: {
      enclaveId: "00".repeat(16),
      attestation: () => Promise.reject(new Error("asked for more than it should be")),
    },
  });
  const { paths } = await served(api);
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      if (path === "/api/v1/attestation" || path === "/status/events") continue;
      const schema = operation.requestBody?.content["application/json"].schema;
      const parameters = fc.record(
        Object.fromEntries(
          operation.parameters.map((one) => [one.name, fc.oneof(fitting(one.schema), fc.string())]),
        ),
      );
      const body = schema === undefined ? fc.constant(undefined) : fc.oneof(
        { weight: 4, arbitrary: valuesOf(schema).map((value) => JSON.stringify(value)) },
        { weight: 1, arbitrary: fc.string() },
      );
      await fc.assert(
        fc.asyncProperty(parameters, body, fc.boolean(), async (values, content, authorized) => {
          let target = path;
          const query = new URLSearchParams();
          for (const { name, in: place } of operation.parameters) {
            const value = String(values[name]);
            if (place === "query") query.set(name, value);
            // An empty or dotted segment is another path.
            else {target = target.replace(
                `{${name}}`,
                `x${encodeURIComponent(value.toWellFormed())}`,
              );}
          }
          const headers: Record<string, string> = authorized
            ? { Authorization: `Bearer ${ADMIN_TOKEN}`, "X-Seal-Token": `nts_${"A".repeat(43)}` }
            : {};
          const response = await api.app.request(`${target}?${query}`, {
            method: method.toUpperCase(),
            headers: { ...headers, "Content-Type": "application/json" },
            ...(content === undefined ? {} : { body: content }),
          });
          const text = await response.text();
          const said = Object.keys(operation.responses);
          assert(said.includes(String(response.status)), `${response.status}: ${text}`);
          seen.add(response.status);
          if (response.status >= 400 && !path.startsWith("/readyz")) {
            assertEquals(response.headers.get("content-type"), "application/problem+json");
          }
        }),
        { numRuns: RUNS },
      );
    }
  }
  // The fuzzer got past the decoder and was turned away for more than one reason.
  for (const status of [200, 202, 400, 401]) assert(seen.has(status), `never ${status}`);
});
