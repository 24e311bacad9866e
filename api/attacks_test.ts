/** What an attacker on the network tries, on every endpoint: none of it is a 5xx, none of it hangs. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { ADMIN_TOKEN, type TestApi, testApi } from "../tests/fakes/api.ts";
import { DEFAULT_LIMITS } from "./deps.ts";
import { decodeJson } from "./json.ts";
import { ApiProblem } from "./problem.ts";

/** Method, path, and the type of a body that it takes. */
type Endpoint = readonly [string, string, string];

const JSON_TYPE = "application/json";
const MAPS = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";
const REVIEWS = "/apis/authorization.k8s.io/v1";
const KUBERNETES: readonly Endpoint[] = [
  ["POST", MAPS, JSON_TYPE],
  ["PUT", `${MAPS}/x`, JSON_TYPE],
  ["PATCH", `${MAPS}/x`, "application/merge-patch+json"],
  ["PATCH", `${MAPS}/x`, "application/json-patch+json"],
  ["PATCH", `${MAPS}/x`, "application/strategic-merge-patch+json"],
  ["PATCH", `${MAPS}/x?fieldManager=m`, "application/apply-patch+yaml"],
  ["DELETE", `${MAPS}/x`, JSON_TYPE],
  ["POST", DEPLOYMENTS, JSON_TYPE],
  ["PUT", `${DEPLOYMENTS}/d/status`, JSON_TYPE],
  ["PUT", `${DEPLOYMENTS}/d/scale`, JSON_TYPE],
  ["PATCH", `${DEPLOYMENTS}/d/scale?fieldManager=m`, "application/apply-patch+yaml"],
  ["POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", JSON_TYPE],
  ["POST", `${REVIEWS}/selfsubjectaccessreviews`, JSON_TYPE],
  ["POST", `${REVIEWS}/selfsubjectrulesreviews`, JSON_TYPE],
];

/** Every endpoint that takes a body: our own as their document has them, and Kubernetes' of each form. */
async function endpoints(api: TestApi): Promise<readonly Endpoint[]> {
  const { paths } = await (await api.app.request("/openapi.json")).json();
  const own: Endpoint[] = [];
  for (const [path, operations] of Object.entries<Record<string, object>>(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      if (Object.hasOwn(operation, "requestBody")) {
        own.push([method.toUpperCase(), path, JSON_TYPE]);
      }
    }
  }
  assert(own.length >= 8, "the document has lost its endpoints");
  return [...own, ...KUBERNETES];
}

const BODIES: readonly (readonly [string, string | Uint8Array<ArrayBuffer>])[] = [
  ["nothing", ""],
  ["a cut-off document", '{"a":'],
  ["two documents", "{}{}"],
  ["a number", "1"],
  ["a huge number", "1e999"],
  ["deep arrays", "[".repeat(100_000)],
  ["deep objects", '{"a":'.repeat(5_000) + "1" + "}".repeat(5_000)],
  ["duplicate names", '{"node_id":"a","node_id":"b"}'],
  ["duplicate names, escaped", '{"kind":"a","k\\u0069nd":"b"}'],
  ["__proto__", '{"__proto__":{"admin":true}}'],
  ["constructor", '{"constructor":{"prototype":{"admin":true}}}'],
  ["bad UTF-8", Uint8Array.of(0x7b, 0x22, 0xc0, 0x80, 0x22, 0x3a, 0x31, 0x7d)],
  ["a surrogate alone", '{"a":"\\ud800"}'],
  ["a byte order mark", "\uFEFF{}"],
  ["NUL", "\u0000"],
  ["a string where an object is", '{"metadata":"x","spec":"y","proof":"z"}'],
  ["an object where a string is", '{"node_id":{},"kind":{},"apiVersion":[],"digest":{}}'],
  ["numbers where strings are", '{"node_id":1,"challenge":2,"token_id":3,"kind":4}'],
  ["nulls", '{"node_id":null,"metadata":null,"spec":null,"digest":null}'],
  ["arrays in arrays", "[[[[]]]]"],
  ["a null byte in a string", '{"node_id":"a\\u0000b","digest":"\\u0000"}'],
  ["YAML that refers to itself", "a: &a [*a, *a]"],
  ["wide", `{${Array.from({ length: 1_000 }, (_, i) => `"f${i}":0`).join(",")}}`],
  ["5 MiB", `{"a":"${"x".repeat(5 << 20)}"}`],
];

async function ask(
  api: TestApi,
  method: string,
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  type: string,
): Promise<Response> {
  return await api.app.request(path, {
    method,
    headers: {
      Authorization: `Bearer ${ADMIN_TOKEN}`,
      "X-Seal-Token": `nts_${"A".repeat(43)}`,
      "Content-Type": type,
    },
    body,
  });
}

/** A 4xx, or the word that this master does not do it at all. */
function isRefused(status: number, text: string): boolean {
  return (status >= 400 && status < 500) ||
    (status === 503 &&
      /"code":"[a-z0-9_]+_(not_configured|not_served|unavailable_here)"/.test(text));
}

/** What is stored, all but the audit log, which keeps what was tried. */
async function written(api: TestApi): Promise<unknown> {
  await api.deps.audit.settled();
  const { kvs } = await api.store.range("system", {
    key: Uint8Array.of(0),
    rangeEnd: Uint8Array.of(0),
  });
  const system = kvs.map(({ key, modRevision }) => [new TextDecoder().decode(key), modRevision])
    .filter(([key]) => !String(key).startsWith("/nautilus/audit/"));
  return [system, api.store.revision("k8s"), api.store.revision("etcd")];
}

Deno.test("no body brings an endpoint to fail: each is refused with a 4xx that leaks nothing", async () => {
  await using api = await testApi();
  const before = await written(api);
  for (const [method, path, type] of await endpoints(api)) {
    for (const [what, body] of BODIES) {
      if (method === "DELETE" && body === "") continue;
      const response = await ask(api, method, path, body, type);
      const text = await response.text();
      assert(isRefused(response.status, text), `${method} ${path} ${what}: ${text}`);
      assert(!/\.ts|node_modules| {4}at /.test(text), `${method} ${path} ${what}: ${text}`);
      const document: unknown = JSON.parse(text);
      assert(typeof document === "object", what);
    }
  }
  assertEquals(await written(api), before, "nothing was written but the audit log");
  assertEquals(Object.hasOwn(Object.prototype, "admin"), false);
});

Deno.test("no content type brings an endpoint to fail", async () => {
  await using api = await testApi();
  const types = [
    "text/plain",
    "application/xml",
    "application/vnd.kubernetes.protobuf",
    "application/yaml",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "application/json, application/json",
    "a".repeat(4_000),
    ";",
  ];
  for (const [method, path] of await endpoints(api)) {
    for (const type of types) {
      const response = await ask(api, method, path, '{"a":1}', type);
      const text = await response.text();
      assert(isRefused(response.status, text), `${method} ${path} ${type}: ${text}`);
    }
  }
});

Deno.test("no path of Kubernetes' brings it to fail (property)", async () => {
  await using api = await testApi();
  const segment = fc.oneof(
    fc.constantFrom(
      "api",
      "apis",
      "v1",
      "namespaces",
      "default",
      "pods",
      "apps",
      "status",
      "scale",
    ),
    fc.constantFrom(
      "..",
      ".",
      "%2e%2e",
      "%2f",
      "%00",
      "%",
      "%zz",
      "",
      "*",
      "a;b",
      "%E2%82%AC",
      "x?y",
    ),
    fc.string({ maxLength: 8 }).map((text) => encodeURIComponent(text.toWellFormed())),
  );
  const path = fc.array(segment, { maxLength: 8 }).map((parts) => `/api/${parts.join("/")}`);
  const method = fc.constantFrom("GET", "POST", "PUT", "PATCH", "DELETE");
  await fc.assert(
    fc.asyncProperty(path, method, async (where, how) => {
      const init: RequestInit = {
        method: how,
        headers: { Authorization: `Bearer ${ADMIN_TOKEN}` },
      };
      if (how !== "GET") init.body = "{}";
      const response = await api.app.request(`http://localhost${where}`, init);
      await response.body?.cancel();
      assert(response.status < 500, `${how} ${where}: ${response.status}`);
    }),
    { numRuns: 300 },
  );
});

Deno.test("no query brings a list to fail (property)", async () => {
  await using api = await testApi({
    deps: { limits: { ...DEFAULT_LIMITS, watches: 100_000 } },
  });
  const name = fc.constantFrom(
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "watch",
    "allowWatchBookmarks",
    "dryRun",
    "fieldValidation",
  );
  const value = fc.oneof(
    fc.constantFrom(
      "1",
      "true",
      "-1",
      "NaN",
      "1e9",
      "a in (b",
      "a=b,c",
      "Exact",
      "eyJ2IjoxfQ",
      "99999999999999999999",
    ),
    fc.string({ maxLength: 20 }).map((text) => text.toWellFormed()),
  );
  const query = fc.array(fc.tuple(name, value), { maxLength: 4 }).map((pairs) =>
    new URLSearchParams(pairs.map(([key, text]) => [key, text])).toString()
  );
  await fc.assert(
    fc.asyncProperty(query, async (text) => {
      const response = await api.admin("GET", `/api/v1/namespaces/default/pods?${text}`);
      await response.body?.cancel();
      assert(response.status < 500 || response.status === 504, `${text}: ${response.status}`);
    }),
    { numRuns: 300 },
  );
});

Deno.test("decodeJson() takes what JSON.parse takes, less duplicates and __proto__ (property)", () => {
  fc.assert(fc.property(fc.json(), (text) => {
    if (text.includes("__proto__")) return;
    assertEquals(decodeJson(new TextEncoder().encode(text)), JSON.parse(text));
  }));
  fc.assert(fc.property(fc.string(), (text) => {
    try {
      decodeJson(new TextEncoder().encode(text.toWellFormed()));
    } catch (error) {
      assert(error instanceof ApiProblem && error.status === 400);
    }
  }));
});
