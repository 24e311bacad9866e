/** Other hardware than the machine's own comes into the program through tests alone. */
import { assertEquals } from "@std/assert";
import { isTestFile, readSources } from "./sources.ts";

Deno.test("architecture: no production code brings hardware or roots of its own", () => {
  const offenders = readSources(new URL("../../", import.meta.url))
    .filter(({ path }) => !isTestFile(path))
    .flatMap(({ path, lines }) =>
      lines.flatMap((line, index) =>
        path === "main.ts" && /hardware/i.test(line) ||
          path.startsWith("cli/") && /^\s*hardware: (?!io\.hardware,)/.test(line)
          ? [`${path}:${index + 1}: ${line.trim()}`]
          : []
      )
    );
  assertEquals(offenders, []);
});
