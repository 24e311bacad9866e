import { assert } from "@std/assert";
import fc from "fast-check";
import { ExpressionError } from "./ast.ts";
import { Scope } from "./compiled.ts";
import { Compiler } from "./compiler.ts";
import { allFunctions } from "./library/mod.ts";
import { CostExceeded, Meter } from "./meter.ts";
import { parse } from "./parser.ts";
import { DYN, listOf, STRING } from "./types.ts";
import { EvaluationError, ListValue, type Value } from "./values.ts";

const FUNCTIONS = allFunctions();
const SLOTS: readonly Value[] = [new ListValue(["a", "\u{1f600}b", ""]), "7"];
const NAMES = new Map([
  ["self", { type: listOf(STRING), slot: 0 }],
  ["oldSelf", { type: DYN, slot: 1 }],
]);

/** What is wrong with a text is said in one of three ways, whatever the text. */
function runs(source: string): void {
  const compiler = new Compiler(FUNCTIONS, SLOTS.length);
  try {
    const { run } = compiler.compile(parse(source), new Scope(NAMES));
    run({ slots: [...SLOTS], meter: new Meter(20_000) });
  } catch (cause) {
    if (cause instanceof ExpressionError) {
      assert(cause.describe(source).startsWith("ERROR: <input>:"));
    } else if (!(cause instanceof EvaluationError) && !(cause instanceof CostExceeded)) {
      throw new Error(`not refused, but broken: ${JSON.stringify(source)}`, { cause });
    }
  }
}

const NUM_RUNS = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 50_000 : 800;

Deno.test("any text is compiled and run, or refused", () => {
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 60 }), runs), {
    numRuns: NUM_RUNS,
  });
});

Deno.test("any row of words is compiled and run, or refused", () => {
  const words =
    ("self oldSelf x y 1 -1 0x7f 1.5 'a' '\\u00e9' b'a' true null in ( ) [ ] { } , . ? : " +
      "+ - * / % ! < <= == != && || .? [? has all exists map filter size int string type dyn matches " +
      "duration timestamp format split replace url ip cidr quantity optional none of orValue //")
      .split(
        " ",
      );
  const rows = fc.array(fc.constantFrom(...words), { maxLength: 40 });
  fc.assert(fc.property(rows, (row) => runs(row.join(" "))), { numRuns: NUM_RUNS });
});

/** Expressions that parse, most of which have a meaning. */
const expressions = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom(
      "self",
      "oldSelf",
      "self[0]",
      "1",
      "-3",
      "0.5",
      "''",
      "'1h'",
      "'::1/8'",
      "true",
    ),
    fc.tuple(
      tie("node"),
      fc.constantFrom("+", "-", "*", "/", "%", "==", "<", "&&", "in"),
      tie("node"),
    )
      .map(([a, op, b]) => `(${a} ${op} ${b})`),
    fc.tuple(tie("node"), fc.constantFrom("all", "exists", "map", "filter"), tie("node"))
      .map(([a, macro, b]) => `${a}.${macro}(x, ${b})`),
    fc.tuple(
      fc.constantFrom(...[...FUNCTIONS.keys()].filter((name) => /^[a-zA-Z]+$/.test(name))),
      fc.boolean(),
      fc.array(tie("node"), { minLength: 1, maxLength: 3 }),
    ).map(([name, member, [first = "1", ...rest]]) =>
      member ? `${first}.${name}(${rest.join(", ")})` : `${name}(${[first, ...rest].join(", ")})`
    ),
    fc.array(tie("node"), { maxLength: 3 }).map((items) => `[${items.join(", ")}]`),
    fc.tuple(tie("node"), tie("node"), tie("node")).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
    tie("node").map((node) => `dyn(${node})`),
  ),
}));

Deno.test("any expression is run, or refused", () => {
  fc.assert(fc.property(expressions.node, runs), { numRuns: NUM_RUNS * 3 });
});
