import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "./command.ts";
import { type FlagSpec, parseFlags, required } from "./flags.ts";

const SPEC = {
  strings: ["name", "limit"],
  switches: ["json"],
  lists: ["files"],
  positionals: ["ACTION", "KEY?"],
} as const;

function refused(args: readonly string[], spec: FlagSpec = SPEC): string {
  return assertThrows(() => parseFlags(args, spec), UsageError).message;
}

Deno.test("parseFlags() takes values, switches, lists and positional arguments in any order", () => {
  const { strings, switches, lists, positionals } = parseFlags(
    ["get", "--files", "a", "b", "--name=n", "--json", "--files=c", "--limit", "-1", "--", "-k"],
    SPEC,
  );
  assertEquals(strings, { name: "n", limit: "-1" });
  assertEquals([...switches], ["json"]);
  assertEquals(lists, { files: ["a", "b", "c"] });
  assertEquals(positionals, ["get", "-k"]);
  assertEquals(parseFlags(["get", "-"], SPEC).positionals, ["get", "-"]);
  assertEquals(parseFlags(["get"], SPEC).lists, { files: [] });
});

Deno.test("parseFlags() takes text as text: numbers, and names that objects have", () => {
  const { strings, positionals } = parseFlags(["007", "1e3", "--name", "0x10"], SPEC);
  assertEquals([strings["name"], ...positionals], ["0x10", "007", "1e3"]);
  assertEquals(refused(["get", "--constructor", "x"]), "unknown flag --constructor");
});

Deno.test("parseFlags() refuses by name what is unknown, repeated, empty, missing or too much", () => {
  assertEquals(refused(["get", "--nam", "x"]), "unknown flag --nam; did you mean --name?");
  assertEquals(refused(["get", "--name", "a", "--name", "b"]), "--name is given 2 times");
  assertEquals(refused(["get", "--name"]), "--name wants a value");
  assertEquals(refused(["get", "--name", "--json"]), "--name wants a value");
  assertEquals(refused(["get", "--files", "--json"]), "--files wants a value");
  assertEquals(refused(["get", "--json=yes"]), "--json takes no value");
  assertEquals(refused([]), "ACTION is missing");
  assertEquals(refused(["get", "k", "more"]), 'unexpected argument "more"');
  assertEquals(parseFlags(["a", "b", "c"], { positionals: ["FILE…"] }).positionals.length, 3);
});

Deno.test("required() names the flag that is missing and what it wants", () => {
  assertEquals(required({ out: "f" }, "out"), "f");
  assertEquals(
    assertThrows(() => required({}, "out", "DIR"), UsageError).message,
    "--out DIR is missing",
  );
});
