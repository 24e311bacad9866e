/** `x-kubernetes-validations` over HTTP: what definitions are refused, and what objects. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type TestApi, testApi } from "../../../../tests/fakes/api.ts";

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS = "/apis/example.com/v1/namespaces/default/things";

type Json = Record<string, unknown>;
type Rule = Json | string;

const rules = (...given: readonly Rule[]): Json => ({
  "x-kubernetes-validations": given.map((rule) => typeof rule === "string" ? { rule } : rule),
});

/** A kind whose `spec` has these properties. */
function definition(properties: Json, ofSpec: Json = {}, ofRoot: Json = {}): Json {
  const spec = { type: "object", properties, ...ofSpec };
  const status = { type: "object", properties: { ready: { type: "integer" } } };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "things.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "things", kind: "Thing" },
      versions: [{
        name: "v1",
        served: true,
        storage: true,
        subresources: {
          status: {},
          scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.ready" },
        },
        schema: { openAPIV3Schema: { type: "object", properties: { spec, status }, ...ofRoot } },
      }],
    },
  };
}

function thing(spec: Json, name = "t", extra: Json = {}): Json {
  return { apiVersion: "example.com/v1", kind: "Thing", metadata: { name }, spec, ...extra };
}

async function ask(api: TestApi, code: number, method: string, path: string, body?: unknown) {
  const response = await api.admin(method, path, body);
  const answer = await response.json();
  assertEquals(response.status, code, JSON.stringify(answer));
  return answer;
}

const merge = { "Content-Type": "application/merge-patch+json" };
const apply = { "Content-Type": "application/apply-patch+yaml" };

/** Refused with these causes, as `field: message`. */
async function refused(api: TestApi, spec: Json, ...causes: readonly string[]): Promise<void> {
  const answer = await ask(api, 422, "POST", THINGS, thing(spec));
  const told = answer.details.causes.map((cause: { field: string; message: string }) =>
    `${cause.field}: ${cause.message}`
  );
  assertEquals(told, causes);
}

async function accepted(api: TestApi, ...specs: readonly Json[]): Promise<void> {
  for (const spec of specs) await ask(api, 201, "POST", `${THINGS}?dryRun=All`, thing(spec));
}

async function withThings(
  properties: Json,
  ofSpec: Json = {},
  ofRoot: Json = {},
): Promise<TestApi> {
  const api = await testApi();
  await ask(api, 201, "POST", CRDS, definition(properties, ofSpec, ofRoot));
  return api;
}

const int = { type: "integer" };
const text = { type: "string" };

Deno.test("a definition whose rules have no meaning is refused, naming rule and path", async () => {
  await using api = await testApi();
  const at = "spec.versions[0].schema.openAPIV3Schema.properties[spec]";
  const list = (item: Json, more: Json = {}) => ({ type: "array", items: item, ...more });
  const cases: readonly [Json, string][] = [
    [
      definition({ a: int }, rules("self.b > 0")),
      `${at}.x-kubernetes-validations[0].rule: Invalid value: "self.b > 0": compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b > 0\n | ....^`,
    ],
    [
      definition({ a: int }, rules("self.a >")),
      "compilation failed: ERROR: <input>:1:9: Syntax error",
    ],
    [definition({ a: int }, rules("self.a")), "cel expression must evaluate to a bool"],
    [definition({ a: int }, rules("self.a == 'x'")), "applied to '(int, string)'"],
    [
      definition({ a: int }, rules("authorizer.path('/').check('get').allowed()")),
      "undeclared reference to 'authorizer'",
    ],
    [definition({ a: int }, rules(" ")), "[0].rule: Required value: rule is not specified"],
    [
      definition({ a: int }, rules("self.a\n> 0")),
      "[0].message: Required value: message must be specified if rule contains line breaks",
    ],
    [
      definition({ a: int }, rules({ rule: "true", message: "a\nb" })),
      "message must not contain line breaks",
    ],
    [
      definition({ a: int }, rules({ rule: "true", messageExpression: "self.a" })),
      '[0].messageExpression: Invalid value: "self.a": messageExpression must evaluate to a string',
    ],
    [
      definition({ a: int }, rules({ rule: "true", reason: "Because" })),
      'Unsupported value: "Because": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
    ],
    [
      definition({ a: int }, rules({ rule: "true", fieldPath: ".b" })),
      "fieldPath must be a valid path: does not refer to a valid field",
    ],
    [
      definition({ a: int }, rules({ rule: "self.a > 0", optionalOldSelf: true })),
      "may not be set if oldSelf is not used in rule",
    ],
    [
      definition({ a: list({ ...int, ...rules("self == oldSelf") }) }),
      `oldSelf cannot be used on the uncorrelatable portion of the schema within ${at}.properties[a]`,
    ],
    [
      definition(
        { a: list({ type: "object", "x-kubernetes-preserve-unknown-fields": true }) },
        rules("self.a[0].x == 1"),
      ),
      "undefined field 'x'",
    ],
    [
      definition({ a: { "x-kubernetes-preserve-unknown-fields": true } }, rules("self.a == 1")),
      "undefined field 'a'",
    ],
    [definition({ a: int }, rules("self.metadata.name == ''")), "undefined field 'metadata'"],
    [
      definition({ a: int }, {}, rules("self.metadata.labels.size() == 0")),
      "undefined field 'labels'",
    ],
    [
      definition({ a: { ...int, anyOf: [{ ...rules("self > 1") }] } }),
      "anyOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural",
    ],
    [
      definition({ a: { ...int, default: 1, ...rules("self > 1") } }),
      'properties[a].default: Invalid value: "integer": failed rule: self > 1',
    ],
    [definition({ a: text }, rules("self.a.matches('(')")), "invalid matches argument"],
    [
      definition(
        { a: text },
        rules(...Array.from({ length: 9 }, () => `true //${"x".repeat(30_000)}`)),
      ),
      "openAPIV3Schema: Forbidden: rules of a schema may have 262144 characters at most, not 270063",
    ],
  ];
  for (const [body, message] of cases) {
    const answer = await ask(api, 422, "POST", `${CRDS}?fieldValidation=Ignore`, body).catch(
      (cause) => {
        throw new Error(message, { cause });
      },
    );
    assertStringIncludes(answer.message, message);
  }
  const unknown = await ask(
    api,
    400,
    "POST",
    `${CRDS}?fieldValidation=Strict`,
    definition({ a: int }, rules({ rule: "true", mesage: "" })),
  );
  assertStringIncludes(unknown.message, 'x-kubernetes-validations[0].mesage"');
});

Deno.test("the documented examples do what they are for", async () => {
  const number = { type: "number" };
  const map = (value: Json) => ({ type: "object", additionalProperties: value });
  const set = { type: "array", "x-kubernetes-list-type": "set", items: text };
  const envs = {
    type: "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    items: { type: "object", required: ["name"], properties: { name: text, value: text } },
  };
  const date = { type: "string", format: "date" };
  const cases: readonly [properties: Json, rule: string, good: Json, bad: Json][] = [
    [
      { minReplicas: int, replicas: int, maxReplicas: int },
      "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas",
      { minReplicas: 1, replicas: 2, maxReplicas: 2 },
      { minReplicas: 1, replicas: 3, maxReplicas: 2 },
    ],
    [{ counts: map(int) }, "'Available' in self.counts", { counts: { Available: 1 } }, {
      counts: {},
    }],
    [
      { a: set, b: set },
      "(self.a.size() == 0) != (self.b.size() == 0)",
      { a: [], b: ["x"] },
      { a: ["y"], b: ["x"] },
    ],
    [
      { env: envs },
      "self.env.filter(e, e.name == 'MY_ENV').all(e, e.value.matches('^[a-zA-Z]*$'))",
      { env: [{ name: "MY_ENV", value: "abc" }, { name: "B", value: "1" }] },
      { env: [{ name: "MY_ENV", value: "a1" }] },
    ],
    [{ a: int }, "has(self.a) && self.a > 0", { a: 1 }, {}],
    [
      { date, ttl: { type: "string", format: "duration" } },
      "self.date > timestamp('2020-01-01T00:00:00Z') && self.ttl < duration('24h')",
      { date: "2021-01-01", ttl: "1h" },
      { date: "2021-01-01", ttl: "2 days" },
    ],
    [{ a: set, b: set }, "self.a == self.b", { a: ["x", "y"], b: ["y", "x"] }, {
      a: ["x"],
      b: ["y"],
    }],
    [
      { names: set, details: map(text) },
      "self.names.size() == self.details.size() && self.names.all(n, n in self.details)",
      { names: ["a"], details: { a: "" } },
      { names: ["a"], details: { b: "" } },
    ],
    [{ names: set }, "size(self.names.filter(n, n.startsWith('a'))) == 1", { names: ["a"] }, {
      names: [],
    }],
    [{ m: map(text) }, "self.m.all(k, k.startsWith('x') && self.m[k] != '')", { m: { x: "y" } }, {
      m: { y: "" },
    }],
    [
      { port: { "x-kubernetes-int-or-string": true } },
      "type(self.port) == string ? self.port.endsWith('%') : self.port < 100",
      { port: "5%" },
      { port: 100 },
    ],
    [{ a: number }, "self.a > 1.5 && self.a < 2", { a: 1.75 }, { a: 2 }],
    [
      { "a-b.c/d": int, __x: int, in: int, namespace: int },
      "self.a__dash__b__dot__c__slash__d + self.__underscores__x + self.__in__ + self.__namespace__ == 10",
      { "a-b.c/d": 1, __x: 2, in: 3, namespace: 4 },
      { "a-b.c/d": 1, __x: 2, in: 3, namespace: 5 },
    ],
    [
      {
        a: { ...text, nullable: true },
        o: { type: "object", nullable: true, properties: { x: int } },
      },
      "has(self.a) && (!has(self.o) || self.o == null || self.o.x > 0)",
      { a: null, o: null },
      { a: null, o: { x: 0 } },
    ],
    [{ a: { type: "string", format: "byte" } }, "self.a == b'abc'", { a: "YWJj" }, { a: "YWJk" }],
    [
      {
        e: {
          type: "object",
          "x-kubernetes-embedded-resource": true,
          "x-kubernetes-preserve-unknown-fields": true,
        },
      },
      "self.e.kind == 'Pod' && self.e.metadata.name.startsWith('x')",
      { e: { apiVersion: "v1", kind: "Pod", metadata: { name: "xy" }, more: 1 } },
      { e: { apiVersion: "v1", kind: "Pod", metadata: { name: "y" } } },
    ],
    [
      {
        a: { type: "object", properties: { x: int }, "x-kubernetes-preserve-unknown-fields": true },
        l: { type: "array", items: { type: "object", properties: { x: int } } },
      },
      "self.l.all(i, i == self.l[0])",
      { l: [{ x: 1 }, { x: 1 }] },
      { l: [{ x: 1 }, { x: 2 }] },
    ],
    [
      { a: int, b: { ...int, default: 2 } },
      "self.b > self.a",
      { a: 1 },
      { a: 2 },
    ],
  ];
  for (const [properties, rule, good, bad] of cases) {
    await using api = await withThings(properties, rules(rule));
    await accepted(api, good);
    const failed = await ask(api, 422, "POST", THINGS, thing(bad));
    assertStringIncludes(
      failed.message,
      /has\(self.a\) && self.a/.test(rule) ? "failed rule" : 'spec: Invalid value: "object": ',
    );
  }
});

Deno.test("an object that breaks rules is told so at the field, with its message and reason", async () => {
  await using api = await withThings({
    a: { ...int, ...rules("self > 0") },
    b: {
      ...text,
      ...rules({ rule: "self != 'x'", message: " no x ", reason: "FieldValueForbidden" }),
    },
    c: {
      type: "array",
      items: {
        type: "object",
        properties: { n: int },
        ...rules({ rule: "self.n < 5", messageExpression: "'%d is too much'.format([self.n])" }),
      },
    },
    m: { type: "object", additionalProperties: { ...int, ...rules("self != 0") } },
    p: { "x-kubernetes-int-or-string": true },
  }, {
    ...rules(
      {
        rule: "!has(self.a) || !has(self.b)",
        message: "not both",
        fieldPath: ".b",
        reason: "FieldValueRequired",
      },
      { rule: "!has(self.m) || size(self.m) < 2", reason: "FieldValueDuplicate" },
      { rule: "!has(self.c) || self.c[7].n == 1", message: "eight" },
      { rule: "!has(self.p) || self.p + 1 > 0", messageExpression: "'' + string(self.a)" },
    ),
  }, rules("self.metadata.name.size() < 5"));
  await accepted(api, { a: 1 }, {}, { b: "y", p: 1 });
  await refused(api, { a: 0 }, 'spec.a: Invalid value: "integer": failed rule: self > 0');
  await refused(
    api,
    { a: 1, b: "x" },
    "spec.b: Required value: not both",
    "spec.b: Forbidden: no x",
  );
  await refused(
    api,
    { c: [{ n: 1 }, { n: 7 }], m: { y: 0, z: 1 } },
    'spec: Duplicate value: "object"',
    'spec: Invalid value: "object": index out of bounds: 7 evaluating rule: eight',
    'spec.c[1]: Invalid value: "object": 7 is too much',
    'spec.m[y]: Invalid value: "integer": failed rule: self != 0',
  );
  await refused(
    api,
    { p: "x" },
    "spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: !has(self.p) || self.p + 1 > 0",
  );
  // A message that cannot be made gives way to the rule's own.
  await refused(
    api,
    { p: -1 },
    'spec: Invalid value: "object": failed rule: !has(self.p) || self.p + 1 > 0',
  );
  await refused(
    api,
    { a: "x" },
    'spec.a: Invalid value: "string": spec.a in body must be of type integer: "string"',
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
  );
  const long = await ask(api, 422, "POST", THINGS, thing({}, "longer"));
  assertEquals(
    long.message,
    'Thing.example.com "longer" is invalid: <nil>: Invalid value: "object": failed rule: self.metadata.name.size() < 5',
  );
  assertEquals(long.details.causes[0].reason, "FieldValueInvalid");
});

Deno.test("transition rules compare with what was there, by every way of writing", async () => {
  const fixed = rules({ rule: "self == oldSelf", message: "is fixed" });
  await using api = await withThings(
    {
      a: { ...text, ...fixed },
      replicas: { ...int, ...rules({ rule: "self >= oldSelf", message: "only up" }) },
      l: {
        type: "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        items: {
          type: "object",
          required: ["k"],
          properties: { k: text, v: { ...int, ...fixed } },
        },
      },
      m: { type: "object", additionalProperties: { ...int, ...fixed } },
      s: {
        type: "array",
        "x-kubernetes-list-type": "set",
        items: text,
        ...rules({ rule: "oldSelf.all(x, x in self)", message: "only more" }),
      },
      once: {
        ...text,
        ...rules({
          rule: "!oldSelf.hasValue() || oldSelf.value() == self",
          optionalOldSelf: true,
          message: "once",
        }),
      },
      born: {
        ...text,
        ...rules({
          rule: "oldSelf.hasValue() || self == 'new'",
          optionalOldSelf: true,
          message: "new first",
        }),
      },
    },
    {},
    {
      ...rules({ rule: "!has(oldSelf.spec.a) || has(self.spec.a)", message: "a stays" }, {
        rule:
          "!has(self.status) || !has(self.status.ready) || self.status.ready <= self.spec.replicas",
        message: "more ready than wanted",
      }),
    },
  );
  const body = {
    a: "x",
    replicas: 2,
    l: [{ k: "1", v: 1 }, { k: "2", v: 2 }],
    m: { y: 1 },
    s: ["p"],
    once: "z",
  };
  await ask(api, 422, "POST", THINGS, thing({ ...body, born: "old" }));
  await ask(api, 201, "POST", THINGS, thing(body));
  const path = `${THINGS}/t`;
  const change = async (code: number, spec: Json, message = "") => {
    const response = await api.admin("PATCH", path, { spec }, merge);
    const answer = await response.json();
    assertEquals(response.status, code, JSON.stringify(answer));
    if (message !== "") {
      assertEquals(answer.message, `Thing.example.com "t" is invalid: ${message}`);
    }
  };
  await change(422, { a: "y" }, 'spec.a: Invalid value: "string": is fixed');
  await change(422, { a: null }, '<nil>: Invalid value: "object": a stays');
  await change(
    422,
    { l: [{ k: "2", v: 1 }, { k: "1", v: 1 }] },
    'spec.l[0].v: Invalid value: "integer": is fixed',
  );
  await change(200, { l: [{ k: "2", v: 2 }, { k: "3", v: 9 }, { k: "1", v: 1 }] });
  await change(422, { m: { y: 2 } }, 'spec.m[y]: Invalid value: "integer": is fixed');
  await change(200, { m: { y: null, z: 2 } });
  await change(422, { s: ["q"] }, 'spec.s: Invalid value: "array": only more');
  await change(200, { s: ["q", "p"] });
  await change(422, { once: "other" }, 'spec.once: Invalid value: "string": once');
  await change(422, { born: "old" }, 'spec.born: Invalid value: "string": new first');
  await change(200, { born: "new" });
  await change(200, { born: "old" });

  const scale = await api.admin("PATCH", `${path}/scale`, { spec: { replicas: 1 } }, merge);
  assertEquals(scale.status, 422);
  assertStringIncludes((await scale.json()).message, "only up");
  const status = (ready: number) =>
    api.admin("PATCH", `${path}/status`, { status: { ready } }, merge);
  const tooMany = await status(3);
  assertEquals(tooMany.status, 422);
  assertStringIncludes((await tooMany.json()).message, "more ready than wanted");
  assertEquals((await status(2)).status, 200);

  const applied = await api.admin(
    "PATCH",
    `${path}?fieldManager=me&force=true&dryRun=All`,
    thing({ a: "other" }),
    apply,
  );
  assertEquals(applied.status, 422);
  assertStringIncludes((await applied.json()).message, "spec.a: Invalid value");
  await ask(api, 422, "PUT", `${path}?dryRun=All`, thing({ ...body, a: "y" }));
  const now = await ask(api, 200, "GET", path);
  assertEquals([now.spec.a, now.spec.replicas, now.status], ["x", 2, { ready: 2 }]);
});

Deno.test("what broke a rule before it was made may stay until it is changed", async () => {
  const made = (rule: Json) => ({
    a: { ...int, ...rule },
    b: int,
    l: { type: "array", items: { ...int, ...rule } },
  });
  await using api = await withThings(made({}));
  await ask(api, 201, "POST", THINGS, thing({ a: 1, l: [1] }));
  const strict = definition(made(rules("self > 5")));
  await ask(api, 200, "PUT", `${CRDS}/things.example.com`, strict);
  const change = async (code: number, spec: Json) => {
    const response = await api.admin("PATCH", `${THINGS}/t`, { spec }, merge);
    assertEquals([spec, response.status, (await response.json()).code], [
      spec,
      code,
      code === 200 ? undefined : code,
    ]);
  };
  await change(200, { b: 1 });
  await change(422, { a: 2 });
  await change(422, { l: [1, 9] });
  await change(200, { a: 6, l: [7] });
  await change(422, { a: 1 });
});

Deno.test("a rule that costs too much refuses the object, and the others are not run", async () => {
  await using api = await withThings({
    l: { type: "array", items: int },
    m: { type: "object", additionalProperties: { ...int, ...rules("[1, 2].all(x, x > 0)") } },
  }, rules("!has(self.l) || self.l.all(a, self.l.all(b, self.l.all(c, a + b + c >= 0)))"));
  const l = Array.from({ length: 300 }, (_, i) => i);
  await accepted(api, { l: l.slice(0, 10) });
  await refused(
    api,
    { l, m: { x: 1 } },
    "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: !has(self.l) || self.l.all(a, self.l.all(b, self.l.all(c, a + b + c >= 0)))",
  );
  const m = Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`k${i}`, i]));
  const answer = await ask(api, 422, "POST", THINGS, thing({ m }));
  assertEquals(answer.details.causes.length, 1);
  assertStringIncludes(
    answer.message,
    "validation failed due to running out of cost budget, no further validation rules will be run",
  );
  // A value that holds itself twice, many times over.
  const twice = "[1]" + ".map(x, dyn({'a': x, 'b': x}))".repeat(60);
  for (
    const rule of [
      `self.s + dyn(${twice}) == self.s`,
      `'%s'.format([${twice}]) == ''`,
      `${twice} == ${twice}`,
    ]
  ) {
    await using other = await withThings({
      s: { type: "array", "x-kubernetes-list-type": "set", items: text },
    }, rules(rule));
    const refusal = await ask(other, 422, "POST", THINGS, thing({ s: ["a"] }));
    assertStringIncludes(refusal.message, "call cost exceeds limit");
  }
  // The master is as it was.
  assert((await api.admin("GET", THINGS)).ok);
});
