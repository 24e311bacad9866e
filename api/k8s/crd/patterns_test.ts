import { assertEquals, assertStringIncludes } from "@std/assert";
import type { FieldError } from "../field_errors.ts";
import { decodeJsonSchema } from "./json_schema.ts";
import { PATTERN_BUDGET, Patterns } from "./patterns.ts";
import { validateValue } from "./values.ts";

Deno.test("Patterns.matches() finds what the pattern describes, anywhere in the text", () => {
  const patterns = new Patterns();
  assertEquals(patterns.matches("b+", "abc"), true);
  assertEquals(patterns.matches("^b+", "abc"), false);
  assertEquals(patterns.matches("^b+", "bc"), true);
});

Deno.test("Patterns.matches() answers nothing any more once the object's budget is spent", () => {
  const patterns = new Patterns();
  const costly = "(a{0,30}){0,30}$";
  const text = "b".repeat(4_000);
  assertEquals(patterns.matches(costly, "a"), true);
  let answers = 0;
  while (patterns.matches(costly, text) !== undefined) answers++;
  // Each of them takes more than 1,000 instructions a character.
  assertEquals(answers >= 1 && answers <= PATTERN_BUDGET / (1_000 * text.length), true);
  assertEquals(patterns.matches("a", "a"), undefined);
  assertEquals(new Patterns().matches("a", "a"), true);
});

Deno.test("validateValue() refuses a text that is too long for its pattern, by name", () => {
  const problems: FieldError[] = [];
  const schema = decodeJsonSchema(
    { type: "object", properties: { a: { type: "string", pattern: "(a{0,30}){0,30}$" } } },
    "schema",
    problems,
  );
  assertEquals(problems, []);
  const errors = validateValue({ a: "b".repeat(100_000) }, schema, "");
  assertEquals(errors.map(({ field }) => field), ["a"]);
  assertStringIncludes(errors[0]?.message ?? "", "is too long to be matched against");
});
