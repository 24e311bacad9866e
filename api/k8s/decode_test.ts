import { assertEquals, assertThrows } from "@std/assert";
import { ApiProblem } from "../problem.ts";
import { decodeDocument, MAX_YAML_BYTES, MAX_YAML_TOKENS } from "./decode.ts";

function refusal(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return assertThrows(() => decodeDocument(bytes, "yaml"), ApiProblem).code;
}

Deno.test("decodeDocument() reads no YAML of more tokens than it can afford, nor deeper than JSON", () => {
  const many = 240_000;
  // As many bytes as are taken, of what costs the most.
  assertEquals(refusal("[" + ",".repeat(many)), "body_too_large");
  assertEquals(refusal("]".repeat(many)), "body_too_large");
  assertEquals(refusal("&a ".repeat(many / 3)), "body_too_large");
  assertEquals(refusal("k: 1\n".repeat(many / 5)), "body_too_large");
  assertEquals(refusal("[".repeat(many)), "too_deep");
  assertEquals(refusal("{a: ".repeat(many / 4)), "too_deep");
  assertEquals(refusal(`${"[".repeat(65)}${"]".repeat(65)}`), "too_deep");
  assertEquals(refusal("x".repeat(MAX_YAML_BYTES + 1)), "body_too_large");
});

Deno.test("decodeDocument() takes brackets in scalars for what they are, and a long manifest", () => {
  const text = "[".repeat(1_000);
  const read = (yaml: string) => decodeDocument(new TextEncoder().encode(yaml), "yaml");
  assertEquals(read(`a: "${text}"\nb: |\n  ${text}\nc: x${text}\n`), {
    a: text,
    b: `${text}\n`,
    c: `x${text}`,
  });
  const lines = Math.floor(MAX_YAML_TOKENS / 10);
  const long = Array.from({ length: lines }, (_, i) => `key${i}: a value of usual length`);
  assertEquals(Object.keys(Object(read(long.join("\n")))).length, lines);
});
