/** What a long command says about how far it is: a line a second on a terminal, every ten elsewhere. */
import type { CommandIo } from "./command.ts";

const MIB = 1 << 20;

export function mebibytes(bytes: number): string {
  return `${(bytes / MIB).toFixed(bytes < 100 * MIB ? 1 : 0)} MiB`;
}

/**
 * @param now milliseconds, monotonic
 * @returns to be called often: it speaks up when it is time
 */
export function progressLine(
  io: Pick<CommandIo, "stderr" | "stderrIsTerminal">,
  now: () => number,
): (text: () => string) => void {
  const everyMs = io.stderrIsTerminal ? 1_000 : 10_000;
  let saidMs = now();
  return (text) => {
    const ms = now();
    if (ms - saidMs < everyMs) return;
    saidMs = ms;
    io.stderr(io.stderrIsTerminal ? `\r\x1b[K${text()}` : `${text()}\n`);
  };
}
