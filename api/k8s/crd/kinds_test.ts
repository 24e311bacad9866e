import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { type TestApi, testApi } from "../../../tests/fakes/api.ts";
import type { JsonSchema } from "./json_schema.ts";

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const GROUP = "example.org";
const MERGE = { "Content-Type": "application/merge-patch+json" };

async function taken(api: TestApi, ...request: Parameters<TestApi["admin"]>): Promise<void> {
  const response = await api.admin(...request);
  assert(response.ok, await response.clone().text());
  await response.body?.cancel();
}

async function define(api: TestApi, kind: string, shortNames: string[] = []): Promise<void> {
  const plural = `${kind.toLowerCase()}s`;
  await taken(api, "POST", CRDS, {
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: "Namespaced",
      names: { plural, kind, shortNames },
      versions: [{
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object" } },
      }],
    },
  });
}

async function schemaOf(api: TestApi, plural: string): Promise<JsonSchema> {
  const resource = await api.k8s.kinds.byPlural(GROUP, "v1", plural);
  assert(resource?.custom !== undefined);
  return resource.custom.schema;
}

Deno.test("Kinds keeps a compiled schema until its own definition's spec changes", async () => {
  await using api = await testApi();
  await define(api, "Lamp", ["l"]);
  await define(api, "Door");
  const schema = await schemaOf(api, "doors");
  const door = `${CRDS}/doors.${GROUP}`;
  await taken(api, "PATCH", door, { metadata: { labels: { a: "b" } } }, MERGE);
  assertStrictEquals(await schemaOf(api, "doors"), schema);
  await taken(api, "DELETE", `${CRDS}/lamps.${GROUP}`);
  assertEquals(await api.k8s.kinds.byPlural(GROUP, "v1", "lamps"), undefined);
  assertStrictEquals(await schemaOf(api, "doors"), schema);
  await define(api, "Lamp");
  await taken(api, "PATCH", door, { metadata: { labels: { a: "c" } } }, MERGE);
  assertStrictEquals(await schemaOf(api, "doors"), schema);
  await taken(api, "PATCH", door, { spec: { names: { shortNames: ["d"] } } }, MERGE);
  assertNotStrictEquals(await schemaOf(api, "doors"), schema);
  await taken(api, "DELETE", door);
  await define(api, "Door");
  assertNotStrictEquals(await schemaOf(api, "doors"), schema);
});
