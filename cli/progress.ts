/** What a long command says about how far it is: a line that is written over, or one every so often. */
import type { CommandIo } from "./command.ts";

const MIB = 1 << 20;
const TERMINAL_EVERY_MS = 1_000;
const LINE_EVERY_MS = 10_000;

export function mebibytes(bytes: number): string {
  return `${(bytes / MIB).toFixed(bytes < 100 * MIB ? 1 : 0)} MiB`;
}

export interface ProgressLine extends Disposable {
  /** To be called often: it speaks up when it is time. */
  show(text: () => string): void;
  /** Takes the line away, so that what comes next has one of its own. */
  [Symbol.dispose](): void;
}

/**
 * @param now milliseconds, monotonic
 * @param atOnce the first is shown when it comes, for what takes long for sure
 */
export function progressLine(
  io: Pick<CommandIo, "stderr" | "stderrIsTerminal">,
  now: () => number,
  atOnce = false,
): ProgressLine {
  const everyMs = io.stderrIsTerminal ? TERMINAL_EVERY_MS : LINE_EVERY_MS;
  let saidMs = atOnce ? -Infinity : now();
  let isShown = false;
  return {
    show(text) {
      const ms = now();
      if (ms - saidMs < everyMs) return;
      saidMs = ms;
      isShown = true;
      io.stderr(io.stderrIsTerminal ? `\r\x1b[K${text()}` : `${text()}\n`);
    },
    [Symbol.dispose]() {
      if (isShown && io.stderrIsTerminal) io.stderr("\r\x1b[K");
      isShown = false;
    },
  };
}
