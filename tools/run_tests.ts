/**
 * `make test [ARGS]`: `deno test -P --frozen ARGS`, a line per file instead of one per test. Whatever
 * a test printed, every failure and every skip is shown; Deno's own summary follows, and then
 * `N passed, N failed, N skipped` alone on a line for CI. The exit code is Deno's.
 */
import { TextLineStream } from "./text_lines.ts";

/** What Deno's summary line counts. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Reads `ok | 9 passed (2 steps) | 0 failed | 1 ignored (31ms)`; `undefined` for other lines. */
export function parseSummary(line: string): Counts | undefined {
  const match = /^(?:ok|FAILED) \| (\d+) passed.*?\| (\d+) failed(.*)$/.exec(line);
  if (match === null) return undefined;
  const skipped = /\| (\d+) ignored/.exec(match[3] ?? "")?.[1] ?? "0";
  return { passed: Number(match[1]), failed: Number(match[2]), skipped: Number(skipped) };
}

/** Turns Deno's line per test into a line per file; gives the lines to print. */
export class FileLines {
  #file: string | undefined;
  #passed = 0;
  #kept: string[] = [];
  /** `name ...`, which Deno prints before a test's steps or output. */
  #heading: string | undefined;
  #inOutput = false;

  /** Takes one line of `deno test` without colours. */
  push(line: string): readonly string[] {
    const file = /^running \d+ tests? from (?:\.\/)?(.+)$/.exec(line)?.[1];
    if (file !== undefined) {
      const lines = this.flush();
      this.#file = file;
      return lines;
    }
    if (this.#file === undefined) return [line];
    if (line === "------- output -------") this.#inOutput = true;
    if (this.#inOutput) {
      this.#inOutput = line !== "----- output end -----";
      this.#keep(line);
      return [];
    }
    if (/^ *.* \.\.\. (?:.* )?ok \(\d[^)]*\)$/.test(line)) {
      if (!line.startsWith(" ")) this.#passed++;
      this.#heading = undefined;
      return [];
    }
    if (line.endsWith(" ...")) {
      this.#heading = line;
      return [];
    }
    // The first line after a file's tests is empty; what follows is for everybody to read.
    if (line === "") return this.flush().concat("");
    this.#keep(line);
    return [];
  }

  #keep(line: string): void {
    if (this.#heading !== undefined) this.#kept.push(`  ${this.#heading}`);
    this.#heading = undefined;
    this.#kept.push(`  ${line}`);
  }

  /** The lines of the file so far. */
  flush(): readonly string[] {
    if (this.#file === undefined) return [];
    const lines = [`${this.#file}: ${this.#passed} ok`, ...this.#kept];
    this.#file = undefined;
    this.#passed = 0;
    this.#kept = [];
    return lines;
  }
}

async function main(args: readonly string[]): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-P", "--frozen", ...args],
    cwd: new URL("../", import.meta.url),
    env: { NO_COLOR: "1" },
    stdout: "piped",
  }).spawn();
  const files = new FileLines();
  let counts: Counts | undefined;
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) {
    counts = parseSummary(line) ?? counts;
    print(files.push(line));
  }
  print(files.flush());
  const { code } = await child.status;
  if (counts !== undefined) {
    print([`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`]);
  }
  return code;
}

function print(lines: readonly string[]): void {
  if (lines.length === 0) return;
  Deno.stdout.writeSync(new TextEncoder().encode(lines.join("\n") + "\n"));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
