/** The `/scale` subresource: applied, replaced, patched, and who holds the replicas then. */
import { assertEquals, assertMatch } from "@std/assert";
import { type TestApi, testApi } from "../../tests/fakes/api.ts";

const PATH = "/apis/apps/v1/namespaces/default/deployments";
const SCALE = `${PATH}/d/scale`;

async function withDeployment(): Promise<TestApi> {
  const api = await testApi();
  const made = await api.admin("POST", `${PATH}?fieldManager=maker`, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "d" },
    spec: {
      replicas: 2,
      selector: { matchLabels: { a: "b" } },
      template: { metadata: { labels: { a: "b" } }, spec: {} },
    },
  });
  assertEquals((await made.json()).spec.replicas, 2);
  return api;
}

const scale = (spec: unknown, more = {}) => ({
  apiVersion: "autoscaling/v1",
  kind: "Scale",
  metadata: { name: "d" },
  spec,
  ...more,
});

async function ask(api: TestApi, method: string, path: string, body?: unknown, type = "json") {
  const response = await api.admin(method, path, body, { "Content-Type": `application/${type}` });
  return {
    code: response.status,
    body: await response.json(),
    warning: response.headers.get("warning"),
  };
}

const apply = (api: TestApi, manager: string, body: unknown, query = "") =>
  ask(api, "PATCH", `${SCALE}?fieldManager=${manager}${query}`, body, "apply-patch+yaml");

/** Who holds the replicas: `manager operation subresource`. */
async function holders(api: TestApi): Promise<readonly string[]> {
  const { body } = await ask(api, "GET", `${PATH}/d`);
  return body.metadata.managedFields
    .filter((entry: { fieldsV1: { "f:spec"?: object } }) =>
      Object.hasOwn(entry.fieldsV1["f:spec"] ?? {}, "f:replicas")
    )
    .map((entry: Record<string, string>) =>
      `${entry["manager"]} ${entry["operation"]} ${entry["subresource"] ?? "-"}`
    );
}

Deno.test("an applied scale is a conflict with who holds the replicas, until it is forced", async () => {
  await using api = await withDeployment();
  const refused = await apply(api, "scaler", scale({ replicas: 5 }));
  assertEquals(refused.code, 409);
  assertEquals(
    refused.body.message,
    'Apply failed with 1 conflict: conflict with "maker" using apps/v1: .spec.replicas',
  );
  assertEquals(await holders(api), ["maker Update -"]);
  const forced = await apply(api, "scaler", scale({ replicas: 5 }), "&force=true");
  assertEquals([forced.code, forced.body.kind, forced.body.spec], [200, "Scale", { replicas: 5 }]);
  assertEquals(await holders(api), ["scaler Apply scale"]);
  const { body } = await ask(api, "GET", `${PATH}/d`);
  assertEquals([body.spec.replicas, body.metadata.generation], [5, 2]);
  const again = await apply(api, "scaler", scale({ replicas: 5 }));
  assertEquals(again.body.metadata.resourceVersion, forced.body.metadata.resourceVersion);
});

Deno.test("a scale is applied without a conflict where it says the same, and is held by both", async () => {
  await using api = await withDeployment();
  const { code } = await apply(api, "scaler", scale({ replicas: 2 }));
  assertEquals(code, 200);
  assertEquals(await holders(api), ["scaler Apply scale", "maker Update -"]);
  const dry = await apply(api, "scaler", scale({ replicas: 7 }), "&force=true&dryRun=All");
  assertEquals([dry.code, dry.body.spec.replicas], [200, 7]);
  assertEquals((await ask(api, "GET", SCALE)).body.spec.replicas, 2);
});

Deno.test("an applied scale without the replicas that it alone held is a scale of none", async () => {
  await using api = await withDeployment();
  await apply(api, "scaler", scale({ replicas: 5 }), "&force=true");
  const { code, body } = await apply(api, "scaler", scale({}));
  assertEquals([code, body.spec.replicas], [200, 0]);
  assertEquals(await holders(api), []);
});

Deno.test("an applied scale that is none is refused in the API server's words", async () => {
  await using api = await withDeployment();
  const cases: readonly [unknown, number, RegExp][] = [
    [
      scale({ replicas: 1 }, { apiVersion: "apps/v1" }),
      400,
      /^Incorrect version specified in apply patch\. Specified patch version: apps\/v1, expected: autoscaling\/v1$/,
    ],
    [
      scale({ replicas: 1, colour: "red" }),
      400,
      /^failed to create typed patch object \(default\/d; autoscaling\/v1, Kind=Scale\): \.spec\.colour: field not declared in schema$/,
    ],
    [
      scale({ replicas: 1 }, { metadata: { name: "e" } }),
      400,
      /does not match the name on the URL/,
    ],
    [
      scale({ replicas: 1 }, { metadata: { managedFields: [{}] } }),
      400,
      /^metadata\.managedFields must be nil$/,
    ],
    [
      scale({ replicas: -1 }),
      422,
      /^Scale\.autoscaling "d" is invalid: spec\.replicas: Invalid value: -1: must be greater than or equal to 0$/,
    ],
    [scale({ replicas: "1" }), 400, /field "spec\.replicas"/],
    [scale({ replicas: 1 }, { metadata: { resourceVersion: "1" } }), 409, /has been modified/],
    [scale({ replicas: 1 }, { metadata: { uid: "other" } }), 409, /Precondition failed: UID/],
  ];
  for (const [body, code, message] of cases) {
    const answer = await apply(api, "scaler", body, "&force=true");
    assertEquals(answer.code, code, JSON.stringify(answer.body));
    assertMatch(answer.body.message, message);
  }
  assertEquals(
    (await ask(api, "PATCH", SCALE, scale({ replicas: 1 }), "apply-patch+yaml")).code,
    422,
  );
});

Deno.test("a replaced or patched scale knows its fields, too", async () => {
  await using api = await withDeployment();
  const put = await ask(api, "PUT", SCALE, scale({ replicas: 3, colour: "red" }));
  assertEquals(
    [put.code, put.warning, put.body.spec],
    [200, '299 - "unknown field \\"spec.colour\\""', { replicas: 3 }],
  );
  const strict = await ask(
    api,
    "PUT",
    `${SCALE}?fieldValidation=Strict`,
    scale({ replicas: 3, colour: "red" }),
  );
  assertEquals(
    [strict.code, strict.body.message],
    [
      400,
      'Scale in version "v1" cannot be handled as a Scale: strict decoding error: unknown field "spec.colour"',
    ],
  );
  const patch = await ask(
    api,
    "PATCH",
    `${SCALE}?fieldValidation=Strict`,
    '{"spec":{"replicas":4,"replicas":5}}',
    "merge-patch+json",
  );
  assertEquals(patch.code, 422);
  assertMatch(patch.body.message, /strict decoding error: duplicate field "spec\.replicas"$/);
  // What it is, the path says.
  const bare = await ask(api, "PUT", SCALE, { metadata: { name: "d" }, spec: { replicas: 6 } });
  assertEquals([bare.code, bare.body.spec.replicas], [200, 6]);
});

Deno.test("a scale is printed with what is wanted and what there is", async () => {
  await using api = await withDeployment();
  const accept = { Accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
  const table = await (await api.admin("GET", SCALE, undefined, accept)).json();
  assertEquals(table.columnDefinitions.map(({ name }: { name: string }) => name), [
    "Name",
    "Desired",
    "Available",
    "Age",
  ]);
  assertEquals(table.rows[0].cells.slice(0, 3), ["d", "2", "0"]);
});
