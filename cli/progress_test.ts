import { assertEquals } from "@std/assert";
import { mebibytes, progressLine } from "./progress.ts";

function screen(stderrIsTerminal: boolean) {
  const said: string[] = [];
  const clock = { ms: 0 };
  return {
    said,
    clock,
    io: { stderrIsTerminal, stderr: (text: string) => void said.push(text) },
    now: () => clock.ms,
  };
}

Deno.test("progressLine() writes over its line on a terminal and leaves none behind", () => {
  const { said, clock, io, now } = screen(true);
  {
    using line = progressLine(io, now);
    line.show(() => "too early");
    clock.ms = 1_000;
    line.show(() => "one");
    clock.ms = 1_999;
    line.show(() => "too early again");
    clock.ms = 2_000;
    line.show(() => "two");
  }
  assertEquals(said, ["\r\x1b[Kone", "\r\x1b[Ktwo", "\r\x1b[K"]);
});

Deno.test("progressLine() elsewhere adds a line every ten seconds, the first at once where it is asked to", () => {
  const { said, clock, io, now } = screen(false);
  {
    using line = progressLine(io, now, true);
    line.show(() => "one");
    clock.ms = 9_999;
    line.show(() => "too early");
    clock.ms = 10_000;
    line.show(() => "two");
  }
  assertEquals(said, ["one\n", "two\n"]);
});

Deno.test("progressLine() that had nothing to say says nothing", () => {
  const { said, io, now } = screen(true);
  progressLine(io, now)[Symbol.dispose]();
  assertEquals(said, []);
});

Deno.test("mebibytes() has a digit behind the point below a hundred", () => {
  assertEquals([mebibytes(1.25 * 2 ** 20), mebibytes(2 ** 30)], ["1.3 MiB", "1024 MiB"]);
});
