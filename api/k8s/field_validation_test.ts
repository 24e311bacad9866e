/** `fieldValidation`: what becomes of fields that a kind does not have, and of those that stand twice. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import * as fc from "fast-check";
import { type TestApi, testApi } from "../../tests/fakes/api.ts";
import { warningHeaders } from "../routes/kubernetes_warnings.ts";

const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";
const SETS = "/apis/apps/v1/namespaces/default/statefulsets";
const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS = "/apis/stable.example.com/v1/namespaces/default/crontabs";

const VALID = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},
  "spec":{"selector":{"matchLabels":{"app":"a"}},"template":{
  "metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`;

const ODD_JSON = `{"apiVersion":"apps/v1","kind":"Deployment",
  "metadata":{"name":"d","labels":{"app":"a"},"colour":"red"},
  "spec":{"unknown1":1,"unknownDupe":1,"unknownDupe":{"x":2,"x":3},"paused":true,"paused":false,
  "selector":{"matchLabels":{"app":"a"}},"template":{"metadata":{"labels":{"app":"a"}},
  "spec":{"containers":[{"name":"c","image":"i","unknownNested":1,
  "imagePullPolicy":"Always","imagePullPolicy":"Never"}]}}}}`;
const JSON_PROBLEMS = [
  'duplicate field "spec.paused"',
  'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
  'unknown field "metadata.colour"',
  'unknown field "spec.unknown1"',
  'unknown field "spec.unknownDupe"',
  'unknown field "spec.template.spec.containers[0].unknownNested"',
];

const ODD_YAML = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: d
spec:
  unknown1: val1
  paused: true
  paused: false
  selector:
    matchLabels:
      app: a
  template:
    metadata:
      labels: {app: a}
    spec:
      containers:
      - name: c
        image: i
        imagePullPolicy: Always
        imagePullPolicy: Never
`;
const YAML_LINES = [
  'line 8: key "paused" already set in map',
  'line 20: key "imagePullPolicy" already set in map',
];

async function ask(
  api: TestApi,
  method: string,
  path: string,
  body: unknown,
  type = "application/json",
) {
  const response = await api.admin(method, path, body, { "Content-Type": type });
  const header = response.headers.get("warning") ?? "";
  const warnings = [...header.matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)].map(([, text = ""]) =>
    text.replaceAll(/\\(.)/g, "$1")
  );
  return { code: response.status, warnings, body: await response.json() };
}

const strictly = (path: string) => `${path}?fieldValidation=Strict`;

Deno.test("fieldValidation=Strict refuses what the kind does not have and what stands twice", async () => {
  await using api = await testApi();
  const json = await ask(api, "POST", strictly(DEPLOYMENTS), ODD_JSON);
  assertEquals([json.code, json.body.reason], [400, "BadRequest"]);
  const prefix =
    'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: ';
  assertEquals(json.body.message, prefix + JSON_PROBLEMS.join(", "));
  assertEquals(json.warnings, []);
  const yaml = await ask(api, "POST", strictly(DEPLOYMENTS), ODD_YAML, "application/yaml");
  assertEquals(
    yaml.body.message,
    `${prefix}yaml: unmarshal errors:\n  ${YAML_LINES.join("\n  ")}, unknown field "spec.unknown1"`,
  );
  assertEquals((await ask(api, "POST", strictly(DEPLOYMENTS), VALID)).code, 201);
  assertEquals((await ask(api, "PUT", strictly(`${DEPLOYMENTS}/d`), ODD_JSON)).code, 400);
  assertEquals((await ask(api, "GET", `${DEPLOYMENTS}/d`, undefined)).body.spec.paused, undefined);
});

Deno.test("fieldValidation=Warn, and no word of it, warn and drop; Ignore drops in silence", async () => {
  await using api = await testApi();
  const { spec: { template, selector } } = JSON.parse(VALID);
  const [container] = template.spec.containers;
  const kept = {
    paused: false,
    selector,
    template: {
      ...template,
      spec: { containers: [{ ...container, imagePullPolicy: "Never" }] },
    },
  };
  for (
    const query of ["", "?fieldValidation=", "?fieldValidation=Warn", "?fieldValidation=Ignore"]
  ) {
    const expected = query.endsWith("Ignore") ? [] : JSON_PROBLEMS;
    const json = await ask(api, "POST", DEPLOYMENTS + query, ODD_JSON);
    assertEquals([json.code, json.warnings], [201, expected], query);
    assertEquals(json.body.spec, kept);
    assertEquals(json.body.metadata.colour, undefined);
    const put = await ask(api, "PUT", `${DEPLOYMENTS}/d${query}`, ODD_JSON);
    assertEquals([put.code, put.warnings], [200, expected], query);
    await ask(api, "DELETE", `${DEPLOYMENTS}/d`, undefined);
    const yaml = await ask(api, "POST", DEPLOYMENTS + query, ODD_YAML, "application/yaml");
    assertEquals(
      [yaml.code, yaml.warnings],
      [201, query.endsWith("Ignore") ? [] : [...YAML_LINES, 'unknown field "spec.unknown1"']],
    );
    assertEquals(yaml.body.spec, kept);
    await ask(api, "DELETE", `${DEPLOYMENTS}/d`, undefined);
  }
});

Deno.test("a refusal carries the warnings that came before it", async () => {
  await using api = await testApi();
  await ask(api, "POST", DEPLOYMENTS, VALID);
  const put = ODD_JSON.replace('"name":"d"', '"name":"d","resourceVersion":"1"');
  const refused = await ask(api, "PUT", `${DEPLOYMENTS}/d`, put);
  assertEquals([refused.code, refused.warnings], [409, JSON_PROBLEMS]);
});

Deno.test("patches: Strict answers 422 with the reason, Warn names the patch's own duplicates, too", async () => {
  await using api = await testApi();
  await ask(api, "POST", DEPLOYMENTS, VALID);
  const path = `${DEPLOYMENTS}/d`;
  const cases: readonly [string, string, readonly string[]][] = [
    ["merge-patch", '{"spec":{"foo":1,"paused":true,"paused":false}}', [
      'duplicate field "spec.paused"',
      'unknown field "spec.foo"',
    ]],
    [
      "strategic-merge-patch",
      '{"spec":{"template":{"spec":{"containers":[{"name":"c","bar":1}]}}}}',
      [
        'unknown field "spec.template.spec.containers[0].bar"',
      ],
    ],
    ["json-patch", '[{"op":"add","op":"add","path":"/spec/foo","value":1,"why":"x"}]', [
      'json patch duplicate field "[0].op"',
      'json patch unknown field "[0].why"',
      'unknown field "spec.foo"',
    ]],
  ];
  for (const [type, patch, problems] of cases) {
    const media = `application/${type}+json`;
    const strict = await ask(api, "PATCH", strictly(path), patch, media);
    assertEquals([strict.code, strict.body.reason], [422, "Invalid"], type);
    assertMatch(strict.body.message, /^ "" is invalid: patch: Invalid value: "\{/);
    assert(strict.body.message.endsWith(`: strict decoding error: ${problems.join(", ")}`));
    const warned = await ask(api, "PATCH", path, patch, media);
    assertEquals([warned.code, warned.warnings], [200, problems], type);
    assertEquals(warned.body.spec.foo, undefined);
    const silent = await ask(api, "PATCH", `${path}?fieldValidation=Ignore`, patch, media);
    assertEquals([silent.code, silent.warnings], [200, []], type);
  }
});

Deno.test("apply takes no field that the schema does not have, and warns of duplicates by line", async () => {
  await using api = await testApi();
  const apply = (query: string, body: string, path = `${DEPLOYMENTS}/d`) =>
    ask(api, "PATCH", `${path}?fieldManager=m${query}`, body, "application/apply-patch+yaml");
  for (const query of ["", "&fieldValidation=Strict", "&fieldValidation=Ignore"]) {
    const unknown = await apply(
      query,
      VALID.replace('"image":"i"', '"image":"i","foo":1').replace('"spec"', '"bar":1,"spec"'),
    );
    assertEquals(unknown.code, 400);
    assertEquals(
      unknown.body.message,
      "failed to create typed patch object (default/d; apps/v1, Kind=Deployment): errors:\n" +
        "  .bar: field not declared in schema\n" +
        '  .spec.template.spec.containers[name="c"].foo: field not declared in schema',
    );
  }
  const twice = VALID.replace('"selector"', '"paused":true,\n"paused":false,"selector"');
  const strict = await apply("&fieldValidation=Strict", twice);
  assertEquals(
    [strict.code, strict.body.message],
    [
      400,
      "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n" +
      '  line 3: key "paused" already set in map',
    ],
  );
  const warned = await apply("", twice);
  assertEquals([warned.code, warned.warnings], [201, ['line 3: key "paused" already set in map']]);
  const silent = await apply("&fieldValidation=Ignore", twice);
  assertEquals([silent.code, silent.warnings], [200, []]);
});

Deno.test("custom objects: unknown fields in the order of their paths, preserved ones kept", async () => {
  await using api = await testApi();
  const object = (properties: unknown, more = {}) => ({ type: "object", properties, ...more });
  const schema = object({
    spec: object({
      known: { type: "string" },
      ports: { type: "array", items: object({ port: { type: "integer" } }) },
      free: object(
        { typed: object({ a: { type: "string" } }) },
        { "x-kubernetes-preserve-unknown-fields": true },
      ),
    }),
  });
  await ask(api, "POST", CRDS, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "crontabs.stable.example.com" },
    spec: {
      group: "stable.example.com",
      scope: "Namespaced",
      names: { plural: "crontabs", kind: "CronTab" },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  });
  const odd = `{"apiVersion":"stable.example.com/v1","kind":"CronTab",
    "metadata":{"name":"a","colour":"red","colour":"blue"},
    "spec":{"unknown":1,"known":"a","known":"b","both":1,"both":2,"ports":[{"port":1,"nested":2}],
    "free":{"any":{"thing":1},"typed":{"a":"x","b":"y"}}}}`;
  const problems = [
    'duplicate field "metadata.colour"',
    'duplicate field "spec.known"',
    'duplicate field "spec.both"',
    'unknown field "metadata.colour"',
    'unknown field "spec.both"',
    'unknown field "spec.free.typed.b"',
    'unknown field "spec.ports[0].nested"',
    'unknown field "spec.unknown"',
  ];
  const strict = await ask(api, "POST", strictly(TABS), odd);
  assertEquals(
    [strict.code, strict.body.message],
    [
      400,
      'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: ' +
      problems.join(", "),
    ],
  );
  const warned = await ask(api, "POST", TABS, odd);
  assertEquals([warned.code, warned.warnings], [201, problems]);
  assertEquals(warned.body.spec, {
    known: "b",
    ports: [{ port: 1 }],
    free: { any: { thing: 1 }, typed: { a: "x" } },
  });
  const applied = await ask(
    api,
    "PATCH",
    `${TABS}/a?fieldManager=m`,
    { apiVersion: "stable.example.com/v1", kind: "CronTab", spec: { ports: [{ nested: 1 }] } },
    "application/apply-patch+yaml",
  );
  assertEquals(
    [applied.code, applied.body.message],
    [
      400,
      "failed to create typed patch object (default/a; stable.example.com/v1, Kind=CronTab): " +
      ".spec.ports[0].nested: field not declared in schema",
    ],
  );
});

Deno.test("claim templates of a StatefulSet may say their kind", async () => {
  await using api = await testApi();
  const { code, warnings } = await ask(api, "POST", strictly(SETS), {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "s" },
    spec: {
      serviceName: "s",
      selector: { matchLabels: { a: "b" } },
      template: { metadata: { labels: { a: "b" } }, spec: { containers: [] } },
      volumeClaimTemplates: [{
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: { name: "v" },
        spec: { accessModes: ["ReadWriteOnce"] },
      }],
    },
  });
  assertEquals([code, warnings], [201, []]);
});

Deno.test("a body of nothing but duplicates and unknown fields gets a bounded answer", async () => {
  await using api = await testApi();
  const twice = Array.from({ length: 5_000 }, (_, i) => `"k${i}":"1","k${i}":"2"`).join(",");
  const body = `{"metadata":{"name":"m"},"data":{${twice}}}`;
  const maps = "/api/v1/namespaces/default/configmaps";
  const warned = await ask(api, "POST", maps, body);
  assertEquals([warned.code, warned.warnings.length], [201, 100]);
  assertEquals(warned.body.data.k4999, "2");
  const name = "n".repeat(500_000);
  const wide = `{"metadata":{"name":"w"},"${name}":{"a":1,"a":2},"${name}2":1}`;
  const strict = await ask(api, "POST", strictly(maps), wide);
  assertEquals(strict.code, 400);
  assert(JSON.stringify(strict.body).length < 10_000);
  const long = await ask(api, "POST", maps, wide);
  assertEquals(long.code, 201);
  assert(long.warnings.every((text) => text.length <= 1500));
});

Deno.test("warningHeaders() quotes, bounds and dedupes as the API server does (property)", () => {
  assertEquals(warningHeaders(['unknown field "a"', "b\\c", 'unknown field "a"', "", "x\ny"]), [
    '299 - "unknown field \\"a\\""',
    '299 - "b\\\\c"',
  ]);
  assertEquals(warningHeaders(["naïve"]), ['299 - "=?utf-8?b?bmHDr3Zl?="']);
  const many = warningHeaders(Array.from({ length: 50 }, (_, i) => `${i} ${"x".repeat(1000)}`));
  assertEquals([many.length, many[0]?.length], [16, 256 + '299 - ""'.length]);
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary", maxLength: 20 }), { maxLength: 5 }),
      (texts) => {
        const headers = new Headers();
        for (const value of warningHeaders(texts)) headers.append("Warning", value);
      },
    ),
  );
});
