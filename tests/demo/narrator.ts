/** Says what happens and what was checked; the first failed check ends the demo with exit code 1. */

export class CheckFailed extends Error {
  override readonly name = "CheckFailed";
}

export interface Narrator {
  /** A numbered step. */
  step(title: string): void;
  /** Something that happened. */
  say(text: string): void;
  /** Something that was checked. @throws {CheckFailed} */
  check(claim: string, holds: boolean, found?: unknown): void;
  readonly checks: number;
}

export function createNarrator(write: (text: string) => void, color: boolean): Narrator {
  const paint = (code: number, text: string) => color ? `\x1b[${code}m${text}\x1b[0m` : text;
  const startedAt = performance.now();
  let steps = 0;
  let checks = 0;
  return {
    step(title) {
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      write(`\n${paint(1, `${++steps}. ${title}`)} ${paint(2, `(${seconds} s)`)}\n`);
    },
    say: (text) => write(`   ${text}\n`),
    check(claim, holds, found) {
      checks++;
      if (holds) return write(`   ${paint(32, "✓")} ${claim}\n`);
      write(`   ${paint(31, "✗")} ${claim}\n`);
      throw new CheckFailed(
        `${claim}: found ${typeof found === "string" ? found : JSON.stringify(found)}`,
      );
    },
    get checks() {
      return checks;
    },
  };
}
