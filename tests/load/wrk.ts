/** wrk(1), where it is installed: the load generator that costs the least. */

export interface WrkOptions {
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A file of whole requests, each after a line `@LENGTH`; see requests.lua. */
  readonly requests?: string;
}

export interface WrkResult {
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly requests: number;
  /** Answers with another status than 2xx or 3xx. */
  readonly refused: number;
  /** Connections that failed, broke or timed out. */
  readonly errors: number;
}

export const NO_WRK = "wrk is not installed (Debian's package wrk)";

export async function hasWrk(): Promise<boolean> {
  try {
    await new Deno.Command("wrk", { args: ["-v"], stdout: "null", stderr: "null" }).output();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** @throws {Error} with what wrk printed, where it ends badly */
export async function wrk(options: WrkOptions): Promise<WrkResult> {
  const headers = Object.entries(options.headers ?? {}).flatMap(([name, value]) => [
    "-H",
    `${name}: ${value}`,
  ]);
  const { code, stdout, stderr } = await new Deno.Command("wrk", {
    args: [
      "-t1",
      `-c${options.connections}`,
      `-d${options.seconds}s`,
      "-s",
      new URL("./requests.lua", import.meta.url).pathname,
      ...headers,
      options.url,
      ...(options.requests === undefined ? [] : ["--", options.requests]),
    ],
  }).output();
  const text = new TextDecoder().decode(stdout);
  const result = /^RESULT (.+)$/m.exec(text)?.[1]?.split(" ").map(Number);
  if (code !== 0 || result === undefined) {
    throw new Error(`wrk ended with ${code}:\n${text}${new TextDecoder().decode(stderr)}`);
  }
  const [requests = 0, durationUs = 1, median = 0, p99 = 0, refused = 0, errors = 0] = result;
  return {
    requests,
    perSecond: requests / durationUs * 1e6,
    medianMs: median / 1000,
    p99Ms: p99 / 1000,
    refused,
    errors,
  };
}
