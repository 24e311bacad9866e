/**
 * The conformance tests of cel-spec: whatever compiles here has the value it has there, and what does
 * not compile is of the few things that Kubernetes or this server leaves out.
 */
import { assert, assertEquals } from "@std/assert";
import { tests } from "@bufbuild/cel-spec/testdata/conformance.js";
import * as v from "valibot";
import { ExpressionError } from "./ast.ts";
import { mapKey, Scope } from "./compiled.ts";
import { Compiler } from "./compiler.ts";
import { allFunctions } from "./library/mod.ts";
import { Meter, RULE_COST_LIMIT } from "./meter.ts";
import { parse } from "./parser.ts";
import { DYN } from "./types.ts";
import {
  equalValues,
  EvaluationError,
  ListValue,
  type MapKey,
  MapValue,
  typeName,
  TypeValue,
  type Value,
} from "./values.ts";

/** What messages of protobuf and unsigned integers are needed for, and libraries that Kubernetes has not. */
const ELSEWHERE =
  /proto|enums|wrappers|block_ext|bindings_ext|encoders_ext|math_ext|macros2|network_ext|dynamic|type_deduction/;
const NOT_HERE = /\d[uU]\b|\buint\b|TestAllTypes|google\.protobuf\.[A-Z]\w*\s*\{|\bcel\.|`|_ext_/;
/** Literals of one type, and no names that are not declared. */
const STRICTER = [
  /^expected type '/,
  /^found no matching overload for '(_==_|_&&_|_\|\|_|_\?_:_|_!=_)'/,
  /^undeclared reference to '/,
  /^unsigned integers are not supported$/,
];
/** Lists have no doubles as places here, not even through dyn. */
const DIFFERENT = new Set(["zero_based_double"]);

const jsonTest = v.object({
  name: v.optional(v.string(), ""),
  expr: v.string(),
  value: v.optional(v.unknown()),
  evalError: v.optional(v.unknown()),
  typedResult: v.optional(v.object({ result: v.optional(v.unknown()) })),
  unknown: v.optional(v.unknown()),
  anyEvalErrors: v.optional(v.unknown()),
  anyUnknowns: v.optional(v.unknown()),
  disableCheck: v.optional(v.boolean(), false),
  container: v.optional(v.string(), ""),
  bindings: v.optional(v.record(v.string(), v.object({ value: v.optional(v.unknown()) })), {}),
});
type JsonTest = v.InferOutput<typeof jsonTest>;

interface Suite {
  readonly name: string;
  readonly suites?: Suite[] | undefined;
  readonly tests?: { original: unknown }[] | undefined;
}
const jsonSuite: v.GenericSchema<unknown, Suite> = v.object({
  name: v.string(),
  suites: v.optional(v.array(v.lazy(() => jsonSuite))),
  tests: v.optional(v.array(v.looseObject({ original: v.unknown() }))),
});

const jsonValue = v.looseObject({
  int64Value: v.optional(v.string()),
  doubleValue: v.optional(v.union([v.number(), v.string()])),
  stringValue: v.optional(v.string()),
  boolValue: v.optional(v.boolean()),
  bytesValue: v.optional(v.string()),
  typeValue: v.optional(v.string()),
  nullValue: v.optional(v.unknown()),
  listValue: v.optional(v.object({ values: v.optional(v.array(v.unknown()), []) })),
  mapValue: v.optional(v.object({
    entries: v.optional(v.array(v.object({ key: v.unknown(), value: v.unknown() })), []),
  })),
});

/** Undefined: a value that this CEL has not. */
function decode(json: unknown): Value | undefined {
  const parsed = v.safeParse(jsonValue, json);
  if (!parsed.success) return undefined;
  const value = parsed.output;
  if (value.int64Value !== undefined) return BigInt(value.int64Value);
  if (value.doubleValue !== undefined) return Number(value.doubleValue);
  if (value.bytesValue !== undefined) return Uint8Array.fromBase64(value.bytesValue);
  if (value.typeValue !== undefined) return new TypeValue(value.typeValue);
  if (value.listValue !== undefined) {
    const items = value.listValue.values.map(decode);
    return items.every((item) => item !== undefined) ? new ListValue(items) : undefined;
  }
  if (value.mapValue !== undefined) {
    const map = new Map<MapKey, Value>();
    for (const { key, value: content } of value.mapValue.entries) {
      const [name, item] = [decode(key), decode(content)];
      if (name === undefined || item === undefined) return undefined;
      map.set(mapKey(name), item);
    }
    return new MapValue(map);
  }
  if (value.stringValue !== undefined || value.boolValue !== undefined) {
    return value.stringValue ?? value.boolValue;
  }
  return Object.hasOwn(value, "nullValue") ? null : undefined;
}

type Expected = { readonly value: Value } | { readonly failure: true } | undefined;

function expectedOf(test: JsonTest): Expected {
  if (test.evalError !== undefined) return { failure: true };
  if (test.unknown !== undefined || test.anyEvalErrors !== undefined) return undefined;
  if (test.anyUnknowns !== undefined) return undefined;
  const json = test.value ?? test.typedResult?.result;
  // Only its type is told.
  if (json === undefined && test.typedResult !== undefined) return undefined;
  const value = json === undefined ? true : decode(json);
  return value === undefined ? undefined : { value };
}

function* allTests(suite: Suite, path: string): Generator<[string, JsonTest]> {
  for (const inner of suite.suites ?? []) yield* allTests(inner, `${path}/${inner.name}`);
  for (const { original } of suite.tests ?? []) yield [path, v.parse(jsonTest, original)];
}

const FUNCTIONS = allFunctions();

/** What is wrong; "" where it is right, undefined where it is stricter here. */
function verdict(test: JsonTest, expected: NonNullable<Expected>): string | undefined {
  const names = Object.entries(test.bindings);
  const slots = names.map(([, { value }]) => decode(value));
  if (!slots.every((value) => value !== undefined)) return undefined;
  const scope = new Scope(new Map(names.map(([name], slot) => [name, { type: DYN, slot }])));
  let value: Value;
  try {
    const { run } = new Compiler(FUNCTIONS, slots.length).compile(parse(test.expr), scope);
    value = run({ slots: [...slots], meter: new Meter(RULE_COST_LIMIT) });
  } catch (cause) {
    if (
      "failure" in expected &&
      (cause instanceof EvaluationError || cause instanceof ExpressionError)
    ) {
      return "";
    }
    if (cause instanceof ExpressionError) {
      return STRICTER.some((pattern) => pattern.test(cause.message)) ? undefined : cause.message;
    }
    if (cause instanceof EvaluationError) return cause.message;
    throw cause;
  }
  if ("failure" in expected) return "does not fail";
  const areNaN = Number.isNaN(value) && Number.isNaN(expected.value);
  const isEqual = typeName(value) === typeName(expected.value) &&
    equalValues(value, expected.value, new Meter(RULE_COST_LIMIT));
  return areNaN || isEqual ? "" : `is ${Deno.inspect(value)}`;
}

Deno.test("cel-spec: what compiles has the value that the conformance tests say", () => {
  let agreed = 0;
  const wrong: string[] = [];
  for (const [path, test] of allTests(v.parse(jsonSuite, tests), "")) {
    const expected = expectedOf(test);
    if (expected === undefined || test.disableCheck || test.container !== "") continue;
    if (ELSEWHERE.test(path) || NOT_HERE.test(test.expr) || DIFFERENT.has(test.name)) continue;
    const found = verdict(test, expected);
    if (found === "") agreed++;
    else if (found !== undefined) wrong.push(`${path} ${test.name}: ${test.expr}: ${found}`);
  }
  assertEquals(wrong, []);
  assert(agreed > 900, `${agreed} tests`);
});
