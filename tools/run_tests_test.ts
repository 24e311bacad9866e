import { assertEquals } from "@std/assert";
import { FileLines, parseSummary } from "./run_tests.ts";
import { TextLineStream } from "./text_lines.ts";

Deno.test("parseSummary() reads passed, failed and ignored", () => {
  assertEquals(parseSummary("ok | 9 passed | 0 failed (31ms)"), {
    passed: 9,
    failed: 0,
    skipped: 0,
  });
  assertEquals(parseSummary("FAILED | 4 passed (2 steps) | 1 failed | 3 ignored (2s)"), {
    passed: 4,
    failed: 1,
    skipped: 3,
  });
  assertEquals(parseSummary("a test that is ok | 9 passed | 0 failed"), undefined);
});

Deno.test("FileLines folds passing tests and keeps everything else", () => {
  const files = new FileLines();
  const shown = [
    "Check a_test.ts",
    "running 2 tests from ./a_test.ts",
    "one ... ok (1ms)",
    "two ...",
    "  step ... ok (1ms)",
    "two ... ok (1ms)",
    "running 3 tests from ./b_test.ts",
    "loud ...",
    "------- output -------",
    "",
    "----- output end -----",
    "loud ... ok (1ms)",
    "three ... FAILED (1ms)",
    "four: no device ... ignored (0ms)",
    "",
    " ERRORS ",
    "running over ... ok (2ms)",
  ].flatMap((line) => files.push(line));
  assertEquals(shown, [
    "Check a_test.ts",
    "a_test.ts: 2 ok",
    "b_test.ts: 1 ok",
    "  loud ...",
    "  ------- output -------",
    "  ",
    "  ----- output end -----",
    "  three ... FAILED (1ms)",
    "  four: no device ... ignored (0ms)",
    "",
    " ERRORS ",
    "running over ... ok (2ms)",
  ]);
});

Deno.test("TextLineStream splits over chunk borders and keeps a last line without an end", async () => {
  const lines = ReadableStream.from(["a\nb", "c\r", "\nd"]).pipeThrough(new TextLineStream());
  assertEquals(await Array.fromAsync(lines), ["a", "bc", "d"]);
});
